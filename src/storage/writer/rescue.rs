//! The rescue lane: for batches in which a row is locked by another instance's open transaction.
//!
//! The lanes hand such a batch over and go on, so an instance that was stopped in the middle of its
//! transaction costs the others one lock time-out, not their service. Here the batch is divided until
//! what is blocked stands alone; the rest is committed, and what is blocked waits, bounded in number,
//! bytes and time. Nobody is taken for blocked who was not found so, or needs what another one was
//! found to wait for.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

use super::batch::{self, Attempt, BatchStore, Written, locked};
use super::quarantine::{Locked, Quarantine};
use super::thread::in_time;
use super::{Idle, Pending, StoreError};
use crate::domain::submission::Submission;
use crate::domain::time::Clock;
use crate::storage::error::Failure;
use crate::storage::submissions::WriteContext;

/// How many may be on their way into the lane: several batches.
const ARRIVING_MAX: usize = 4_096;

/// How many may be written together, as one part.
const PART_MAX: usize = 512;

/// How many may wait for what is locked. Who comes then is told to come back.
const WAITING_MAX: usize = 1_024;

/// Into how many parts a blocked one is divided. More parts are more commits for those that are free,
/// fewer are more time-outs until who is blocked stands alone.
const DIVISION: usize = 4;

/// How long to wait before the next try while something is blocked.
const PAUSE: Duration = Duration::from_millis(20);

/// How long one part may be retried and halved for other reasons while others wait behind it.
const RETRYING_MAX: Duration = Duration::from_secs(2);

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
    idle: Arc<dyn Idle>,
    key_ttl: chrono::TimeDelta,
    /// Parts of batches, each to be tried as one.
    untried: VecDeque<Vec<Pending>>,
    /// What is blocked, in the order in which it is tried again.
    waiting: VecDeque<Waiting>,
    /// How many bytes may wait.
    bytes_max: usize,
    /// When one that waits was last tried again.
    probed: Duration,
}

/// One that was found blocked.
struct Waiting {
    pending: Pending,
    /// Whether it is by a key.
    locked: Locked,
    /// What it may be that it waits for, as the quarantine knows it.
    needs: Vec<u64>,
    /// Its bytes.
    weight: usize,
    /// What the database said.
    why: String,
}

impl Rescue {
    /// Whether a submission needs what is known to be blocked.
    pub fn concerns(&self, submission: &Submission) -> bool {
        self.quarantine.concerns(submission).is_some()
    }

    /// Hands a submission over. If there is no room, its caller is told to come back.
    pub fn take(&self, pending: Pending) {
        let (pending, error) = match self.queue.try_send(pending) {
            Ok(()) => return,
            Err(TrySendError::Full(pending)) => (pending, TOO_MUCH),
            Err(TrySendError::Closed(pending)) => (pending, StoreError::ShuttingDown),
        };
        pending.split().1.answer(Err(error));
    }
}

const TOO_MUCH: StoreError = StoreError::Overloaded("too much waits for what another instance has locked");

/// A lane on this store, in which so many bytes may wait.
pub fn lane<S: BatchStore>(
    store: S,
    (clock, idle): (Arc<dyn Clock>, Arc<dyn Idle>),
    key_ttl: chrono::TimeDelta,
    bytes_max: usize,
) -> (Rescue, RescueWorker<S>) {
    let (sender, queue) = mpsc::channel(ARRIVING_MAX);
    let quarantine = Arc::new(Quarantine::default());
    let worker = RescueWorker {
        store,
        queue,
        quarantine: quarantine.clone(),
        clock,
        idle,
        key_ttl,
        untried: VecDeque::new(),
        waiting: VecDeque::new(),
        bytes_max,
        probed: Duration::ZERO,
    };
    (Rescue { queue: sender, quarantine }, worker)
}

impl<S: BatchStore> RescueWorker<S> {
    /// Runs until every sender is gone and what they sent was tried.
    pub fn run(mut self) {
        while self.receive() {
            if let Some(part) = self.untried.pop_front() {
                self.write(part);
            }
            self.give_up_on_the_late();
            self.probe();
            if self.untried.is_empty() && !self.waiting.is_empty() {
                self.idle.sleep(PAUSE);
            }
        }
    }

    /// Takes in what has come, and waits for it if there is nothing else to do. False = all is over.
    fn receive(&mut self) -> bool {
        let mut part = Vec::new();
        if self.untried.is_empty() && self.waiting.is_empty() {
            match self.idle.receive(&mut self.queue) {
                Some(pending) => part.push(pending),
                None => return false,
            }
        }
        while part.len() < PART_MAX {
            match self.queue.try_recv() {
                Ok(pending) => part.push(pending),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    // No caller is left.
                    for waiting in std::mem::take(&mut self.waiting) {
                        self.answer(waiting, Err(StoreError::ShuttingDown));
                    }
                    break;
                }
            }
        }
        if !part.is_empty() {
            self.untried.push_back(part);
        }
        true
    }

    /// Writes a part. If anything in it is blocked, it is divided.
    fn write(&mut self, part: Vec<Pending>) {
        let part = self.worth_trying(part);
        if part.is_empty() {
            return;
        }
        let (submissions, tickets): (Vec<_>, Vec<_>) = part.into_iter().map(Pending::split).unzip();
        let written = self.commit(&submissions);
        let alone = submissions.len() == 1;
        let mut blocked = Vec::new();
        for ((submission, ticket), written) in submissions.into_iter().zip(tickets).zip(written) {
            match locked(&written) {
                Some((locked, why)) if alone => self.keep(ticket.with(submission), locked, why),
                Some(_) => blocked.push(ticket.with(submission)),
                None => ticket.answer(written),
            }
        }
        self.divide(blocked);
    }

    /// One part is tried next: the sooner somebody stands alone, the more is known. The others take
    /// their turn behind what has come meanwhile.
    fn divide(&mut self, blocked: Vec<Pending>) {
        let size = blocked.len().div_ceil(DIVISION);
        let mut rest = blocked.into_iter();
        let mut part = || Some(rest.by_ref().take(size).collect::<Vec<_>>()).filter(|part| !part.is_empty());
        if let Some(first) = part() {
            self.untried.push_front(first);
        }
        while let Some(other) = part() {
            self.untried.push_back(other);
        }
    }

    /// Those of a part whose callers still wait, and that need nothing of what is known to be locked.
    fn worth_trying(&mut self, part: Vec<Pending>) -> Vec<Pending> {
        let now = self.clock.monotonic();
        let mut rest = Vec::with_capacity(part.len());
        for pending in part.into_iter().filter_map(|pending| in_time(pending, now)) {
            match self.quarantine.concerns(&pending.submission) {
                Some(locked) => self.keep(pending, locked, "another one waits for it".to_owned()),
                None => rest.push(pending),
            }
        }
        rest
    }

    /// Keeps one that is blocked, if there is room. One merchant has as many places as it leaves free.
    fn keep(&mut self, pending: Pending, locked: Locked, why: String) {
        let weight = pending.submission.weight();
        let bytes = weight + self.waiting.iter().map(|waiting| waiting.weight).sum::<usize>();
        let merchant = pending.submission.merchant;
        let own = self.waiting.iter().filter(|one| one.pending.submission.merchant == merchant).count();
        if own >= WAITING_MAX - self.waiting.len() || bytes > self.bytes_max {
            return pending.split().1.answer(Err(TOO_MUCH));
        }
        let needs = self.quarantine.needs(&pending.submission, locked);
        self.quarantine.hold(&needs);
        self.waiting.push_back(Waiting { pending, locked, needs, weight, why });
    }

    fn commit(&mut self, batch: &[Submission]) -> Vec<Written> {
        let started = self.clock.monotonic();
        let received_at = self.clock.now();
        let context =
            WriteContext { received_at, begun_at: received_at, monotonic: started, key_ttl: self.key_ttl };
        let (clock, idle) = (self.clock.clone(), self.idle.clone());
        let mut attempt = Attempt {
            context,
            halve_blocked: false,
            pause: &mut |time| idle.sleep(time),
            expired: &|| clock.monotonic().saturating_sub(started) > RETRYING_MAX,
        };
        let (written, connected) = batch::commit(&mut self.store, batch, &mut attempt);
        if !connected && let Err(error) = self.store.reconnect() {
            tracing::warn!(%error, "the rescue lane has no connection");
        }
        written
    }

    fn give_up_on_the_late(&mut self) {
        let now = self.clock.monotonic();
        let (late, rest): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|one| one.pending.patience <= now);
        self.waiting = rest;
        for waiting in late {
            let failure = match waiting.locked {
                Locked::Key => Failure::KeyBlocked,
                Locked::Row => Failure::Blocked,
            };
            let error = StoreError::Failed(failure, waiting.why.clone());
            self.answer(waiting, Err(error));
        }
    }

    /// Tries one of those that wait, each in its turn. If its way is free, the others' probably is.
    fn probe(&mut self) {
        let now = self.clock.monotonic();
        if !self.untried.is_empty() && now.saturating_sub(self.probed) < PAUSE {
            return;
        }
        self.probed = now;
        let Some(waiting) = self.waiting.pop_front() else { return };
        let written = self.commit(std::slice::from_ref(&waiting.pending.submission)).pop();
        if let Some((locked, why)) = written.as_ref().and_then(locked) {
            self.put_behind(&waiting.needs);
            self.keep(waiting.pending, locked, why);
            // Only now, so that there is no moment at which nothing is known.
            return self.quarantine.release(&waiting.needs);
        }
        self.quarantine.release(&waiting.needs);
        let Some(written) = written else { return };
        waiting.pending.split().1.answer(written);
        let others: Vec<Waiting> = std::mem::take(&mut self.waiting).into();
        for other in &others {
            self.quarantine.release(&other.needs);
        }
        if !others.is_empty() {
            self.untried.push_front(others.into_iter().map(|other| other.pending).collect());
        }
    }

    /// Puts those that need something of this behind the others: hundreds that wait for one key must
    /// not keep the one that waits for another from its turn.
    fn put_behind(&mut self, needs: &[u64]) {
        let needs: HashSet<&u64> = needs.iter().collect();
        let (related, mut others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|waiting| waiting.needs.iter().any(|hash| needs.contains(hash)));
        others.extend(related);
        self.waiting = others;
    }

    fn answer(&self, waiting: Waiting, written: Written) {
        self.quarantine.release(&waiting.needs);
        waiting.pending.split().1.answer(written);
    }
}
