//! A kind of fault, tried so many times under one seed, and what came of it.
//!
//! `CONVERSIOND_FAULTS_TIMES=10` tries each kind ten times as often; `CONVERSIOND_FAULTS_SEED=…`
//! replays a run's random choices. Each trial prints one line and leaves it as
//! `faults/<kind>.json` beside the build's other files.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::load::{Promises, check};
use crate::support::caller::unix_now;
use crate::support::process::ServeProcess;
use crate::support::{Caller, TestDatabase};

/// How soon the service has to answer again after a fault's end.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// How many acknowledged callbacks are sent again at a trial's end.
const REPLAYS_MAX: usize = 200;

/// One kind of fault on one database.
pub struct Trial {
    kind: String,
    seed: u64,
    /// The trial's random choices.
    pub random: fastrand::Rng,
    faults: usize,
    acknowledged: usize,
    replayed: usize,
    slowest_recovery: Duration,
    passed: bool,
}

#[allow(clippy::disallowed_methods, reason = "a promise in real time")]
fn instant() -> Instant {
    Instant::now()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}")))
}

/// How often to do what CI does so many times.
pub fn times(in_ci: usize) -> usize {
    in_ci * usize::try_from(setting("CONVERSIOND_FAULTS_TIMES").unwrap_or(1)).unwrap()
}

impl Trial {
    /// Begins; the kind is a file's name, as in `sqlite-kill`.
    pub fn new(kind: &str) -> Self {
        let seed = setting("CONVERSIOND_FAULTS_SEED").unwrap_or_else(|| fastrand::u64(..));
        Self {
            kind: kind.to_owned(),
            seed,
            random: fastrand::Rng::with_seed(seed),
            faults: 0,
            acknowledged: 0,
            replayed: 0,
            slowest_recovery: Duration::ZERO,
            passed: false,
        }
    }

    /// Counts a fault that was really done.
    pub fn fault_done(&mut self) {
        self.faults += 1;
    }

    /// The fault is over: a new callback has to be accepted within five seconds.
    pub async fn answers_again(&mut self, caller: &Caller) {
        let since = instant();
        loop {
            let order = format!("AGAIN-{}", uuid::Uuid::new_v4().simple());
            let event = json!({"externalOrderId": order, "amount": "1", "currency": "EUR"}).to_string();
            let last = match caller.try_post(&event).await {
                Ok(answer) if answer.status == 202 => break,
                Ok(answer) => format!("{} {}", answer.status, answer.text),
                Err(error) => format!("{error:?}"),
            };
            assert!(since.elapsed() < RECOVERY_MAX, "{} after {:?}: {last}", self.kind, since.elapsed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The last try may have been a long one.
        assert!(since.elapsed() < RECOVERY_MAX, "{} after {:?}", self.kind, since.elapsed());
        self.slowest_recovery = self.slowest_recovery.max(since.elapsed());
    }

    /// Nothing acknowledged is lost or counted twice; call it before `replays`.
    pub fn check(&mut self, database: &TestDatabase, promises: &Promises) {
        check(database, promises);
        self.acknowledged = promises.acknowledged();
    }

    /// Sends acknowledged callbacks again: each is answered with the event that it is.
    pub async fn replays(&mut self, caller: &Caller, promises: &Promises) {
        let mut again: Vec<(String, String)> =
            promises.acknowledged.lock().unwrap().iter().map(|(o, id)| (o.clone(), id.clone())).collect();
        self.random.shuffle(&mut again);
        again.truncate(REPLAYS_MAX);
        for (order, id) in again {
            let (key, event) = (Promises::idempotency_key(&order), Promises::event(&order));
            let answer = match &key {
                Some(key) => caller.post_to("/api/v1/conversions", key, &event, unix_now()).await,
                None => caller.post_text(&event).await,
            };
            assert_eq!(answer.status, 202, "{order}: {}", answer.text);
            assert_eq!(answer.at("/event_id"), json!(id), "{order}: {}", answer.text);
            assert_eq!(answer.is_replayed(), key.is_some(), "{order}: {}", answer.text);
            if key.is_none() {
                assert_eq!(answer.word(), "DUPLICATE", "{order}");
            }
            self.replayed += 1;
        }
    }

    /// Ends, and the service with it: all that was promised holds, and is told again.
    pub async fn ends(
        mut self,
        service: ServeProcess,
        caller: &Caller,
        database: &TestDatabase,
        promises: &Promises,
    ) {
        self.check(database, promises);
        self.replays(caller, promises).await;
        self.passed();
        assert_eq!(tokio::task::block_in_place(|| service.terminate()).0, Some(0));
    }

    /// Ends: there was at least one fault, and something was promised.
    pub fn passed(mut self) {
        assert!(self.faults > 0 && self.acknowledged > 0, "{}: nothing was tried", self.kind);
        self.passed = true;
    }
}

impl Drop for Trial {
    /// Says the seed whatever came of it.
    fn drop(&mut self) {
        let line = json!({
            "kind": self.kind, "seed": self.seed, "faults": self.faults, "acknowledged": self.acknowledged,
            "replayed": self.replayed, "slowest_recovery_ms": self.slowest_recovery.as_millis(),
            "passed": self.passed,
        });
        println!("{line}");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../faults");
        if std::fs::create_dir_all(&folder).is_ok() {
            drop(std::fs::write(folder.join(format!("{}.json", self.kind)), line.to_string()));
        }
    }
}
