//! The commit path under a clock and a database that a seed decides over: the product's own queue,
//! batches, retries, halving and rescue lane, in virtual time, with faults at every step.
//!
//! `CONVERSIOND_FAULTS_TIMES=10` runs ten times as many seeds. `CONVERSIOND_FAULTS_SEED=…` replays one,
//! and tells its story.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test that meets the unexpected fails; it tells its seed, and how long it took in real time"
)]

mod disk;
mod instance;
mod promises;
mod run;
mod shop;
mod stage;
mod store;
mod weather;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use run::{Report, run};
use serde_json::json;

/// How many seeds CI runs.
const SEEDS: u64 = 1_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}")))
}

/// Runs within a runtime's context, whose timers nobody drives: all time is the run's.
fn within_a_runtime<T>(work: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _context = runtime.enter();
    work()
}

/// Runs every second seed, and ends with the first that is not well.
fn work(seeds: impl Iterator<Item = u64>, over: &AtomicBool) -> (Report, Option<u64>) {
    within_a_runtime(|| {
        let mut sum = Report::default();
        for seed in seeds {
            let report = run(seed, false);
            let is_well = report.violations.is_empty();
            sum.add(&report);
            if !is_well {
                over.store(true, Ordering::Relaxed);
                return (sum, Some(seed));
            }
            if over.load(Ordering::Relaxed) {
                break;
            }
        }
        (sum, None)
    })
}

#[test]
fn nothing_acknowledged_is_lost_or_counted_twice_whatever_fails_and_whenever() {
    let began = Instant::now();
    let replayed = setting("CONVERSIOND_FAULTS_SEED");
    let first = replayed.unwrap_or_else(|| fastrand::u64(..));
    let count = if replayed.is_some() { 1 } else { SEEDS * setting("CONVERSIOND_FAULTS_TIMES").unwrap_or(1) };
    println!("{count} seeds from CONVERSIOND_FAULTS_SEED={first} on");
    let over = AtomicBool::new(false);
    let done: Vec<(Report, Option<u64>)> = std::thread::scope(|scope| {
        let start = |thread: u64| {
            let seeds = (thread..count).step_by(2).map(|number| first.wrapping_add(number));
            let over = &over;
            scope.spawn(move || work(seeds, over))
        };
        let running = [start(0), start(1)];
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let failed = done.iter().find_map(|(_, seed)| *seed);
    let mut sum = Report::default();
    done.iter().for_each(|(one, _)| sum.add(one));
    let line = json!({
        "kind": "simulation", "seed": first, "seeds": count, "faults": sum.faults, "requests": sum.requests,
        "transactions": sum.transactions, "acknowledged": sum.acknowledged,
        "virtual_s": sum.virtual_time.as_secs(), "real_s": began.elapsed().as_secs(),
        "passed": failed.is_none(),
    });
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../faults");
    if std::fs::create_dir_all(&folder).is_ok() {
        drop(std::fs::write(folder.join("simulation.json"), line.to_string()));
    }
    if let Some(seed) = failed.or(replayed) {
        // The same once more, with its story.
        let told = within_a_runtime(|| run(seed, true));
        println!("{}", told.trace.join("\n"));
        assert!(told.violations.is_empty(), "CONVERSIOND_FAULTS_SEED={seed}: {}", told.violations.join("\n"));
    }
    println!("{line}");
    assert!(failed.is_none() && sum.acknowledged > 0, "nothing was tried");
}

#[test]
fn a_seed_is_one_run() {
    within_a_runtime(|| {
        for seed in 0..20 {
            let (first, second) = (run(seed, true), run(seed, true));
            assert!(first.trace.len() > 10, "{:?}", first.trace);
            let differing = first.trace.iter().zip(&second.trace).find(|(one, other)| one != other);
            assert_eq!(differing, None, "seed {seed}");
            assert_eq!(first, second, "seed {seed}");
        }
    });
}

impl Report {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.acknowledged += other.acknowledged;
        self.faults += other.faults;
        self.transactions += other.transactions;
        self.virtual_time += other.virtual_time;
    }
}
