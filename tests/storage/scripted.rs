//! A store that fails as told, and a writer on it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use conversiond::config::{Idempotency, Ingest};
use conversiond::domain::event::Outcome;
use conversiond::domain::submission::{Conflict, Submission, SubmissionOutcome};
use conversiond::domain::time::Clock;
use conversiond::storage::StoreError;
use conversiond::storage::submissions::WriteContext;
use conversiond::storage::writer::{BatchFailure, BatchStore, Stores, Writer, WriterThreads};
use conversiond::telemetry::Metrics;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::events::{event_outcome, keyed, merchant, recording, submission};
use crate::support::clock::TestClock;
use crate::support::eventually;

/// What the store is told to do, and what it saw.
#[derive(Clone, Default)]
pub struct Script {
    /// Failures of the next commits, in order.
    pub failures: Arc<Mutex<VecDeque<BatchFailure>>>,
    /// Failures of the next reconnects.
    pub unreachable: Arc<Mutex<u32>>,
    /// Orders that the database refuses.
    pub poison: Arc<Mutex<Vec<String>>>,
    /// Orders whose event's id is too old.
    pub late: Arc<Mutex<Vec<String>>>,
    /// Orders whose row somebody else has locked.
    pub blocked: Arc<Mutex<Vec<String>>>,
    /// Idempotency keys that somebody else has locked.
    pub blocked_keys: Arc<Mutex<Vec<String>>>,
    /// Orders that find their key taken by another one of their batch, which is refused.
    pub after_refused: Arc<Mutex<Vec<String>>>,
    /// How many seconds of the writer's time a commit takes.
    pub slow_s: Arc<AtomicI64>,
    /// How many batches came in.
    pub entered: Arc<AtomicUsize>,
    /// Sizes of the batches tried.
    pub tried: Arc<Mutex<Vec<usize>>>,
    /// Their orders.
    pub orders: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Script {
    /// How often this order was tried.
    pub fn tries_of(&self, order: &str) -> usize {
        self.orders.lock().unwrap().iter().flatten().filter(|tried| *tried == order).count()
    }

    /// Lets go of every lock.
    pub fn unblock(&self) {
        self.blocked.lock().unwrap().clear();
        self.blocked_keys.lock().unwrap().clear();
    }

    fn verdict(&self, batch: &[Submission]) -> Result<(), BatchFailure> {
        if let Some(failure) = self.failures.lock().unwrap().pop_front() {
            return Err(failure);
        }
        let among = |list: &Mutex<Vec<String>>| {
            let list = list.lock().unwrap();
            batch.iter().any(|one| list.contains(&order(one)))
        };
        if among(&self.poison) {
            return Err(BatchFailure::Refused("poison".to_owned()));
        }
        if among(&self.late) {
            return Err(BatchFailure::Late("its id is old".to_owned()));
        }
        // Keys are claimed before events go in.
        let keys = self.blocked_keys.lock().unwrap();
        let by_key =
            |one: &Submission| one.claims().any(|claim| keys.contains(&claim.key.as_str().to_owned()));
        if batch.iter().any(by_key) {
            return Err(BatchFailure::Blocked { by_key: true, why: "55P03".to_owned() });
        }
        if among(&self.blocked) {
            return Err(BatchFailure::Blocked { by_key: false, why: "55P03".to_owned() });
        }
        Ok(())
    }
}

/// A store that follows its script.
pub struct ScriptedStore {
    script: Script,
    clock: Arc<TestClock>,
    gate: Option<Receiver<()>>,
}

impl BatchStore for ScriptedStore {
    fn commit(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure> {
        self.script.entered.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            // Closed for good once the test has let go of it.
            let _ = gate.recv();
        }
        self.script.tried.lock().unwrap().push(batch.len());
        self.script.orders.lock().unwrap().push(batch.iter().map(order).collect());
        self.clock.advance(chrono::TimeDelta::seconds(self.script.slow_s.load(Ordering::SeqCst)));
        self.script.verdict(batch)?;
        let after_refused = self.script.after_refused.lock().unwrap();
        let outcome = |one: &Submission| match batch.len() > 1 && after_refused.contains(&order(one)) {
            true => SubmissionOutcome::Refused(Conflict::KeyInUse),
            false => one.if_new(context.received_at),
        };
        Ok(batch.iter().map(outcome).collect())
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        let mut unreachable = self.script.unreachable.lock().unwrap();
        match unreachable.checked_sub(1) {
            Some(left) => {
                *unreachable = left;
                Err(StoreError::Unavailable("away".to_owned()))
            }
            None => Ok(()),
        }
    }
}

/// The order of a submission.
pub fn order(submission: &Submission) -> String {
    submission.entries().next().unwrap().order().unwrap().as_str().to_owned()
}

/// A sale of this order.
pub fn event(order: usize) -> Submission {
    event_of(1, order)
}

/// The same of this merchant.
pub fn event_of(number: u128, order: usize) -> Submission {
    submission(recording(&merchant(number), &json!({"externalOrderId": format!("O-{order}"), "amount": "1"})))
}

/// The same under an idempotency key.
pub fn event_under(key: &str, order: usize) -> Submission {
    keyed(event(order), key)
}

pub type Written = Result<SubmissionOutcome, StoreError>;

pub fn is_accepted(written: &Written) -> bool {
    matches!(written, Ok(outcome) if matches!(event_outcome(outcome), Outcome::Accepted(_)))
}

/// A writer with one lane, and perhaps a rescue lane, on scripted stores.
pub struct Bench {
    pub writer: Writer,
    pub script: Script,
    /// What the rescue lane's store does. The two share what is blocked.
    pub rescue: Script,
    pub clock: Arc<TestClock>,
    pub metrics: Metrics,
    /// Holds back the lane's commits until it is dropped.
    pub gate: Option<Sender<()>>,
    /// The rescue lane's.
    pub rescue_gate: Option<Sender<()>>,
    pub threads: WriterThreads,
}

/// What a bench is to be.
#[derive(Clone, Copy, Default)]
pub struct Wanted {
    /// Whether the lane's commits are held back.
    pub gated: bool,
    /// Whether there is a rescue lane.
    pub rescue: bool,
    /// Whether its commits are held back.
    pub rescue_gated: bool,
}

pub fn start(gated: bool, change: impl FnOnce(&mut Ingest)) -> Bench {
    start_wanted(Wanted { gated, ..Wanted::default() }, 5_000, change)
}

/// A bench with a rescue lane, in which is waited for a minute.
pub fn start_with_rescue(gated: bool, change: impl FnOnce(&mut Ingest)) -> Bench {
    start_wanted(Wanted { gated, rescue: true, rescue_gated: false }, 60_000, change)
}

pub fn start_wanted(wanted: Wanted, wait_ms: u64, change: impl FnOnce(&mut Ingest)) -> Bench {
    let mut limits = Ingest {
        queue_events: 1_000,
        queue_bytes: 1 << 22,
        batch_events: 64,
        batch_bytes: 1 << 20,
        bulk_rows_max: 1_000,
        bulk_wait_ms: 5_000,
        answer_timeout_s: (wait_ms / 1_000).max(10),
    };
    change(&mut limits);
    let clock = Arc::new(TestClock::default());
    let script = Script::default();
    let (blocked, blocked_keys) = (script.blocked.clone(), script.blocked_keys.clone());
    let rescue = Script { blocked, blocked_keys, ..Script::default() };
    let store = |script: &Script, gated: bool| {
        let (opener, gate) = channel();
        let store =
            ScriptedStore { script: script.clone(), clock: clock.clone(), gate: gated.then_some(gate) };
        (store, gated.then_some(opener))
    };
    let (lane, gate) = store(&script, wanted.gated);
    let (rescue_lane, rescue_gate) = store(&rescue, wanted.rescue_gated);
    let stores = Stores { lanes: vec![lane], rescue: wanted.rescue.then_some(rescue_lane) };
    let idempotency = Idempotency { ttl_hours: 24, wait_ms, sweep_s: 60 };
    let shared: Arc<dyn Clock> = clock.clone();
    let metrics = Metrics::new();
    let (writer, threads) = Writer::start(stores, &limits, &idempotency, &shared, &metrics.writer).unwrap();
    Bench { writer, script, rescue, clock, metrics, gate, rescue_gate, threads }
}

pub fn send(writer: &Writer, submission: Submission) -> JoinHandle<Written> {
    let writer = writer.clone();
    tokio::spawn(async move { writer.write(submission).await })
}

/// Queues events behind a first one that the gate holds back, so that they form one batch.
pub async fn queue(bench: &Bench, events: impl IntoIterator<Item = Submission>) -> Vec<JoinHandle<Written>> {
    let mut calls = vec![send(&bench.writer, event(999))];
    eventually("the store has the first", async || bench.script.entered.load(Ordering::SeqCst) == 1).await;
    for (before, event) in events.into_iter().enumerate() {
        calls.push(send(&bench.writer, event));
        let waiting = i64::try_from(before + 1).unwrap();
        eventually("it is in the queue", async || bench.metrics.writer.queue_depth.get() == waiting).await;
    }
    calls
}
