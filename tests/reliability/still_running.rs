//! A key or row that another request still has: whoever needs it waits, and nobody else does.

use chrono::DateTime;
use conversiond::domain::event::{ParseContext, parse};
use conversiond::domain::fingerprint::Fingerprint;
use diesel::connection::SimpleConnection as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::caller::Answer;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, process};

/// Longer than any test takes: nobody is told to come back.
const FOR_EVER: &str =
    "[ingest]\nanswer_timeout_s = 60\n[idempotency]\nwait_ms = 59000\n[database]\nwriters = 1\n";

/// What the holder stores under its key.
const STORED: &str = r#"{"status":"ACCEPTED","event_id":"evt_of_the_holder"}"#;

fn sale(order: &str) -> Value {
    json!({"externalOrderId": order, "amount": "1", "currency": "USD"})
}

/// Somebody else's open transaction.
struct Holder(Setup);

impl Holder {
    fn begin(service: &Service) -> Self {
        let mut setup = service.setup();
        setup.connection.batch_execute("BEGIN").unwrap();
        Self(setup)
    }

    /// Claims a key for an event, as another instance would.
    fn claim(&mut self, service: &Service, key: &str, event: &Value) {
        let context = ParseContext { now: DateTime::UNIX_EPOCH, default_currency: None };
        let fingerprint = Fingerprint::of_event(&parse(event.to_string().as_bytes(), &context).unwrap());
        let sql = format!(
            "INSERT INTO idempotency_keys (merchant_id, mode, idempotency_key, claimed_by, fingerprint, status, \
             body, created_at, expires_at, times_seen) VALUES ('{}', 'live', '{key}', 'att_of_the_holder', \
             '{fingerprint}', 202, '{STORED}', now(), now() + interval '1 day', 1)",
            service.merchant
        );
        assert_eq!(self.0.execute(&sql), 1);
    }

    fn lock_order(&mut self, order: &str) {
        let sql = format!("SELECT event_id FROM events WHERE order_id = '{order}' FOR UPDATE");
        self.0.connection.batch_execute(&sql).unwrap();
    }

    fn end(mut self, how: &str) {
        self.0.connection.batch_execute(how).unwrap();
    }
}

fn spawn(service: &Service, key: &str, event: &Value) -> JoinHandle<Answer> {
    let (caller, key, event) = (service.caller.clone(), key.to_owned(), event.clone());
    tokio::spawn(async move { caller.post_under(&key, &event).await })
}

/// Waits until PostgreSQL says that somebody waits for a lock.
async fn waits_for_a_lock(service: &Service) {
    let mut setup = service.setup();
    let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("somebody waits for the lock", async || setup.count(waiting) > 0).await;
}

async fn expect_accepted(service: &Service, orders: impl Iterator<Item = String>) {
    let answers = join_all(orders.map(|order| spawn(service, &format!("of-{order}"), &sale(&order)))).await;
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
    }
}

fn none_is_finished(calls: &[JoinHandle<Answer>]) -> bool {
    calls.iter().all(|call| !call.is_finished())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_key_is_answered_by_what_its_request_came_to() {
    let Some(backend) = Backend::postgres() else { return };
    let service = Service::start_with(backend.database(), FOR_EVER).await;
    let mut holder = Holder::begin(&service);
    holder.claim(&service, "k", &sale("O-held"));
    let same = [spawn(&service, "k", &sale("O-held")), spawn(&service, "k", &sale("O-held"))];
    let other = [spawn(&service, "k", &sale("O-other"))];
    waits_for_a_lock(&service).await;
    // Other callers of the same instance and merchant do not wait with them.
    for round in 0..3 {
        expect_accepted(&service, (0..20).map(|n| format!("O-{round}-{n}"))).await;
    }
    assert!(none_is_finished(&same) && none_is_finished(&other));
    holder.end("COMMIT");
    for call in same {
        let answer = call.await.unwrap();
        assert_eq!((answer.status, answer.text.as_str(), answer.is_replayed()), (202, STORED, true));
    }
    for call in other {
        call.await.unwrap().expect_problem(422, "idempotency_key_mismatch");
    }
    assert_eq!(service.count_events(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_key_runs_if_its_request_came_to_nothing() {
    let Some(backend) = Backend::postgres() else { return };
    let service = Service::start_with(backend.database(), FOR_EVER).await;
    let mut holder = Holder::begin(&service);
    holder.claim(&service, "k", &sale("O-held"));
    let calls = [spawn(&service, "k", &sale("O-held")), spawn(&service, "k", &sale("O-held"))];
    waits_for_a_lock(&service).await;
    expect_accepted(&service, (0..20).map(|n| format!("O-{n}"))).await;
    assert!(none_is_finished(&calls));
    holder.end("ROLLBACK");
    let [left, right] = calls;
    let (left, right) = (left.await.unwrap(), right.await.unwrap());
    assert_eq!((left.word().as_str(), &left.text), ("ACCEPTED", &right.text));
    assert_ne!(left.is_replayed(), right.is_replayed());
    assert_eq!(service.count("events WHERE order_id = 'O-held' AND times_received = 1"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_waited_for_a_key_long_enough_is_told_to_come_back() {
    let Some(backend) = Backend::postgres() else { return };
    let service = Service::start_with(backend.database(), "[idempotency]\nwait_ms = 300\n").await;
    let mut holder = Holder::begin(&service);
    holder.claim(&service, "k", &sale("O-held"));
    for _ in 0..2 {
        let answer = service.caller.post_under("k", &sale("O-held")).await;
        answer.expect_problem(409, "idempotency_key_in_use");
        assert_eq!((answer.header("retry-after"), answer.at("/retryable")), (Some("1"), json!(true)));
        assert!(!answer.text.contains("evt_"), "{}", answer.text);
    }
    assert_eq!(service.count_events(), 0);
    holder.end("ROLLBACK");
    let answer = service.caller.post_under("k", &sale("O-held")).await;
    assert_eq!((answer.word().as_str(), answer.is_replayed()), ("ACCEPTED", false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_told_to_end_does_not_wait_for_what_somebody_else_has_locked() {
    let Some(backend) = Backend::postgres() else { return };
    let service = Service::start_with(backend.database(), FOR_EVER).await;
    let mut holder = Holder::begin(&service);
    holder.claim(&service, "k", &sale("O-held"));
    let mut command = process::command(&service.database, &["serve"]);
    let settings =
        [("INGEST__ANSWER_TIMEOUT_S", "60"), ("IDEMPOTENCY__WAIT_MS", "59000"), ("SERVER__SHUTDOWN_S", "4")];
    for (name, value) in settings {
        command.env(format!("CONVERSIOND__{name}"), value);
    }
    let ending = process::ServeProcess::start_command(command);
    let caller = Caller { base: ending.base.clone(), ..service.caller.clone() };
    let (key, text) = ("k", sale("O-held").to_string());
    let now = crate::support::caller::unix_now();
    let held = tokio::spawn(async move { caller.try_post_to("/api/v1/conversions", key, &text, now).await });
    waits_for_a_lock(&service).await;
    let (code, log) = tokio::task::block_in_place(|| ending.terminate());
    assert_eq!(code, Some(0), "{log:?}");
    // It was promised nothing.
    assert!(held.await.unwrap().is_err());
    holder.end("ROLLBACK");
    assert_eq!(service.count_events(), 0);
    assert_eq!(service.caller.post_under("k", &sale("O-held")).await.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_somebody_else_has_locked_is_503_and_never_a_hang() {
    let Some(backend) = Backend::postgres() else { return };
    let settings = "[idempotency]\nwait_ms = 300\n[database]\nwriters = 1\n";
    let service = Service::start_with(backend.database(), settings).await;
    assert_eq!(service.caller.post(&sale("O-held")).await.word(), "ACCEPTED");
    let mut holder = Holder::begin(&service);
    holder.lock_order("O-held");
    for (key, round) in [("k", 0), ("k", 1), ("k2", 2)] {
        let held = spawn(&service, key, &sale("O-held"));
        expect_accepted(&service, (0..20).map(|n| format!("O-{round}-{n}"))).await;
        let answer = held.await.unwrap();
        answer.expect_problem(503, "storage_unavailable");
        assert_eq!(answer.at("/retryable"), true);
    }
    let status = r#"{"externalOrderId":"O-held","status":"paid"}"#;
    let caller = &service.caller;
    let now = crate::support::caller::unix_now();
    assert_eq!(caller.post_to("/api/v1/order-status", "k3", status, now).await.word(), "ACCEPTED");
    holder.end("ROLLBACK");
    let answer = service.caller.post_under("k", &sale("O-held")).await;
    assert_eq!((answer.word().as_str(), answer.is_replayed()), ("DUPLICATE", false));
    assert_eq!(service.count("events WHERE order_id = 'O-held' AND times_received = 2"), 1);
}

/// Three hundred requests that wait, sent together with a hundred that need not.
async fn hundreds_wait(keys: usize) {
    let Some(backend) = Backend::postgres() else { return };
    let service = Service::start_with(backend.database(), FOR_EVER).await;
    let mut holder = Holder::begin(&service);
    for key in 0..keys {
        holder.claim(&service, &format!("k-{key}"), &sale(&format!("O-held-{key}")));
    }
    let mut held = Vec::new();
    let mut free = Vec::new();
    for n in 0..300 {
        let key = n % keys;
        held.push(spawn(&service, &format!("k-{key}"), &sale(&format!("O-held-{key}"))));
        if n % 3 == 0 {
            free.push(spawn(&service, &format!("free-{n}"), &sale(&format!("O-free-{n}"))));
        }
    }
    for call in free {
        let answer = call.await.unwrap();
        assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
    }
    expect_accepted(&service, (0..100).map(|n| format!("O-{n}"))).await;
    assert!(none_is_finished(&held));
    holder.end("COMMIT");
    for call in held {
        let answer = call.await.unwrap();
        assert_eq!((answer.text.as_str(), answer.is_replayed()), (STORED, true));
    }
    assert_eq!(service.count_events(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_that_wait_for_one_key_do_not_hold_up_the_others() {
    hundreds_wait(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_that_wait_for_hundreds_of_keys_do_not_hold_up_the_others() {
    hundreds_wait(300).await;
}
