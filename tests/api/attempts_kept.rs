//! What of the journal is kept: its bounds, and that nobody waits for it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::attempt::AttemptOutcome;
use conversiond::domain::ids::{AttemptId, KeyKind};
use conversiond::domain::signature::Form;
use conversiond::domain::time::Clock as _;
use conversiond::system::{SystemClock, SystemEntropy};
use serde_json::{Value, json};

use crate::support::caller::unix_now;
use crate::support::clock::TestClock;
use crate::support::raw::{RawConnection, request};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const PATH: &str = "/api/v1/conversions";
const DROPPED: &str = "conversiond_journal_dropped_total";
const WRITTEN: &str = "conversiond_journal_written_total";

fn sale(order: &str) -> Value {
    json!({"event_name": "sale", "custom_data": {"order_id": order, "value": "1", "currency": "USD"}})
}

/// Keeps everybody else from writing to the journal, until [`unlock`].
fn lock(setup: &mut Setup, backend: Backend) {
    match backend {
        Backend::Sqlite => setup.execute("BEGIN IMMEDIATE"),
        Backend::Postgres => {
            setup.execute("BEGIN");
            setup.execute("LOCK TABLE attempts IN EXCLUSIVE MODE")
        }
    };
}

fn unlock(setup: &mut Setup) {
    setup.execute("COMMIT");
}

/// Makes the journal of refusals fail, and nothing else.
fn break_journal(setup: &mut Setup, backend: Backend) {
    match backend {
        Backend::Sqlite => {
            setup.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON attempts WHEN NEW.outcome = 'refused' \
                 BEGIN SELECT RAISE(ABORT, 'broken'); END",
            );
        }
        Backend::Postgres => {
            setup.execute(
                "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'broken'; END $$",
            );
            setup.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON attempts FOR EACH ROW \
                 WHEN (NEW.outcome = 'refused') EXECUTE FUNCTION broken()",
            );
        }
    }
}

fn mend_journal(setup: &mut Setup, backend: Backend) {
    match backend {
        Backend::Sqlite => setup.execute("DROP TRIGGER broken"),
        Backend::Postgres => setup.execute("DROP TRIGGER broken ON attempts"),
    };
}

/// Lines of refusals at these times, as a flood leaves them: of this merchant, or nobody's (`''`).
fn insert_refusals(
    setup: &mut Setup,
    (merchant, authenticated): (&str, bool),
    times: impl Iterator<Item = DateTime<Utc>>,
) {
    let reason = if authenticated { "validation_failed" } else { "SIG_BAD_SIGNATURE" };
    let rows: Vec<String> = times
        .map(|at| {
            let id = AttemptId::generate(at, &SystemEntropy);
            let at = at.format("%Y-%m-%d %H:%M:%S%.6f");
            format!(
                "('{merchant}', '{id}', -1, '', '{at}', 'conversions', '{id}', 0, 'refused', 401, '{reason}', 1, \
                 {authenticated})"
            )
        })
        .collect();
    let inserted = setup.execute(&format!(
        "INSERT INTO attempts (merchant_id, attempt_id, bulk_row, mode, started_at, endpoint, request_id, \
         body_bytes, outcome, status, reason, elapsed_us, authenticated) VALUES {}",
        rows.join(", ")
    ));
    assert_eq!(inserted, rows.len());
}

on_both_databases! {
    async fn a_journal_that_fails_makes_no_callback_fail(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        break_journal(&mut setup, backend);
        assert_eq!(service.caller.post_text("{").await.status, 400);
        eventually("it is counted as dropped", async || {
            service.figure(DROPPED, &["store_failed"]).await == 1
        })
        .await;
        for word in ["ACCEPTED", "DUPLICATE"] {
            assert_eq!(service.caller.post(&sale("O-1")).await.word(), word);
            // Of one millisecond they would stand by chance.
            service.clock.advance(TimeDelta::milliseconds(2));
        }
        mend_journal(&mut setup, backend);
        assert_eq!(service.caller.post_text("{").await.status, 400);
        let lines = service.journal(3).await;
        let outcomes: Vec<&str> = lines.iter().map(|line| line.outcome.as_str()).collect();
        assert_eq!(outcomes, ["accepted", "duplicate", "refused"]);
        assert_eq!(service.figure(WRITTEN, &[]).await, 1);
    }

    async fn beyond_its_queue_refusals_are_dropped_and_counted(backend: Backend) {
        let settings = "[journal]\nqueue_attempts = 1\n";
        let service = Service::start_with(backend.database(), settings).await;
        let mut setup = service.setup();
        lock(&mut setup, backend);
        let mut sent = 0;
        eventually("some find the queue full", async || {
            assert_eq!(service.caller.post_text("{").await.status, 400);
            sent += 1;
            service.figure(DROPPED, &["queue_full"]).await > 0
        })
        .await;
        unlock(&mut setup);
        eventually("each is written or counted as dropped", async || {
            service.figure(WRITTEN, &[]).await + service.figure(DROPPED, &[]).await == sent
        })
        .await;
        let written = service.figure(WRITTEN, &[]).await;
        assert_eq!(u64::try_from(setup.journal().len()).unwrap(), written);
        eventually("the journal goes on", async || {
            service.caller.post_text("{").await;
            service.figure(WRITTEN, &[]).await > written
        })
        .await;
    }

    async fn what_is_too_old_is_forgotten(backend: Backend) {
        let settings = "[idempotency]\nsweep_s = 1\n[journal]\nretention_days = 2\n";
        let service = Service::start_with(backend.database(), settings).await;
        assert_eq!(service.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
        assert_eq!(service.caller.post_text("{").await.status, 400);
        let nobody = service.caller.http.post(format!("{}{PATH}", service.caller.base)).body("{}");
        assert_eq!(nobody.send().await.unwrap().status(), 401);
        assert_eq!(service.journal(3).await.len(), 3);
        service.clock.advance(TimeDelta::days(2) + TimeDelta::seconds(2));
        // Whatever it is answered by a clock that PostgreSQL does not share: it is new.
        service.caller.post(&sale("O-2")).await;
        let (mut setup, yesterday) = (service.setup(), SystemClock.now() + TimeDelta::days(1));
        eventually("the old ones are gone and the new one is there", async || {
            let lines = setup.journal();
            lines.len() == 1 && lines[0].started_at > yesterday
        })
        .await;
        assert!(setup.count_events() >= 1);
    }

    async fn of_too_many_refusals_the_oldest_are_forgotten(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let now = SystemClock.now();
        insert_refusals(&mut setup, ("", false), (1..=1_200).map(|age| now - TimeDelta::minutes(age)));
        let settings = "[idempotency]\nsweep_s = 1\n[journal]\nrefused_rows_max = 1000\n";
        let service = Service::start_with(database, settings).await;
        assert_eq!(service.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
        eventually("the excess is gone", async || setup.journal().len() == 1_001).await;
        let lines = setup.journal();
        // Those of the last thousand minutes are left, and what was recorded.
        assert!(lines[0].started_at > now - TimeDelta::minutes(1_001));
        assert_eq!(lines.last().unwrap().outcome, AttemptOutcome::Accepted);
    }

    async fn forgeries_and_another_merchants_refusals_leave_a_merchants_own_where_they_are(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let [quiet, loud] = [setup.merchant(), setup.merchant()].map(|merchant| merchant.to_string());
        let now = SystemClock.now();
        let ago = |minutes: std::ops::RangeInclusive<i64>| minutes.map(move |age| now - TimeDelta::minutes(age));
        insert_refusals(&mut setup, (&quiet, true), ago(5_000..=5_099));
        insert_refusals(&mut setup, (&loud, true), ago(1..=250));
        // They name the quiet merchant's key, and nobody's.
        insert_refusals(&mut setup, (&quiet, false), ago(1..=700));
        insert_refusals(&mut setup, ("", false), ago(1..=700));
        let settings = "[idempotency]\nsweep_s = 1\n\
                        [journal]\nrefused_rows_max = 1000\nmerchant_refused_rows_max = 100\n";
        let service = Service::start_with(database, settings).await;
        eventually("the excess is gone", async || setup.journal().len() == 1_200).await;
        let lines = setup.journal();
        let of = |merchant: &str, authenticated| {
            let merchant = merchant.parse().ok();
            let all = lines.iter().filter(move |l| (l.merchant, l.authenticated) == (merchant, authenticated));
            (all.clone().count(), all.map(|line| line.started_at).min().unwrap())
        };
        assert_eq!(of(&quiet, true).0, 100);
        assert!(of(&loud, true) >= (100, now - TimeDelta::minutes(101)));
        // Of the forgeries, whomever they name, the oldest went.
        assert_eq!((of(&quiet, false).0, of("", false).0), (500, 500));
        assert!(of("", false).1 > now - TimeDelta::minutes(501));
        assert_eq!(service.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
    }

    async fn what_nobody_signed_is_no_reason_of_a_reconciliation_and_names_no_order(backend: Backend) {
        let service = Service::start(backend).await;
        let secret = service.setup().key(KeyKind::Live, Some(service.merchant)).secret;
        let forger = Caller { secret, ..service.caller.clone() };
        let bad = json!({"event_name": "sale", "custom_data": {"order_id": "O-1", "value": "x", "currency": "USD"}});
        assert_eq!(service.caller.post(&bad).await.status, 422);
        // Later, so that it would be the newest reason.
        service.clock.advance(TimeDelta::milliseconds(2));
        for order in ["O-1", "O-2"] {
            assert_eq!(forger.post(&sale(order)).await.status, 401);
        }
        service.journal(3).await;
        let books = json!({"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z",
                           "rows": [{"order_id": "O-1"}, {"order_id": "O-2"}]});
        let (target, body) = ("/api/v1/reconciliations", books.to_string());
        let headers = service.caller.headers(Form::Bound, "POST", target, body.as_bytes());
        let answer = service.caller.send("POST", target, body.as_bytes(), &headers).await;
        let reason = |n: usize| answer.at(&format!("/differences/{n}/reason"));
        assert!(reason(0).as_str().is_some_and(|reason| reason.contains("422 validation_failed")), "{}", answer.text);
        assert_eq!(reason(1), Value::Null, "{}", answer.text);
        assert_eq!(service.count("attempts WHERE order_id IS NOT NULL"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgeries_of_all_addresses_together_are_not_journaled_whole_and_keep_no_signers_out() {
    let settings = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
                    [journal]\npeer_attempts_per_s = 2\nunproven_attempts_per_s = 3\n";
    let clock = Arc::new(TestClock::standing());
    let service = Service::start_at(Backend::Sqlite.database(), settings, clock).await;
    for number in 0..40 {
        let client = [("X-Forwarded-For".to_owned(), format!("2001:db8:0:{number:x}::1"))];
        assert_eq!(service.caller.send("POST", PATH, b"{}", &client).await.status, 401);
    }
    assert_eq!(service.figure(DROPPED, &["unproven_cap"]).await, 10);
    // The same address, and every address, is used up; what is signed has its own.
    for _ in 0..25 {
        let mut headers = service.caller.headers(Form::Plain, "POST", PATH, b"{");
        headers.push(("X-Forwarded-For".to_owned(), "2001:db8::1".to_owned()));
        assert_eq!(service.caller.send("POST", PATH, b"{", &headers).await.status, 400);
    }
    assert_eq!(service.figure(DROPPED, &["merchant_cap"]).await, 5);
    let lines = service.journal(50).await;
    assert_eq!((lines.len(), lines.iter().filter(|line| line.authenticated).count()), (50, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_address_a_flood_is_not_journaled_whole() {
    let settings = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[journal]\npeer_attempts_per_s = 1\n";
    let clock = Arc::new(TestClock::standing());
    let service = Service::start_at(Backend::Sqlite.database(), settings, clock).await;
    let refuse = async |client: &str, target: &str| {
        let further = [("X-Forwarded-For".to_owned(), client.to_owned())];
        let answer = service.caller.send("POST", target, b"{}", &further).await;
        assert!(answer.status == 401 || answer.status == 404, "{}", answer.text);
    };
    let topic = "/api/v1/webhooks/order-eaten";
    // Ten seconds' worth at once, whatever it is refused for.
    for number in 0..15 {
        refuse("198.51.100.7", if number % 2 == 0 { PATH } else { topic }).await;
    }
    assert_eq!(service.figure(DROPPED, &["peer_cap"]).await, 5);
    // A neighbour has its own.
    refuse("198.51.100.8", topic).await;
    let lines = service.journal(11).await;
    let of = |client: &str| lines.iter().filter(|line| line.peer.as_deref() == Some(client)).count();
    assert_eq!((of("198.51.100.7"), of("198.51.100.8")), (10, 1));
    service.clock.advance(TimeDelta::seconds(1));
    refuse("198.51.100.7", PATH).await;
    refuse("198.51.100.7", PATH).await;
    assert_eq!(service.journal(12).await.len(), 12);
    assert_eq!(service.figure(DROPPED, &[]).await, 6);
    assert_eq!(service.figure("conversiond_outcomes_total", &["conversions", "webhooks"]).await, 18);
    // What is recorded is never capped.
    assert_eq!(service.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
    assert_eq!(service.journal(13).await.len(), 13);
}

/// SQLite's one writer can be held back from outside, in the middle of a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_while_its_event_is_written_is_journaled_once_as_what_came_of_it() {
    let service = Service::start(Backend::Sqlite).await;
    assert_eq!(service.caller.post_under("key-1", &sale("O-1")).await.word(), "ACCEPTED");
    let mut setup = service.setup();
    lock(&mut setup, Backend::Sqlite);
    let send = async |id: &str, key: &str, order: &str| {
        let body = sale(order).to_string();
        let mut headers =
            service.caller.headers_at(Form::Plain, "POST", PATH, body.as_bytes(), unix_now(), key);
        for (name, value) in [
            ("Content-Type", "application/json"),
            ("Content-Length", &body.len().to_string()),
            ("X-Request-ID", id),
            ("Idempotency-Key", key),
        ] {
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut connection = RawConnection::open(service.api).await;
        connection.send(&request("POST", PATH, &headers, body.as_bytes())).await;
        connection
    };
    // The writer takes the first and waits for the lock; the others wait in its queue.
    let first = send("first", "key-2", "O-2").await;
    eventually("the writer has taken it", async || {
        service.figure("conversiond_requests_total", &[]).await == 2
            && service.figure("conversiond_queue_depth", &[]).await == 0
    })
    .await;
    let recorded = send("recorded", "key-3", "O-3").await;
    let refused = send("refused", "key-1", "O-4").await;
    eventually("they are in the queue", async || service.figure("conversiond_queue_depth", &[]).await >= 2)
        .await;
    for connection in [recorded, refused, first] {
        connection.reset();
    }
    eventually("their leaving is noticed", async || {
        service.figure("conversiond_outcomes_total", &["client_left"]).await == 3
    })
    .await;
    unlock(&mut setup);
    eventually("their lines are as they ended", async || {
        let lines = setup.journal();
        let ended =
            |id: &str, reason: &str| lines.iter().any(|line| line.request_id == id && line.reason == reason);
        ended("first", "accepted") && ended("recorded", "accepted") && ended("refused", "client_left")
    })
    .await;
    assert_eq!((setup.journal().len(), setup.count_events()), (4, 3));
}
