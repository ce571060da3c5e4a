//! Group commit: many callers, few transactions, and no answer before COMMIT.
//!
//! Callers put recordings into a bounded queue and wait. A thread that owns one connection takes
//! whatever has queued up while the last commit was on its way to disk, writes it in one
//! transaction, and answers each caller after it. There is no timer: when idle a callback costs
//! one commit, under load a commit carries hundreds. This room holds the queue and the policy;
//! it knows no SQL.

mod batch;
mod database;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::StoreError;
use crate::config::Ingest;
use crate::domain::event::{Outcome, Recording};
use crate::domain::time::Clock;
use crate::telemetry::WriterMetrics;

pub use batch::{BatchFailure, BatchStore};
pub use database::DatabaseStore;

/// Takes recordings and tells what became of them.
#[derive(Clone)]
pub struct Writer {
    lanes: Arc<Vec<Lane>>,
    /// False while the database is set so that a commit may not be on disk.
    durable: Arc<AtomicBool>,
    answer_timeout: Duration,
    clock: Arc<dyn Clock>,
    metrics: WriterMetrics,
}

/// The queue of one writing connection.
struct Lane {
    queue: mpsc::Sender<Pending>,
    /// Its share of the bytes that may wait.
    bytes: Arc<Semaphore>,
    available: Arc<AtomicBool>,
}

/// The writer's threads, to be waited for at shutdown.
pub struct WriterThreads(Vec<std::thread::JoinHandle<()>>);

/// One recording that waits for its commit.
pub struct Pending {
    recording: Recording,
    reply: oneshot::Sender<Result<Outcome, StoreError>>,
    /// On the monotonic clock. Who has waited too long has been answered already.
    deadline: Duration,
    /// Its share of the queue's bytes, given back when it is answered.
    _bytes: OwnedSemaphorePermit,
}

impl Writer {
    /// Starts one thread per store. A merchant's events always take the same one, so that they
    /// never wait for each other across connections.
    pub fn start<S: BatchStore>(
        stores: Vec<S>,
        limits: &Ingest,
        clock: &Arc<dyn Clock>,
        metrics: &WriterMetrics,
    ) -> std::io::Result<(Self, WriterThreads)> {
        let mut lanes = Vec::with_capacity(stores.len());
        let share = limits.queue_bytes / stores.len().max(1);
        let mut threads = Vec::with_capacity(stores.len());
        for (number, store) in stores.into_iter().enumerate() {
            let (sender, receiver) = mpsc::channel(limits.queue_events);
            let available = Arc::new(AtomicBool::new(true));
            let worker = thread::Worker::new(
                store,
                receiver,
                limits,
                available.clone(),
                clock.clone(),
                metrics.clone(),
            );
            threads.push(
                std::thread::Builder::new().name(format!("writer-{number}")).spawn(move || worker.run())?,
            );
            lanes.push(Lane { queue: sender, bytes: Arc::new(Semaphore::new(share)), available });
        }
        let writer = Self {
            lanes: Arc::new(lanes),
            durable: Arc::new(AtomicBool::new(true)),
            answer_timeout: Duration::from_secs(limits.answer_timeout_s),
            clock: clock.clone(),
            metrics: metrics.clone(),
        };
        Ok((writer, WriterThreads(threads)))
    }

    /// Records an event and waits until it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`], [`StoreError::ShuttingDown`]: nothing was taken.
    /// [`StoreError::Unavailable`]: the database is away, or did not answer in time; whether the
    /// event was recorded is then unknown, and sending it again tells.
    pub async fn record(&self, recording: Recording) -> Result<Outcome, StoreError> {
        let lane = self.lane(&recording)?;
        if !lane.available.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the writer has no connection".to_owned()));
        }
        let weight = u32::try_from(recording.weight()).unwrap_or(u32::MAX);
        if !self.durable.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the database would not keep what it confirms".to_owned()));
        }
        let bytes = lane
            .bytes
            .clone()
            .try_acquire_many_owned(weight)
            .map_err(|_| StoreError::Overloaded("the queue's bytes are used up"))?;
        let (reply, answer) = oneshot::channel();
        let deadline = self.clock.monotonic().saturating_add(self.answer_timeout);
        let pending = Pending { recording, reply, deadline, _bytes: bytes };
        lane.queue.try_send(pending).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded("the queue is full"),
            TrySendError::Closed(_) => StoreError::ShuttingDown,
        })?;
        self.metrics.queue_depth.inc();
        match tokio::time::timeout(self.answer_timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(StoreError::Unavailable("the writer dropped the event".to_owned())),
            Err(_) => Err(StoreError::Unavailable("no commit within ingest.answer_timeout_s".to_owned())),
        }
    }

    /// Whether every writing connection is there.
    pub fn is_available(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
            && self.lanes.iter().all(|lane| lane.available.load(Ordering::Relaxed) && !lane.queue.is_closed())
    }

    /// Says whether the database keeps what it confirms. While it does not, nothing is taken.
    pub fn set_durable(&self, durable: bool) {
        self.durable.store(durable, Ordering::Relaxed);
    }

    fn lane(&self, recording: &Recording) -> Result<&Lane, StoreError> {
        // The low bits of a UUIDv7 are random: merchants spread evenly.
        let lanes = u128::try_from(self.lanes.len()).unwrap_or(1).max(1);
        let number = recording.merchant.id.uuid().as_u128() % lanes;
        usize::try_from(number).ok().and_then(|number| self.lanes.get(number)).ok_or(StoreError::ShuttingDown)
    }
}

impl WriterThreads {
    /// Waits until every recording taken is written and answered. All [`Writer`]s must be dropped.
    pub fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a writer thread panicked");
            }
        }
    }
}
