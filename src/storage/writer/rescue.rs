//! The rescue lane: for batches in which a row is locked by another instance's open transaction.
//!
//! The lanes hand such a batch over and go on, so an instance that was stopped in the middle of its
//! transaction costs the others one lock time-out, not their service. Here the batch is halved until
//! what is blocked stands alone; the rest is committed, and what is blocked waits, bounded in number
//! and time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

use super::batch::{self, Attempt, BatchStore, Written, is_blocked};
use super::quarantine::Quarantine;
use super::{Pending, StoreError};
use crate::domain::submission::Submission;
use crate::domain::time::Clock;
use crate::storage::submissions::WriteContext;

/// How many may be in the lane. What is beyond is told to come back.
const WAITING_MAX: usize = 512;

/// How long to wait before the next try while something is blocked.
const PAUSE: Duration = Duration::from_millis(20);

/// How long one batch may be halved while others wait behind it.
const HALVING_MAX: Duration = Duration::from_secs(2);

/// The way into the lane.
#[derive(Clone)]
pub struct Rescue {
    queue: mpsc::Sender<Pending>,
    quarantine: Arc<Quarantine>,
}

/// The lane's thread.
pub struct RescueWorker<S> {
    store: S,
    queue: mpsc::Receiver<Pending>,
    quarantine: Arc<Quarantine>,
    clock: Arc<dyn Clock>,
    key_ttl: chrono::TimeDelta,
    /// What is blocked, with the last failure.
    blocked: VecDeque<(Pending, StoreError)>,
}

impl Rescue {
    /// Whether a submission needs what is known to be blocked.
    pub fn concerns(&self, submission: &Submission) -> bool {
        self.quarantine.concerns(submission)
    }

    /// Hands a submission over. If there is no room, its caller is told to come back.
    pub fn take(&self, pending: Pending) {
        let (pending, error) = match self.queue.try_send(pending) {
            Ok(()) => return,
            Err(TrySendError::Full(pending)) => {
                (pending, StoreError::Overloaded("too much waits for what another instance has locked"))
            }
            Err(TrySendError::Closed(pending)) => (pending, StoreError::ShuttingDown),
        };
        pending.split().1.answer(Err(error));
    }
}

/// A lane on this store.
pub fn lane<S: BatchStore>(
    store: S,
    clock: Arc<dyn Clock>,
    key_ttl: chrono::TimeDelta,
) -> (Rescue, RescueWorker<S>) {
    let (sender, queue) = mpsc::channel(WAITING_MAX);
    let quarantine = Arc::new(Quarantine::default());
    let worker = RescueWorker {
        store,
        queue,
        quarantine: quarantine.clone(),
        clock,
        key_ttl,
        blocked: VecDeque::new(),
    };
    (Rescue { queue: sender, quarantine }, worker)
}

impl<S: BatchStore> RescueWorker<S> {
    /// Runs until every sender is gone and nothing waits.
    pub fn run(mut self) {
        while let Some(batch) = self.arrivals() {
            if !batch.is_empty() {
                self.write(batch);
            }
            self.give_up_on_the_late();
            self.probe();
            if !self.blocked.is_empty() {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// What has come. Waits for it only while nothing is blocked; `None` = all is over.
    fn arrivals(&mut self) -> Option<Vec<Pending>> {
        let mut batch = Vec::new();
        if self.blocked.is_empty() {
            batch.push(self.queue.blocking_recv()?);
        }
        while batch.len() + self.blocked.len() < WAITING_MAX {
            match self.queue.try_recv() {
                Ok(pending) => batch.push(pending),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        Some(batch)
    }

    /// Writes a batch; what is blocked is kept for later.
    fn write(&mut self, batch: Vec<Pending>) {
        let (submissions, tickets): (Vec<_>, Vec<_>) = batch.into_iter().map(Pending::split).unzip();
        let written = self.commit(&submissions);
        for ((submission, ticket), written) in submissions.into_iter().zip(tickets).zip(written) {
            match written {
                Err(error) if is_blocked(&error) => {
                    self.quarantine.hold(&submission);
                    self.blocked.push_back((ticket.with(submission), error));
                }
                written => ticket.answer(written),
            }
        }
    }

    fn commit(&mut self, batch: &[Submission]) -> Vec<Written> {
        let started = self.clock.monotonic();
        let context =
            WriteContext { received_at: self.clock.now(), monotonic: started, key_ttl: self.key_ttl };
        let clock = self.clock.clone();
        let mut attempt = Attempt {
            context,
            halve_blocked: true,
            pause: &mut std::thread::sleep,
            expired: &|| clock.monotonic().saturating_sub(started) > HALVING_MAX,
        };
        let (written, connected) = batch::commit(&mut self.store, batch, &mut attempt);
        if !connected && let Err(error) = self.store.reconnect() {
            tracing::warn!(%error, "the rescue lane has no connection");
        }
        written
    }

    fn give_up_on_the_late(&mut self) {
        let now = self.clock.monotonic();
        for _ in 0..self.blocked.len() {
            match self.blocked.pop_front() {
                Some((pending, error)) if pending.patience <= now => self.answer(pending, Err(error)),
                Some(waiting) => self.blocked.push_back(waiting),
                None => {}
            }
        }
    }

    /// Tries one of those that are blocked, each in its turn. If its way is free, the others' probably is.
    fn probe(&mut self) {
        let Some((pending, _)) = self.blocked.pop_front() else { return };
        let written = self.commit(std::slice::from_ref(&pending.submission)).pop();
        match written {
            Some(Err(error)) if is_blocked(&error) => self.blocked.push_back((pending, error)),
            Some(written) => {
                self.answer(pending, written);
                let others: Vec<Pending> =
                    std::mem::take(&mut self.blocked).into_iter().map(|(p, _)| p).collect();
                for pending in &others {
                    self.quarantine.release(&pending.submission);
                }
                if !others.is_empty() {
                    self.write(others);
                }
            }
            None => {}
        }
    }

    fn answer(&self, pending: Pending, written: Written) {
        self.quarantine.release(&pending.submission);
        let (_, ticket) = pending.split();
        ticket.answer(written);
    }
}
