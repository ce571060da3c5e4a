//! A connection to the database of a run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use conversiond::domain::submission::{Entry, Submission, SubmissionOutcome};
use conversiond::storage::StoreError;
use conversiond::storage::submissions::WriteContext;
use conversiond::storage::writer::{BatchFailure, BatchStore};

use crate::disk::{Disk, Lock, identity, locks_of};
use crate::stage::Stage;
use crate::weather::{Commit, Weather};

/// How long a transaction waits for what another one has locked, as `lock_timeout` has it.
const LOCK_TIMEOUT: Duration = Duration::from_millis(200);

/// How old an event's id may be when it is recorded.
const ID_AGE_MAX: chrono::TimeDelta = chrono::TimeDelta::seconds(90);

/// Where all connections of a run lead.
pub struct World {
    pub disk: Disk,
    pub weather: Weather,
    pub random: fastrand::Rng,
    /// How often something went wrong.
    pub faults: usize,
    /// How many transactions were begun.
    pub transactions: usize,
    /// What must not be.
    pub violations: Vec<String>,
    /// What happened, if anybody wants to know.
    pub trace: Option<Vec<String>>,
}

impl World {
    pub fn note(&mut self, now: Duration, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3} ms  {}", now.as_secs_f64() * 1_000.0, text()));
        }
    }

    pub fn check(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(text());
        }
    }
}

/// One connection.
pub struct StageStore {
    pub stage: Arc<Stage>,
    pub world: Arc<Mutex<World>>,
    /// Whose it is.
    pub who: usize,
    /// How many submissions may come at once.
    pub batch_max: usize,
    /// Whether others work on the same database: they are waited for row by row, else altogether.
    pub is_shared: bool,
    pub connected: bool,
}

impl StageStore {
    /// Lets time pass; the world is nobody's meanwhile.
    fn work(&self) {
        let time = {
            let world = &mut *self.world.lock().unwrap();
            world.weather.duration(self.stage.now(), &mut world.random)
        };
        self.stage.sleep(self.who, time);
    }

    fn note(&self, text: impl FnOnce() -> String) {
        let now = self.stage.now();
        self.world.lock().unwrap().note(now, || format!("connection {}: {}", self.who, text()));
    }

    /// A transaction up to its COMMIT, under locks of this owner.
    fn lock(&self, batch: &[Submission], owner: u64) -> Result<(), BatchFailure> {
        for lock in locks_of(batch) {
            let mut waited = Duration::ZERO;
            while !self.world.lock().unwrap().disk.try_lock(&lock, owner) {
                if !self.is_shared {
                    return Err(BatchFailure::Contended("the database is locked".to_owned()));
                }
                if waited >= LOCK_TIMEOUT {
                    let by_key = matches!(lock, Lock::Key(_));
                    return Err(BatchFailure::Blocked { by_key, why: format!("{lock:?}") });
                }
                let step = Duration::from_millis(20);
                self.stage.sleep(self.who, step);
                waited += step;
            }
        }
        Ok(())
    }

    fn transaction(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
        owner: u64,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure> {
        self.lock(batch, owner)?;
        self.work();
        let events = || batch.iter().flat_map(Submission::entries).flat_map(Entry::events);
        if events().any(|event| identity(event).1.starts_with("POISON")) {
            return Err(BatchFailure::Refused("a check is violated".to_owned()));
        }
        let begun_at = context.received_at + (self.clock() - context.monotonic);
        if events().any(|event| begun_at - event.event_id.made_at() > ID_AGE_MAX) {
            return Err(BatchFailure::Late("an id is too old".to_owned()));
        }
        let (outcomes, changes) = self.world.lock().unwrap().disk.evaluate(batch, context);
        self.work();
        let fate = {
            let world = &mut *self.world.lock().unwrap();
            world.weather.commit(self.stage.now(), &mut world.random)
        };
        self.note(|| format!("COMMIT: {fate:?}"));
        let mut world = self.world.lock().unwrap();
        world.faults += usize::from(!matches!(fate, Commit::Answered));
        match fate {
            Commit::Answered => {
                world.disk.apply(changes, owner);
                drop(world);
                self.work();
                Ok(outcomes)
            }
            Commit::Undone(failure) => Err(failure),
            Commit::Unseen(failure) => {
                world.disk.apply(changes, owner);
                Err(failure)
            }
            Commit::Undecided(failure, after, happens) => {
                let ends_at = self.stage.now() + after;
                world.disk.orphan(owner, ends_at, happens.then_some(changes));
                Err(failure)
            }
        }
    }

    fn clock(&self) -> Duration {
        Duration::from_secs(1_000) + self.stage.now()
    }
}

impl BatchStore for StageStore {
    fn commit(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure> {
        self.note(|| format!("a batch of {}", batch.len()));
        let owner = {
            let world = &mut *self.world.lock().unwrap();
            world.transactions += 1;
            let fits = (1..=self.batch_max).contains(&batch.len());
            world.check(fits, || format!("a batch of {} where {} may be", batch.len(), self.batch_max));
            world.disk.owner()
        };
        self.work();
        if !self.connected {
            return Err(BatchFailure::Lost("there is no connection".to_owned()));
        }
        let before = {
            let world = &mut *self.world.lock().unwrap();
            let now = self.stage.now();
            let away = world.weather.is_away(now).then(|| BatchFailure::Lost("away".to_owned()));
            let failure = away.or_else(|| world.weather.failure_before(now, &mut world.random));
            world.faults += usize::from(failure.is_some());
            failure
        };
        let result = match before {
            Some(failure) => Err(failure),
            None => self.transaction(batch, context, owner),
        };
        if let Err(failure) = &result {
            self.note(|| format!("{failure:?}"));
            self.connected = !matches!(failure, BatchFailure::Lost(_));
            let mut world = self.world.lock().unwrap();
            if !world.disk.is_orphan(owner) {
                world.disk.release(owner);
            }
        }
        result
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        self.work();
        let refused = {
            let world = &mut *self.world.lock().unwrap();
            world.weather.refuses_connection(self.stage.now(), &mut world.random)
        };
        self.note(|| format!("reconnects: {}", !refused));
        self.connected = !refused;
        match refused {
            true => Err(StoreError::Unavailable("away".to_owned())),
            false => Ok(()),
        }
    }
}
