//! One merchant reads as much as it can: another one's callbacks and reads go on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use serde_json::json;

use crate::load::{Promises, check};
use crate::support::process::{ServeProcess, command};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, on_both_databases};

/// What the noisy merchant has.
const EVENTS: usize = 100_000;
const ATTEMPTS: usize = 50_000;

/// How long the other one is measured.
const MEASURED: Duration = Duration::from_secs(8);

/// What it may notice at most, with a debug build on two cores that others work on, too. With filters that
/// walk all that the noisy merchant has, and no shares, reads took seconds or were refused.
const P50_MAX: Duration = Duration::from_millis(250);
const P99_MAX: Duration = Duration::from_millis(1_500);

/// What the noisy merchant asks for, each in loops of its own.
const LOOPS: [(&str, usize); 8] = [
    ("/api/v1/conversions?attribution=attributed", 6),
    ("/api/v1/conversions?external_id=nothing", 2),
    ("/api/v1/conversions?occurred_to=2001-01-01T00:00:00Z", 2),
    ("/api/v1/attempts?reason=SIG_BAD_SIGNATURE", 4),
    ("/api/v1/orders?url_id=019a65f1-c2a3-7b3e-9d6a-4f0e8c7b5a21", 2),
    ("/api/v1/orders?limit=500", 2),
    ("/api/v1/exports/events", 1),
    ("/api/v1/reports/attribution?basis=event&group_by=day,url_id&from=2025-12-15&to=2026-01-15", 1),
];

/// Everybody who makes noise, until it is stopped.
#[derive(Default)]
struct Noise {
    stop: Arc<AtomicBool>,
    /// How often each status was answered, with a problem's code.
    answers: Arc<Mutex<BTreeMap<String, u64>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Noise {
    /// One more loop that sends a request again and again.
    fn make(&mut self, caller: &Caller, method: &'static str, target: &str, body: &str) {
        let (stop, answers) = (self.stop.clone(), self.answers.clone());
        let (caller, target, body) = (caller.clone(), target.to_owned(), body.to_owned());
        self.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let mut headers = caller.headers(Form::Bound, method, &target, body.as_bytes());
                if !body.is_empty() {
                    headers.push(("Content-Type".to_owned(), "application/x-ndjson".to_owned()));
                }
                let answer = caller.send(method, &target, body.as_bytes(), &headers).await;
                let word = if answer.status == 200 { String::new() } else { answer.word() };
                let count = format!("{} {word}", answer.status);
                *answers.lock().unwrap().entry(count).or_default() += 1;
            }
        }));
    }

    /// Ends it; what was answered.
    async fn end(self) -> BTreeMap<String, u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.answers.lock().unwrap().clone()
    }
}

/// How long something took, each time.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    async fn of<T>(&mut self, work: impl Future<Output = T>) -> T {
        let since = Instant::now();
        let done = work.await;
        self.0.push(since.elapsed());
        done
    }

    fn percentile(&mut self, percent: usize) -> Duration {
        self.0.sort_unstable();
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }

    /// Tells the figures, and holds them against what may be.
    fn judge(&mut self, what: &str) {
        let (p50, p99) = (self.percentile(50), self.percentile(99));
        println!("{what}: {} times, p50 {p50:.1?}, p99 {p99:.1?}", self.0.len());
        assert!(p50 <= P50_MAX && p99 <= P99_MAX, "{what}: p50 {p50:?}, p99 {p99:?}");
    }
}

/// A merchant's callbacks and reads, one after the other. All of them are taken.
async fn measure(quiet: &Caller, promises: &Promises) -> (Times, Times) {
    let (mut callbacks, mut reads) = (Times::default(), Times::default());
    let since = Instant::now();
    while since.elapsed() < MEASURED {
        let order = format!("Q-{}", callbacks.0.len());
        let answer = callbacks.of(quiet.post_text(&Promises::event(&order))).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let id = answer.at("/event_id").as_str().unwrap().to_owned();
        promises.acknowledged.lock().unwrap().insert(order, id);
        let answer = reads.of(quiet.get("/api/v1/conversions?limit=5")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (callbacks, reads)
}

/// So many rows of books, of orders that nobody has.
fn books(rows: usize) -> String {
    (0..rows).map(|n| format!("{}\n", json!({"order_id": format!("N-{n}"), "value": "1"}))).collect()
}

/// Callers of merchants that have so many events each.
fn callers(database: &TestDatabase, count: usize, events: usize) -> Vec<Caller> {
    let mut setup = Setup::new(database, "");
    let mut caller = || {
        let merchant = setup.merchant();
        if events > 0 {
            setup.fill_events(merchant, events, 100);
        }
        setup.key(KeyKind::Live, Some(merchant))
    };
    (0..count).map(|_| caller()).collect()
}

on_both_databases! {
    async fn a_merchant_that_reads_in_many_loops_holds_up_nobody_else(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let merchant = setup.merchant();
        let mut noisy = setup.key(KeyKind::Live, Some(merchant));
        setup.fill_events(merchant, EVENTS, 100);
        setup.fill_journal(merchant, ATTEMPTS);
        drop(setup);
        let mut quiet = callers(&database, 1, 0).remove(0);
        let service = ServeProcess::start(&database);
        (noisy.base, quiet.base) = (service.base.clone(), service.base.clone());
        let promises = Promises::default();
        let mut noise = Noise::default();
        for (target, loops) in LOOPS {
            for _ in 0..loops {
                noise.make(&noisy, "GET", target, "");
            }
        }
        let period = "from=2025-12-15T00:00:00Z&to=2026-01-15T00:00:00Z";
        noise.make(&noisy, "POST", &format!("/api/v1/reconciliations?{period}"), &books(5_000));
        let (mut callbacks, mut reads) = measure(&quiet, &promises).await;
        let answers = noise.end().await;
        println!("{backend:?}: the noisy merchant was answered {answers:?}");
        // A query of its own may have taken too long.
        assert!(answers.keys().all(|answer| answer == "200 " || answer.starts_with("503 ")), "{answers:?}");
        assert!(answers["200 "] > 0);
        callbacks.judge(&format!("{backend:?}: the other's callbacks"));
        reads.judge(&format!("{backend:?}: the other's reads"));
        assert_eq!(tokio::task::block_in_place(|| service.terminate()).0, Some(0));
        Setup::new(&database, "").execute(&format!("DELETE FROM events WHERE merchant_id = '{merchant}'"));
        check(&database, &promises);
    }
}

/// The log grows while reads that run are waited for; it is not copied at all while they overlap without a gap,
/// and would have twice as many bytes.
const LOG_BYTES_MAX: u64 = 24 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_overlap_do_not_make_sqlites_log_grow() {
    let database = Backend::Sqlite.database();
    let mut callers = callers(&database, 5, 12_000);
    let mut serve = command(&database, &["serve"]);
    serve.env("CONVERSIOND__DATABASE__CHECKPOINT_PAGES", "100");
    serve.env("CONVERSIOND__DATABASE__LOG_PAGES_MAX", "400");
    let service = ServeProcess::start_command(serve);
    callers.iter_mut().for_each(|caller| caller.base = service.base.clone());
    let (writer, readers) = callers.split_last().unwrap();
    let mut noise = Noise::default();
    for reader in readers {
        for _ in 0..4 {
            noise.make(reader, "GET", "/api/v1/conversions?attribution=attributed", "");
        }
    }
    let log = database.folder().join("test.db-wal");
    let (mut written, mut longest) = (0, 0);
    for batch in 0..100 {
        let row = |n| json!({"event_name": "lead", "external_id": format!("W-{batch}-{n}"), "metadata": {"m": "x".repeat(4_000)}});
        let body = json!({ "rows": (0..100).map(row).collect::<Vec<_>>() }).to_string();
        let target = "/api/v1/conversions/bulk";
        let headers = writer.headers(Form::Bound, "POST", target, body.as_bytes());
        let answer = writer.send("POST", target, body.as_bytes(), &headers).await;
        assert_eq!(answer.at("/summary/accepted"), 100, "{}", answer.text);
        written += body.len();
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    let answers = noise.end().await;
    let metrics = reqwest::get(format!("{}/metrics", service.admin)).await.unwrap().text().await.unwrap();
    let figure = |name: &str| {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name}: {metrics}"));
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    println!(
        "{written} bytes of events; the log had at most {longest}; {} reads held back; {answers:?}",
        figure("conversiond_reads_held_back_total")
    );
    assert!(figure("conversiond_sqlite_log_bytes") > 0 && figure("conversiond_reads_held_back_total") > 0);
    assert!(answers.keys().all(|answer| answer == "200 " || answer == "503 overloaded"), "{answers:?}");
    assert!(longest < LOG_BYTES_MAX, "the log has {longest} bytes");
    assert_eq!(tokio::task::block_in_place(|| service.terminate()).0, Some(0));
}
