//! Group commit: many callers, few transactions, and no answer before COMMIT.
//!
//! Callers put submissions into a bounded queue and wait. A thread that owns one connection takes
//! what has queued up while the last commit was on its way to disk, merchants in turn (`fair`), writes
//! it in one transaction, and answers each caller after it. There is no timer: when idle a callback costs
//! one commit, under load a commit carries hundreds. What another instance has locked goes another
//! way (`rescue`). This room holds the queue and the policy; it knows no SQL.

mod batch;
mod database;
mod fair;
mod health;
mod idle;
mod quarantine;
mod queue;
mod rescue;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::oneshot;

use super::StoreError;
use crate::config::{Idempotency, Ingest};
use crate::domain::submission::Submission;
use crate::domain::time::Clock;
use crate::telemetry::WriterMetrics;

use batch::Written;
use health::Health;
use queue::Held;
use rescue::Rescue;

pub use batch::{BatchFailure, BatchStore};
pub use database::DatabaseStore;
pub use health::Condition;
pub use idle::Idle;
pub use queue::{LaneQueue, Ready};

/// Takes submissions and tells what became of them.
#[derive(Clone)]
pub struct Writer {
    lanes: Arc<Vec<Lane>>,
    /// The way for what is known to be locked; there is none on SQLite.
    rescue: Option<Rescue>,
    /// False while the database is set so that a commit may not be on disk.
    durable: Arc<AtomicBool>,
    answer_timeout: Duration,
    /// How long a submission may wait for what another instance has locked.
    patience: Duration,
    clock: Arc<dyn Clock>,
}

/// The queue of one writing connection.
struct Lane {
    queue: queue::Sender,
    available: Arc<AtomicBool>,
    health: Arc<Health>,
}

/// The writer's threads, to be waited for at shutdown.
pub struct WriterThreads(Vec<std::thread::JoinHandle<()>>);

/// The connections that a writer works on.
pub struct Stores<S> {
    /// One per lane.
    pub lanes: Vec<S>,
    /// For what another instance has locked; `None` where there is no other instance.
    pub rescue: Option<S>,
}

/// One submission that waits for its commit.
pub struct Pending {
    submission: Submission,
    reply: oneshot::Sender<Written>,
    /// On the monotonic clock. Who has waited too long has been answered already.
    deadline: Duration,
    /// Until when it may wait for what another instance has locked.
    patience: Duration,
    /// Its share of the queue's bytes, given back when it is answered.
    held: Held,
}

/// What remains of it while the submission is being written.
struct Ticket {
    reply: oneshot::Sender<Written>,
    deadline: Duration,
    patience: Duration,
    held: Held,
}

impl Pending {
    fn split(self) -> (Submission, Ticket) {
        let Self { submission, reply, deadline, patience, held } = self;
        (submission, Ticket { reply, deadline, patience, held })
    }
}

impl Ticket {
    fn with(self, submission: Submission) -> Pending {
        let Self { reply, deadline, patience, held } = self;
        Pending { submission, reply, deadline, patience, held }
    }

    fn answer(self, written: Written) {
        // A caller that has gone away is no error: what it reported is recorded all the same.
        let _ = self.reply.send(written);
        drop(self.held);
    }
}

impl Writer {
    /// Starts one thread per store. A merchant's events always take the same one, so that they
    /// never wait for each other across connections.
    pub fn start<S: BatchStore>(
        stores: Stores<S>,
        limits: &Ingest,
        idempotency: &Idempotency,
        clock: &Arc<dyn Clock>,
        metrics: &WriterMetrics,
    ) -> std::io::Result<(Self, WriterThreads)> {
        let idle: Arc<dyn Idle> = Arc::new(idle::RealTime);
        Self::start_idling(stores, limits, idempotency, clock, metrics, &idle)
    }

    /// As [`Self::start`], with threads that wait in another way than in real time. They are named
    /// `writer-0`, `writer-1`, … and `rescue`, and each begins by waiting for a submission.
    pub fn start_idling<S: BatchStore>(
        stores: Stores<S>,
        limits: &Ingest,
        idempotency: &Idempotency,
        clock: &Arc<dyn Clock>,
        metrics: &WriterMetrics,
        idle: &Arc<dyn Idle>,
    ) -> std::io::Result<(Self, WriterThreads)> {
        let key_ttl = TimeDelta::hours(idempotency.ttl_hours.into());
        let share = limits.queue_bytes / stores.lanes.len().max(1);
        let mut threads = Vec::with_capacity(stores.lanes.len() + 1);
        let mut spawn = |name: String, run: Box<dyn FnOnce() + Send>| {
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
            std::io::Result::Ok(())
        };
        let rescue = match stores.rescue {
            None => None,
            Some(store) => {
                // What waits there counts in its lane's share, of which the others keep a half.
                let (rescue, worker) = rescue::lane(store, (clock.clone(), idle.clone()), key_ttl, share / 2);
                spawn("rescue".to_owned(), Box::new(move || worker.run()))?;
                Some(rescue)
            }
        };
        let mut lanes = Vec::with_capacity(stores.lanes.len());
        for (number, store) in stores.lanes.into_iter().enumerate() {
            let limits = fair::Limits {
                queue_rows: limits.queue_events,
                queue_bytes: share,
                batch_rows: limits.batch_events,
                batch_bytes: limits.batch_bytes,
            };
            let (sender, queue) = queue::queue(number, limits, metrics);
            let available = Arc::new(AtomicBool::new(true));
            let health = Arc::new(Health::default());
            let worker = thread::Worker {
                store,
                queue,
                rescue: rescue.clone(),
                key_ttl,
                available: available.clone(),
                health: health.clone(),
                clock: clock.clone(),
                idle: idle.clone(),
                metrics: metrics.clone(),
            };
            spawn(format!("writer-{number}"), Box::new(move || worker.run()))?;
            lanes.push(Lane { queue: sender, available, health });
        }
        let writer = Self {
            lanes: Arc::new(lanes),
            rescue,
            durable: Arc::new(AtomicBool::new(true)),
            answer_timeout: Duration::from_secs(limits.answer_timeout_s),
            patience: Duration::from_millis(idempotency.wait_ms),
            clock: clock.clone(),
        };
        Ok((writer, WriterThreads(threads)))
    }

    /// Writes a submission and waits until it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`], [`StoreError::ShuttingDown`]: nothing was taken.
    /// [`StoreError::Unavailable`]: the database is away, or did not answer in time; whether it was
    /// recorded is then unknown, and sending it again tells. [`StoreError::Failed`]: another
    /// instance has locked what it needs and did not let go in time.
    pub async fn write(&self, submission: Submission) -> Written {
        let lane = self.lane(&submission)?;
        if !lane.available.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the writer has no connection".to_owned()));
        }
        if !self.durable.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the database would not keep what it confirms".to_owned()));
        }
        let (reply, answer) = oneshot::channel();
        let now = self.clock.monotonic();
        let (deadline, patience) =
            (now.saturating_add(self.answer_timeout), now.saturating_add(self.patience));
        let pending = |submission, held| Pending { submission, reply, deadline, patience, held };
        match self.rescue.as_ref().filter(|rescue| rescue.concerns(&submission)) {
            Some(rescue) => {
                let held = lane.queue.hold(&submission)?;
                rescue.take(pending(submission, held));
            }
            None => lane.queue.push(submission, pending)?,
        }
        match tokio::time::timeout(self.answer_timeout, answer).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => Err(StoreError::Unavailable("the writer dropped the event".to_owned())),
            Err(_) => Err(StoreError::Unavailable("no commit within ingest.answer_timeout_s".to_owned())),
        }
    }

    /// Whether every writing connection is there.
    pub fn is_available(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
            && self.lanes.iter().all(|lane| lane.available.load(Ordering::Relaxed) && !lane.queue.is_closed())
    }

    /// How the lanes' last batches ended: as those of the worst lane.
    pub fn condition(&self) -> Condition {
        let now = self.clock.monotonic();
        let conditions = || self.lanes.iter().map(|lane| lane.health.condition(now));
        let worst = [Condition::Failing, Condition::Unknown].into_iter();
        worst.into_iter().find(|one| conditions().any(|other| other == *one)).unwrap_or(Condition::Well)
    }

    /// Forgets the batches that failed: a transaction could begin now.
    pub fn forgive(&self) {
        self.lanes.iter().for_each(|lane| lane.health.clear());
    }

    /// Says whether the database keeps what it confirms. While it does not, nothing is taken.
    pub fn set_durable(&self, durable: bool) {
        self.durable.store(durable, Ordering::Relaxed);
    }

    fn lane(&self, submission: &Submission) -> Result<&Lane, StoreError> {
        // The low bits of a UUIDv7 are random: merchants spread evenly.
        let lanes = u128::try_from(self.lanes.len()).unwrap_or(1).max(1);
        let number = submission.merchant.uuid().as_u128() % lanes;
        usize::try_from(number).ok().and_then(|number| self.lanes.get(number)).ok_or(StoreError::ShuttingDown)
    }
}

impl WriterThreads {
    /// Waits until every submission taken is written and answered. All [`Writer`]s must be dropped.
    pub fn join(self) {
        for thread in self.0 {
            if thread.join().is_err() {
                tracing::error!("a writer thread panicked");
            }
        }
    }
}
