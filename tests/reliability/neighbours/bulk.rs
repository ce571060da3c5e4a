//! One merchant sends bulk requests of full size on many connections; another one's callbacks go on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use serde_json::{Value, json};

use crate::support::caller::Answer;
use crate::support::process::{ServeProcess, command};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, on_both_databases};

const PATH: &str = "/api/v1/conversions/bulk";
const CONNECTIONS: usize = 32;
const ROWS: usize = 1_000;

/// How long the other merchant's callbacks are measured, and how long bulk requests come before.
const MEASURED: Duration = Duration::from_secs(6);
const BEFORE: Duration = Duration::from_secs(2);

/// What is promised of a release build.
const P50_MAX: Duration = Duration::from_millis(50);
const P99_MAX: Duration = Duration::from_millis(250);

#[allow(clippy::disallowed_methods, reason = "a promise in real time")]
fn instant() -> Instant {
    Instant::now()
}

fn bulk(name: &str) -> String {
    let rows: Vec<Value> = (0..ROWS)
        .map(|number| {
            json!({"externalOrderId": format!("A-{name}-{number}"), "amount": "12.34", "currency": "EUR"})
        })
        .collect();
    json!({ "rows": rows }).to_string()
}

async fn send(caller: &Caller, body: &str) -> Answer {
    let headers = caller.headers(Form::Plain, "POST", PATH, body.as_bytes());
    caller.send("POST", PATH, body.as_bytes(), &headers).await
}

/// What the bulk requests came to.
#[derive(Default)]
struct Told {
    answers: Mutex<BTreeMap<(u16, String), usize>>,
    accepted: AtomicI64,
}

/// Sends one bulk request after the other: every second connection the same again, the others new rows.
async fn press(caller: Caller, number: usize, over: Arc<AtomicBool>, told: Arc<Told>) {
    for nth in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let name = if number.is_multiple_of(2) { "again".to_owned() } else { format!("{number}-{nth}") };
        let answer = send(&caller, &bulk(&name)).await;
        let code = if answer.status == 200 { String::new() } else { answer.word() };
        if answer.status == 200 {
            told.accepted.fetch_add(answer.at("/summary/accepted").as_i64().unwrap(), Ordering::Relaxed);
        } else {
            assert!(answer.header("retry-after").is_some(), "{}", answer.text);
        }
        *told.answers.lock().unwrap().entry((answer.status, code)).or_default() += 1;
    }
}

/// Sends callbacks one after the other, each of which must be accepted; how long each took, sorted.
async fn measure(caller: &Caller, name: &str, time: Duration) -> Vec<Duration> {
    let (begun, mut took) = (instant(), Vec::new());
    while begun.elapsed() < time {
        let event =
            json!({"externalOrderId": format!("B-{name}-{}", took.len()), "amount": "1", "currency": "EUR"});
        let sent = instant();
        let answer = caller.post(&event).await;
        took.push(sent.elapsed());
        assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    took.sort();
    took
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// How long one bulk request takes on this machine and in this build, with nobody else there.
async fn alone(caller: &Caller) -> Duration {
    let mut took = Vec::new();
    for nth in 0..5 {
        let body = bulk(&format!("alone-{nth}"));
        let sent = instant();
        assert_eq!(send(caller, &body).await.status, 200);
        took.push(sent.elapsed());
    }
    took.sort();
    took[2]
}

/// What the other merchant's callbacks may take. An unoptimised build is measured by what one bulk request
/// takes in it, alone on this machine: a callback may wait for the one that is being written beside all these
/// callers, never for a queue of them, which would be as many as there are connections.
fn bounds(alone: Duration) -> (Duration, Duration) {
    if cfg!(debug_assertions) {
        (P50_MAX.max(alone * 4), P99_MAX.max(alone * 12))
    } else {
        (P50_MAX, P99_MAX)
    }
}

async fn two_merchants(database: &TestDatabase) -> (ServeProcess, Caller, Caller) {
    let mut callers = {
        let mut setup = Setup::new(database, "");
        [0, 1].map(|_| {
            let merchant = setup.merchant();
            setup.key(KeyKind::Live, Some(merchant))
        })
    };
    // Both on one writer, whatever their ids are.
    let mut command = command(database, &["serve"]);
    command.env("CONVERSIOND__DATABASE__WRITERS", "1");
    let service = ServeProcess::start_command(command);
    callers.iter_mut().for_each(|caller| caller.base.clone_from(&service.base));
    let [a, b] = callers;
    (service, a, b)
}

on_both_databases! {
    async fn another_merchants_callbacks_do_not_wait_for_a_queue_of_bulk_requests(backend: Backend) {
        let database = backend.database();
        let (service, a, b) = two_merchants(&database).await;
        let alone = alone(&a).await;
        let quiet = measure(&b, "quiet", Duration::from_secs(1)).await;
        let (over, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Told::default()));
        let crowd: Vec<_> = (0..CONNECTIONS)
            .map(|number| tokio::spawn(press(a.clone(), number, over.clone(), told.clone())))
            .collect();
        tokio::time::sleep(BEFORE).await;
        let beside = measure(&b, "beside", MEASURED).await;
        over.store(true, Ordering::Relaxed);
        for task in crowd {
            task.await.unwrap();
        }
        let (p50, p99) = (quantile(&beside, 50), quantile(&beside, 99));
        let answers = told.answers.lock().unwrap().clone();
        println!(
            "{backend:?}: one bulk request alone {alone:?}; callbacks alone p50 {:?}, beside {CONNECTIONS} \
             connections p50 {p50:?} p99 {p99:?} of {}; bulk requests {answers:?}",
            quantile(&quiet, 50),
            beside.len()
        );
        let expected = |(status, code): &(u16, String)| {
            [(200, ""), (429, "rate_limited"), (503, "overloaded")].contains(&(*status, code.as_str()))
        };
        assert!(answers.keys().all(expected), "{answers:?}");
        assert!(answers.get(&(200, String::new())).is_some_and(|count| *count >= 4), "{answers:?}");
        let (p50_max, p99_max) = bounds(alone);
        assert!(p50 <= p50_max && p99 <= p99_max, "p50 {p50:?} of {p50_max:?}, p99 {p99:?} of {p99_max:?}");
        assert_eq!(service.terminate().0, Some(0));
        // Everything that was acknowledged is there.
        let mut setup = Setup::new(&database, "");
        let of_b = i64::try_from(quiet.len() + beside.len()).unwrap();
        assert_eq!(setup.count("events WHERE order_id LIKE 'B-%'"), of_b);
        let of_a = i64::try_from(5 * ROWS).unwrap() + told.accepted.load(Ordering::Relaxed);
        assert_eq!(setup.count("events WHERE order_id LIKE 'A-%'"), of_a);
    }
}
