//! The writer's thread: takes what waits, has it written, answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::batch::{self, BatchStore, locked};
use super::health::Health;
use super::rescue::Rescue;
use super::{Idle, LaneQueue, Pending, Ready, StoreError};
use crate::domain::submission::Submission;
use crate::domain::time::Clock;
use crate::storage::submissions::WriteContext;
use crate::telemetry::WriterMetrics;

/// How long to wait between attempts to connect, first and at most.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// How long one batch may be retried and halved while others wait behind it.
const RETRYING_MAX: Duration = Duration::from_secs(5);

/// A lane: one connection and what waits for it.
pub struct Worker<S> {
    /// The connection.
    pub store: S,
    /// What waits.
    pub queue: LaneQueue,
    /// Where batches go in which something is locked.
    pub rescue: Option<Rescue>,
    /// How long answers are kept under their keys.
    pub key_ttl: chrono::TimeDelta,
    /// False while there is no connection.
    pub available: Arc<AtomicBool>,
    /// How its batches end.
    pub health: Arc<Health>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How to wait.
    pub idle: Arc<dyn Idle>,
    /// What is counted.
    pub metrics: WriterMetrics,
}

impl<S: BatchStore> Worker<S> {
    /// Runs until every caller is gone and the queue is empty.
    pub fn run(mut self) {
        while self.idle.wait(&self.queue) {
            let batch = self.queue.take();
            let connected = self.write(batch);
            if !connected {
                self.wait_for_database();
            }
        }
    }

    /// Writes a batch and answers it. Returns whether there is a connection afterwards.
    fn write(&mut self, batch: Vec<Pending>) -> bool {
        let started = self.clock.monotonic();
        let (submissions, tickets): (Vec<Submission>, Vec<_>) = batch
            .into_iter()
            .filter_map(|pending| in_time(pending, started))
            .filter_map(|pending| self.unblocked(pending))
            .map(Pending::split)
            .unzip();
        if submissions.is_empty() {
            return true;
        }
        let received_at = self.clock.now();
        let context =
            WriteContext { received_at, begun_at: received_at, monotonic: started, key_ttl: self.key_ttl };
        let (clock, idle) = (self.clock.clone(), self.idle.clone());
        let mut attempt = batch::Attempt {
            context,
            halve_blocked: self.rescue.is_none(),
            pause: &mut |time| idle.sleep(time),
            expired: &|| clock.monotonic().saturating_sub(started) > RETRYING_MAX,
        };
        let (outcomes, connected) = batch::commit(&mut self.store, &submissions, &mut attempt);
        self.health.observe(&outcomes, started, self.clock.monotonic());
        self.metrics.batch_events.observe(count(submissions.iter().map(Submission::len).sum()));
        self.metrics.commit_seconds.observe(self.clock.monotonic().saturating_sub(started).as_secs_f64());
        for ((submission, ticket), written) in submissions.into_iter().zip(tickets).zip(outcomes) {
            match &self.rescue {
                Some(rescue) if locked(&written).is_some() => rescue.take(ticket.with(submission)),
                _ => ticket.answer(written),
            }
        }
        connected
    }

    /// What was found to be locked while a submission waited is nothing to run into once more.
    fn unblocked(&self, pending: Pending) -> Option<Pending> {
        match &self.rescue {
            Some(rescue) if rescue.concerns(&pending.submission) => {
                rescue.take(pending);
                None
            }
            _ => Some(pending),
        }
    }

    /// Refuses what comes until the database is back, or the service ends.
    fn wait_for_database(&mut self) {
        self.available.store(false, Ordering::Relaxed);
        tracing::error!("the database is away: callbacks are answered 503 until it is back");
        let mut pause = RECONNECT_FIRST;
        loop {
            for pending in self.queue.drain() {
                let away = StoreError::Unavailable("the database is away".to_owned());
                pending.split().1.answer(Err(away));
            }
            if self.queue.ready() == Ready::Never {
                return;
            }
            match self.store.reconnect() {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "cannot connect to the database"),
            }
            self.idle.sleep(pause);
            pause = (pause * 2).min(RECONNECT_MAX);
        }
        self.available.store(true, Ordering::Relaxed);
        tracing::info!("the database is back");
    }
}

/// A submission whose caller still waits; the others have been answered by their time-out.
pub fn in_time(pending: Pending, now: Duration) -> Option<Pending> {
    if pending.deadline > now {
        return Some(pending);
    }
    let late = StoreError::Unavailable("it waited longer than ingest.answer_timeout_s".to_owned());
    pending.split().1.answer(Err(late));
    None
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a batch has some ten thousand events at most"
)]
fn count(events: usize) -> f64 {
    events as f64
}
