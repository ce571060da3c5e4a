//! The writer's thread: takes what waits, has it written, answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::batch::{self, BatchStore};
use super::{Pending, StoreError};
use crate::config::Ingest;
use crate::domain::event::Recording;
use crate::domain::time::Clock;
use crate::telemetry::WriterMetrics;

/// How long to wait between attempts to connect, first and at most.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// How long one batch may be retried and halved while others wait behind it. A blocked event in a
/// batch of 512 stands alone after ten lock time-outs (200 ms each, `storage::backend`): they must
/// fit in here, or its neighbours are told to come back for nothing.
const RESCUE_MAX: Duration = Duration::from_secs(5);

pub struct Worker<S> {
    store: S,
    queue: mpsc::Receiver<Pending>,
    batch_events: usize,
    batch_bytes: usize,
    available: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    metrics: WriterMetrics,
}

impl<S: BatchStore> Worker<S> {
    pub fn new(
        store: S,
        queue: mpsc::Receiver<Pending>,
        limits: &Ingest,
        available: Arc<AtomicBool>,
        clock: Arc<dyn Clock>,
        metrics: WriterMetrics,
    ) -> Self {
        let (batch_events, batch_bytes) = (limits.batch_events, limits.batch_bytes);
        Self { store, queue, batch_events, batch_bytes, available, clock, metrics }
    }

    /// Runs until every sender is gone and the queue is empty.
    pub fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let batch = self.take_batch(first);
            let connected = self.write(batch);
            if !connected {
                self.wait_for_database();
            }
        }
    }

    /// What waits, up to the limits of a batch.
    fn take_batch(&mut self, first: Pending) -> Vec<Pending> {
        let mut bytes = first.recording.weight();
        let mut batch = vec![first];
        while batch.len() < self.batch_events && bytes < self.batch_bytes {
            match self.queue.try_recv() {
                Ok(pending) => {
                    bytes += pending.recording.weight();
                    batch.push(pending);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        self.metrics.queue_depth.dec_by(i64::try_from(batch.len()).unwrap_or(i64::MAX));
        batch
    }

    /// Writes a batch and answers it. Returns whether there is a connection afterwards.
    fn write(&mut self, batch: Vec<Pending>) -> bool {
        let now = self.clock.monotonic();
        let mut recordings: Vec<Recording> = Vec::with_capacity(batch.len());
        let mut waiting = Vec::with_capacity(batch.len());
        for pending in batch {
            let Pending { recording, reply, deadline, _bytes } = pending;
            if deadline <= now {
                let late =
                    StoreError::Unavailable("it waited longer than ingest.answer_timeout_s".to_owned());
                let _ = reply.send(Err(late));
            } else {
                recordings.push(recording);
                waiting.push((reply, _bytes));
            }
        }
        if recordings.is_empty() {
            return true;
        }
        let started = self.clock.monotonic();
        let received_at = self.clock.now();
        let clock = self.clock.clone();
        let mut attempt = batch::Attempt {
            received_at,
            pause: &mut std::thread::sleep,
            expired: &|| clock.monotonic().saturating_sub(started) > RESCUE_MAX,
        };
        let (outcomes, connected) = batch::commit(&mut self.store, &recordings, &mut attempt);
        self.metrics.batch_events.observe(count(recordings.len()));
        self.metrics.commit_seconds.observe(self.clock.monotonic().saturating_sub(started).as_secs_f64());
        for ((reply, _bytes), outcome) in waiting.into_iter().zip(outcomes) {
            // A caller that has gone away is no error: the event is recorded all the same.
            let _ = reply.send(outcome);
        }
        connected
    }

    /// Refuses what comes until the database is back, or the service ends.
    fn wait_for_database(&mut self) {
        self.available.store(false, Ordering::Relaxed);
        tracing::error!("the database is away: callbacks are answered 503 until it is back");
        let mut pause = RECONNECT_FIRST;
        loop {
            loop {
                match self.queue.try_recv() {
                    Ok(pending) => {
                        self.metrics.queue_depth.dec();
                        let away = StoreError::Unavailable("the database is away".to_owned());
                        let _ = pending.reply.send(Err(away));
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            match self.store.reconnect() {
                Ok(()) => break,
                Err(error) => tracing::warn!(%error, "cannot connect to the database"),
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RECONNECT_MAX);
        }
        self.available.store(true, Ordering::Relaxed);
        tracing::info!("the database is back");
    }
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a batch has at most 10,000 events")]
fn count(events: usize) -> f64 {
    events as f64
}
