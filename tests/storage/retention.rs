//! Raw bodies and addresses are forgotten past their time, and nothing else is.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::ids::{AttemptId, EventId};
use conversiond::domain::time::Clock as _;
use conversiond::system::{SystemClock, SystemEntropy};
use serde_json::{Value, json};

use crate::support::clock::TestClock;
use crate::support::service::Setup;
use crate::support::{Backend, Service, eventually, on_both_databases};

const TWO_DAYS: &str = "[retention]\nraw_body_days = 2\n[journal]\nretention_days = 3000\n";

fn sale(order: &str) -> Value {
    json!({"externalOrderId": order, "amount": "12.50", "currency": "EUR", "orderStatus": "paid",
           "metadata": {"note": order}})
}

/// The orders whose events, or statuses, still have their bodies.
fn with_bodies(setup: &mut Setup, table: &str) -> Vec<String> {
    setup.lines(&format!("SELECT order_id AS line FROM {table} WHERE body IS NOT NULL ORDER BY order_id"))
}

/// Rows as they lay there for so long.
fn insert(setup: &mut Setup, merchant: &str, times: impl Iterator<Item = (String, DateTime<Utc>)>) {
    for (order, at) in times {
        let (event, attempt) =
            (EventId::generate(at, &SystemEntropy), AttemptId::generate(at, &SystemEntropy));
        let at = at.format("%Y-%m-%d %H:%M:%S%.6f");
        setup.execute(&format!(
            "INSERT INTO events (merchant_id, mode, event_id, event_name, order_id, own_id, occurred_at, \
             occurred_given, received_at, attribution, metadata, body, key_id, signature_form, times_received, \
             times_differed) VALUES ('{merchant}', 'live', '{event}', 'lead', '{order}', '', '{at}', false, '{at}', \
             'inherited', '{{}}', '{{}}', 'k', 'v1', 1, 0)"
        ));
        setup.execute(&format!(
            "INSERT INTO order_statuses (merchant_id, mode, order_id, status, status_updated_at, attempt_id, \
             received_at, reason, body, key_id, signature_form, times_received) VALUES ('{merchant}', 'live', \
             '{order}', 'paid', '', '{attempt}', '{at}', 'why', '{{}}', 'k', 'v1', 1)"
        ));
        for (owner, mode) in [(merchant, "live"), ("", "")] {
            setup.execute(&format!(
                "INSERT INTO attempts (merchant_id, attempt_id, bulk_row, mode, started_at, endpoint, peer, \
                 request_id, body_sha256, body_bytes, outcome, status, reason, order_id, elapsed_us) VALUES \
                 ('{owner}', '{attempt}', -1, '{mode}', '{at}', 'conversions', '192.0.2.1', 'r', 'd', 1, \
                 'refused', 422, 'x', '{order}', 1)"
            ));
        }
    }
}

/// Everything but bodies and addresses, and how far the walks have come.
fn figures(setup: &mut Setup) -> Vec<String> {
    let mut figures = setup.lines(
        "SELECT event_id || order_id || metadata || CAST(received_at AS TEXT) || CAST(times_received AS TEXT) AS line \
         FROM events ORDER BY event_id",
    );
    figures.extend(
        setup.lines("SELECT order_id || status || reason AS line FROM order_statuses ORDER BY order_id"),
    );
    figures.extend(setup.lines(
        "SELECT merchant_id || attempt_id || request_id || body_sha256 || order_id AS line FROM attempts \
         ORDER BY merchant_id, attempt_id",
    ));
    figures
}

on_both_databases! {
    async fn they_go_past_the_limit_and_not_before(backend: Backend) {
        let clock = Arc::new(TestClock::standing());
        let service = Service::start_at(backend.database(), TWO_DAYS, clock.clone()).await;
        assert_eq!(service.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
        clock.advance(TimeDelta::seconds(10));
        assert_eq!(service.caller.post(&sale("O-2")).await.word(), "ACCEPTED");
        let mut setup = service.setup();
        // The first one is now 5 s too old, the second one 5 s too young.
        clock.advance(TimeDelta::days(2) - TimeDelta::seconds(5));
        for table in ["events", "order_statuses"] {
            eventually("the first body is gone", async || with_bodies(&mut setup, table) == ["O-2"]).await;
        }
        let addresses = "SELECT order_id AS line FROM attempts WHERE peer IS NOT NULL ORDER BY order_id";
        eventually("the first address is gone", async || setup.lines(addresses) == ["O-2"]).await;
        clock.advance(TimeDelta::days(1));
        for table in ["events", "order_statuses"] {
            eventually("the second one, too", async || with_bodies(&mut setup, table).is_empty()).await;
        }
        eventually("the second address, too", async || setup.lines(addresses).is_empty()).await;
        assert_eq!(setup.count("events WHERE metadata IS NOT NULL AND value_minor = 1250"), 2);
        assert_eq!(setup.count("attempts WHERE body_sha256 IS NOT NULL AND request_id <> ''"), 2);
        assert_eq!(setup.count("events WHERE erased_at IS NOT NULL"), 0);
    }

    async fn many_pages_of_old_rows_go_and_their_figures_stay(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let (now, merchant) = (SystemClock.now(), setup.merchant().to_string());
        let old = (0..230).map(|number| (format!("old-{number}"), now - TimeDelta::days(5) + TimeDelta::seconds(number)));
        insert(&mut setup, &merchant, old);
        let young = (0..3).map(|number| (format!("young-{number}"), now - TimeDelta::minutes(number)));
        insert(&mut setup, &merchant, young);
        let before = figures(&mut setup);
        let mut service = Service::start_with(database, TWO_DAYS).await;
        for table in ["events", "order_statuses"] {
            eventually("they are gone", async || with_bodies(&mut setup, table).len() == 3).await;
            assert_eq!(with_bodies(&mut setup, table), ["young-0", "young-1", "young-2"]);
        }
        eventually("the addresses, too", async || setup.count("attempts WHERE peer IS NOT NULL") == 6).await;
        assert_eq!(setup.count("attempts WHERE peer IS NOT NULL AND order_id LIKE 'young%'"), 6);
        service.stop().await;
        assert_eq!(figures(&mut setup), before);
    }

    async fn a_restarted_walk_goes_on_where_it_stopped_and_takes_what_is_new(backend: Backend) {
        let clock = Arc::new(TestClock::default());
        let mut first = Service::start_at(backend.database(), TWO_DAYS, clock.clone()).await;
        assert_eq!(first.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
        let mut setup = first.setup();
        clock.advance(TimeDelta::days(2) + TimeDelta::seconds(1));
        eventually("the first one is gone", async || with_bodies(&mut setup, "events").is_empty()).await;
        first.stop().await;
        // Had the walk begun anew it would take this one, too.
        assert_eq!(setup.execute("UPDATE events SET body = 'put back'"), 1);
        let second = first.another(TWO_DAYS).await;
        assert_eq!(second.caller.post(&sale("O-2")).await.word(), "ACCEPTED");
        assert_eq!(with_bodies(&mut setup, "events"), ["O-1", "O-2"]);
        second.clock.advance(TimeDelta::days(2) + TimeDelta::seconds(1));
        eventually("the new one is gone", async || with_bodies(&mut setup, "events") == ["O-1"]).await;
    }

    async fn with_a_limit_of_nothing_they_are_kept_for_ever(backend: Backend) {
        let clock = Arc::new(TestClock::default());
        let settings = "[retention]\nraw_body_days = 0\n[journal]\nretention_days = 1\n";
        let mut service = Service::start_at(backend.database(), settings, clock.clone()).await;
        assert_eq!(service.caller.post(&sale("O-1")).await.word(), "ACCEPTED");
        let mut setup = service.setup();
        clock.advance(TimeDelta::days(30_000));
        eventually("the housekeeping was there", async || setup.count("attempts") == 0).await;
        service.stop().await;
        for table in ["events", "order_statuses"] {
            assert_eq!(with_bodies(&mut setup, table), ["O-1"]);
        }
        assert_eq!(setup.count("retention_progress"), 0);
    }

    async fn by_a_clock_that_has_jumped_nothing_is_forgotten(backend: Backend) {
        let clock = Arc::new(TestClock::default());
        let mut service = Service::start_at(backend.database(), TWO_DAYS, clock.clone()).await;
        assert_eq!(service.caller.post_under("K-1", &sale("O-1")).await.word(), "ACCEPTED");
        let mut setup = service.setup();
        clock.jump(TimeDelta::days(5_000));
        clock.advance(TimeDelta::hours(2));
        // The journal is only a journal.
        eventually("the housekeeping was there", async || setup.count("attempts") == 0).await;
        service.stop().await;
        assert_eq!(with_bodies(&mut setup, "events"), ["O-1"]);
        assert_eq!(setup.count("idempotency_keys"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_instances_forget_together() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut setup = Setup::new(&database, "");
    let now = SystemClock.now();
    let merchants: Vec<String> = (0..3).map(|_| setup.merchant().to_string()).collect();
    for merchant in &merchants {
        let old = (0..250)
            .map(|number| (format!("O-{number}"), now - TimeDelta::days(5) + TimeDelta::seconds(number)));
        insert(&mut setup, merchant, old);
    }
    let service = Service::start_with(database, TWO_DAYS).await;
    let (second, third) = tokio::join!(service.another(TWO_DAYS), service.another(TWO_DAYS));
    for table in ["events", "order_statuses"] {
        eventually("they are gone", async || with_bodies(&mut setup, table).is_empty()).await;
    }
    eventually("the addresses, too", async || setup.count("attempts WHERE peer IS NOT NULL") == 0).await;
    drop((second, third));
}

/// The walk stops before what it could not have, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_has_locked_is_taken_later() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut setup = Setup::new(&database, "");
    let (now, merchant) = (SystemClock.now(), setup.merchant().to_string());
    let old =
        (0..5).map(|number| (format!("O-{number}"), now - TimeDelta::days(5) + TimeDelta::seconds(number)));
    insert(&mut setup, &merchant, old);
    let mut other = Setup::new(&database, "");
    other.execute("BEGIN");
    other.execute("SELECT 1 FROM events WHERE order_id = 'O-2' FOR UPDATE");
    let service = Service::start_with(database, TWO_DAYS).await;
    eventually("the others are gone", async || with_bodies(&mut setup, "events") == ["O-2"]).await;
    let place = "SELECT order_id AS line FROM retention_progress JOIN events ON place = event_id";
    eventually("the walk is before it", async || setup.lines(place) == ["O-1"]).await;
    other.execute("COMMIT");
    service.clock.advance(TimeDelta::hours(1));
    eventually("it is gone", async || with_bodies(&mut setup, "events").is_empty()).await;
}
