//! What a merchant may take of the service in bulk and per day (contract 6.2 and 7).

use std::num::NonZeroU64;
use std::sync::Arc;

use chrono::TimeDelta;
use conversiond::domain::signature::Form;
use conversiond::storage::merchants::Changes;
use serde_json::{Value, json};

use crate::support::caller::Answer;
use crate::support::clock::TestClock;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const BULK: &str = "/api/v1/conversions/bulk";

fn lead(id: &str) -> Value {
    json!({"event_name": "lead", "external_id": id})
}

/// A bulk request of so many leads.
async fn bulk(caller: &Caller, name: &str, rows: usize) -> Answer {
    let rows: Vec<Value> = (0..rows).map(|number| lead(&format!("{name}-{number}"))).collect();
    let body = json!({ "rows": rows }).to_string();
    let headers = caller.headers(Form::Plain, "POST", BULK, body.as_bytes());
    caller.send("POST", BULK, body.as_bytes(), &headers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_request_is_taken_whole_while_rows_are_left_and_its_debt_is_waited_off() {
    let settings = "[plans.enterprise]\nrows_per_s = 2\n";
    let clock = Arc::new(TestClock::standing());
    let service = Service::start_at(Backend::Sqlite.database(), settings, clock).await;
    let caller = &service.caller;
    // Ten seconds' worth are there: 15, and another 15 against the 5 that are left.
    for name in ["first", "second"] {
        assert_eq!(bulk(caller, name, 15).await.at("/summary/accepted"), 15);
    }
    for rows in [1, 15] {
        let refused = bulk(caller, "third", rows).await;
        refused.expect_problem(429, "rate_limited");
        // 10 rows of debt at 2 a second, and something must be there.
        assert_eq!((refused.header("retry-after"), refused.at("/retry_after")), (Some("6"), json!(6)));
    }
    // Single callbacks are no rows of bulk requests.
    assert_eq!(caller.post(&lead("single")).await.word(), "ACCEPTED");
    assert_eq!(service.count_events(), 31);
    service.clock.advance(TimeDelta::milliseconds(5_000));
    bulk(caller, "third", 1).await.expect_problem(429, "rate_limited");
    service.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(bulk(caller, "third", 15).await.at("/summary/accepted"), 15);
    let (_, metrics) = service.admin("/metrics").await;
    let counted = r#"endpoint="conversions_bulk",status="429",reason="MERCHANT_ROWS_LIMITED"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
    let limit = conversiond::domain::rate_limit::RateLimit::of_rows(1_000);
    service.setup().change(service.merchant, &Changes { own_row_limit: Some(limit), ..Changes::default() });
    eventually("the merchant's own limit holds", async || {
        service.clock.advance(TimeDelta::milliseconds(100));
        bulk(caller, "fourth", 15).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_that_fills_its_share_of_bulk_bodies_leaves_the_rest_to_others() {
    // Of 1 MiB for bulk requests' bodies one merchant has as much as it leaves free.
    let settings = "[server]\nbodies_in_flight_bytes_max = 2097152\n[ingest]\nbulk_wait_ms = 100\n";
    let service = Service::start_with(Backend::Sqlite.database(), settings).await;
    let mut setup = service.setup();
    let other = setup.merchant();
    let other = setup.key(conversiond::domain::ids::KeyKind::Live, Some(other));
    eventually("the other merchant's key is in force", async || {
        other.post(&lead("there")).await.status == 202
    })
    .await;
    let calls: Vec<_> = (0..16)
        .map(|number| {
            let caller = service.caller.clone();
            tokio::spawn(async move { bulk(&caller, &format!("{number}"), 1_000).await })
        })
        .collect();
    assert_eq!(bulk(&other, "other", 1_000).await.at("/summary/accepted"), 1_000);
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status != 200 {
            answer.expect_problem(503, "overloaded");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
}

on_both_databases! {
    async fn a_quota_of_the_day_refuses_what_writes_and_is_counted_by_all_instances(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let without_currency = json!({"externalOrderId": "O-1", "amount": "1"});
        assert_eq!(caller.post(&without_currency).await.status, 422);
        let changes = Changes {
            currency: "EUR".parse().ok(),
            quota_rows: Some(NonZeroU64::new(100)),
            ..Changes::default()
        };
        service.setup().change(service.merchant, &changes);
        eventually("the quota is in force", async || caller.post(&without_currency).await.status == 202).await;
        assert_eq!(bulk(caller, "first", 60).await.at("/summary/accepted"), 60);
        let counted = |rows: usize| format!("merchant_usage WHERE rows = {rows} AND bytes > 1000");
        assert_eq!(service.count(&counted(61)), 1);
        // Repeats count as well, and a bulk request that is admitted is admitted whole.
        assert_eq!(bulk(caller, "first", 60).await.at("/summary/duplicate"), 60);
        assert_eq!(service.count(&counted(121)), 1);
        eventually("the quota is used up", async || {
            let answer = caller.post(&lead("late")).await;
            if answer.status == 429 {
                answer.expect_problem(429, "quota_exceeded");
                let wait = answer.at("/retry_after").as_u64().unwrap();
                assert!((1..=86_400).contains(&wait) && answer.header("retry-after").is_some());
            }
            answer.status == 429
        })
        .await;
        bulk(caller, "second", 2).await.expect_problem(429, "quota_exceeded");
        assert_eq!(caller.get("/api/v1/conversions?limit=1").await.status, 200);
        let (_, metrics) = service.admin("/metrics").await;
        assert!(metrics.contains("conversiond_quota_refused_total 2\n"), "{metrics}");
        if backend == Backend::Postgres {
            let second = service.another("").await;
            second.caller.post(&lead("elsewhere")).await.expect_problem(429, "quota_exceeded");
        }
        service.setup().change(service.merchant, &Changes { quota_rows: Some(None), ..Changes::default() });
        eventually("without a quota it goes on", async || caller.post(&lead("again")).await.status == 202).await;
    }

    async fn what_is_written_of_a_merchant_without_a_quota_is_not_counted(backend: Backend) {
        let service = Service::start(backend).await;
        assert_eq!(bulk(&service.caller, "first", 60).await.status, 200);
        assert_eq!(service.count("merchant_usage"), 0);
    }

    async fn bytes_of_bodies_are_a_quota_too(backend: Backend) {
        let service = Service::start(backend).await;
        let changes = Changes { quota_bytes: Some(NonZeroU64::new(2_000)), ..Changes::default() };
        service.setup().change(service.merchant, &changes);
        let padded = |id: &str| {
            json!({"event_name": "lead", "external_id": id, "metadata": {"padding": "x".repeat(500)}})
        };
        let mut sent = 0;
        eventually("the quota is used up", async || {
            sent += 1;
            let answer = service.caller.post(&padded(&format!("L-{sent}"))).await;
            if answer.status != 202 {
                answer.expect_problem(429, "quota_exceeded");
            }
            answer.status == 429
        })
        .await;
        assert_eq!(service.count("merchant_usage WHERE bytes >= 2000"), 1);
    }
}
