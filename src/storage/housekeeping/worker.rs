//! The thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::bodies::Bodies;
use super::sweep::Sweep;
use super::{Owners, Refused, Retention};
use crate::domain::attempt::Attempt;
use crate::domain::time::Clock;
use crate::storage::attempts::{self, AttemptRow, WHOLE_REQUEST};
use crate::storage::checkpoints::Checkpoints;
use crate::storage::error::Failure;
use crate::storage::{AnyConnection, Connector, Purpose, StoreError};
use crate::system::ClockWatch;
use crate::telemetry::{DropLabels, JournalMetrics};

/// Attempts in one transaction, and how long it is at least from one to the next: a flood costs the
/// callbacks no more than this.
const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_millis(100);

/// How long others have their turn after a transaction of a sweep: SQLite has one writer at a time.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

/// The same on SQLite after a transaction of forgetting, which has all the time: every commit of another
/// connection makes the writer read anew what it had in memory.
const BODIES_PAUSE: Duration = Duration::from_millis(20);

/// What a transaction counts as until SQLite's log is looked at: as many rows as it may write.
const ROWS: usize = 500;

/// How often raw bodies and addresses past their time are looked for.
const BODIES_EVERY: Duration = Duration::from_secs(3_600);

/// How long nothing is done while there is nothing to do.
const IDLE: Duration = Duration::from_secs(1);

pub struct Worker {
    store: Store,
    refused: Receiver<Refused>,
    owners: Owners,
    retention: Retention,
    sweep: Sweep,
    swept_at: Option<Duration>,
    bodies: Bodies,
    /// When they are next looked for.
    bodies_due: Duration,
    /// What the service judges its clock by.
    judged: Arc<ClockWatch>,
    /// The same with nobody's word but the machine's.
    clock_watch: ClockWatch,
    clock: Arc<dyn Clock>,
    metrics: JournalMetrics,
}

/// A connection that is made anew after every failure.
pub struct Store {
    connector: Connector,
    connection: Option<AnyConnection>,
    checkpoints: Option<Checkpoints>,
}

impl Worker {
    pub fn new(
        connector: Connector,
        (refused, owners): (Receiver<Refused>, Owners),
        retention: Retention,
        (clock, judged): (Arc<dyn Clock>, Arc<ClockWatch>),
        metrics: JournalMetrics,
    ) -> Self {
        let checkpoints = connector.checkpoints();
        let store = Store { connector, connection: None, checkpoints };
        Self {
            store,
            refused,
            owners,
            retention,
            sweep: Sweep::default(),
            swept_at: None,
            bodies: Bodies::default(),
            bodies_due: Duration::ZERO,
            judged,
            clock_watch: ClockWatch::new(clock.clone()),
            clock,
            metrics,
        }
    }

    /// Runs until every sender is gone and what they sent is written.
    pub fn run(mut self) {
        loop {
            self.store.attend();
            self.begin_sweep();
            self.begin_bodies();
            let wait = self.pause().unwrap_or(IDLE);
            let mut flood = false;
            match self.refused.recv_timeout(wait) {
                Ok(first) => {
                    let batch = self.take(first);
                    self.write(&batch);
                    flood = true;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let swept = self.sweep_for(PAUSE);
            if flood {
                std::thread::sleep(PAUSE.saturating_sub(swept));
            }
        }
    }

    fn take(&self, first: Refused) -> Vec<Refused> {
        let mut batch = vec![first];
        batch.extend(self.refused.try_iter().take(BATCH - 1));
        // Not while the request is answered: its time would tell whether there is such a key.
        for attempt in batch.iter_mut().map(|one| &mut one.attempt) {
            let Attempt { merchant, mode, key_id, .. } = attempt;
            if merchant.is_none() {
                (*merchant, *mode) = key_id.as_deref().and_then(|key_id| (self.owners)(key_id)).unzip();
            }
            // Nobody signed it and it names nobody's key: no erasure would find the body's digest again.
            if merchant.is_none() && !attempt.authenticated {
                attempt.body_sha256 = None;
            }
        }
        batch
    }

    fn write(&mut self, batch: &[Refused]) {
        let written = self.store.write(|connection| {
            let rows: Vec<AttemptRow<'_>> = batch
                .iter()
                .map(|one| AttemptRow::new(&one.attempt, WHOLE_REQUEST, &one.ending, one.elapsed))
                .collect();
            attempts::insert(connection, rows)
        });
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        match written {
            Ok(()) => {
                self.metrics.written.inc_by(count);
            }
            Err(error) => {
                tracing::warn!(%error, attempts = count, "refused attempts could not be journaled");
                self.metrics.dropped.get_or_create(&DropLabels { reason: "store_failed" }).inc_by(count);
            }
        }
    }

    /// By a clock that is wrong no key has expired: its answer was promised. The journal is only a journal.
    fn begin_sweep(&mut self) {
        let now = self.clock.monotonic();
        let every = self.retention.sweep_every;
        if self.sweep.is_done() && self.swept_at.is_none_or(|at| now.saturating_sub(at) >= every) {
            self.swept_at = Some(now);
            let (wall, reliable) = (self.clock.now(), self.judged.reliable_now());
            match Sweep::begin(&mut self.store, &self.retention, wall, reliable) {
                Ok(sweep) => self.sweep = sweep,
                Err(error) => tracing::warn!(%error, "what is past its time could not be looked for"),
            }
        }
    }

    /// By a clock that has jumped everything might seem old, and a body that is forgotten is gone for
    /// good: with one nothing is begun.
    fn begin_bodies(&mut self) {
        let now = self.clock.monotonic();
        if !self.bodies.is_done() || now < self.bodies_due {
            return;
        }
        self.bodies_due = now.saturating_add(BODIES_EVERY);
        self.clock_watch.settle();
        if !self.clock_watch.is_reliable() {
            tracing::warn!("the clock has jumped: no raw bodies are forgotten until it is right again");
            return;
        }
        match Bodies::begin(&mut self.store, &self.retention, self.clock.now()) {
            Ok(bodies) => self.bodies = bodies,
            Err(error) => self.leave_bodies(&error),
        }
    }

    /// What failed is tried again with the next sweep.
    fn leave_bodies(&mut self, error: &StoreError) {
        tracing::warn!(%error, "raw bodies past their time could not be forgotten");
        self.bodies = Bodies::default();
        self.bodies_due = self.clock.monotonic().saturating_add(self.retention.sweep_every);
    }

    /// Goes on with the sweep for so long, then with the bodies; how long it took. The journal is not
    /// kept waiting.
    fn sweep_for(&mut self, at_most: Duration) -> Duration {
        let started = self.clock.monotonic();
        loop {
            let elapsed = self.clock.monotonic().saturating_sub(started);
            let Some(pause) = self.pause().filter(|_| elapsed < at_most) else { return elapsed };
            if self.sweep.is_done() {
                if let Err(error) = self.bodies.step(&mut self.store) {
                    self.leave_bodies(&error);
                }
            } else if let Err(error) = self.sweep.step(&mut self.store) {
                tracing::warn!(%error, "what is past its time could not be deleted");
                self.sweep = Sweep::default();
            }
            std::thread::sleep(pause);
        }
    }

    /// How long others have their turn before the next step; `None` = there is none.
    fn pause(&self) -> Option<Duration> {
        match (self.sweep.is_done(), self.bodies.is_done()) {
            (false, _) => Some(SWEEP_PAUSE),
            (true, false) if self.store.connector.is_shared() => Some(SWEEP_PAUSE),
            (true, false) => Some(BODIES_PAUSE),
            (true, true) => None,
        }
    }
}

impl Store {
    /// A transaction of which the last ones may be lost with the machine.
    pub fn write<T>(
        &mut self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.on_connection(|connection, checkpoints| {
            if let Some(checkpoints) = checkpoints {
                checkpoints.proceed(connection)?;
                checkpoints.committed(ROWS);
            }
            connection.write_for(Purpose::Housekeeping, work)
        })
    }

    /// Copies SQLite's log where reads are held back until then: the writer might have nothing to write.
    fn attend(&mut self) {
        if !self.checkpoints.as_ref().is_some_and(Checkpoints::is_waited_for) {
            return;
        }
        let copied = self.on_connection(|connection, checkpoints| match checkpoints {
            Some(checkpoints) => checkpoints.proceed(connection),
            None => Ok(()),
        });
        if let Err(error) = copied {
            tracing::warn!(%error, "SQLite's log could not be copied");
        }
    }

    /// A look that holds up nobody.
    pub fn read<T>(
        &mut self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.on_connection(|connection, _| connection.read(work))
    }

    fn on_connection<T>(
        &mut self,
        work: impl FnOnce(&mut AnyConnection, &mut Option<Checkpoints>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.connector.connect(Purpose::Housekeeping)?),
        };
        let result = work(connection, &mut self.checkpoints);
        if let Err(error) = &result {
            self.connection = None;
            if matches!(error, StoreError::Failed(Failure::Exhausted | Failure::Unknown, _)) {
                self.checkpoints.iter().for_each(Checkpoints::doubt);
            }
        }
        result
    }
}
