//! pgbouncer in transaction mode stands between the service and PostgreSQL.

use std::sync::Arc;

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use conversiond::domain::time::Clock as _;
use serde_json::json;
use uuid::Uuid;

use crate::load::{Crowd, Promises, caller};
use crate::support::caller::{Answer, unix_now};
use crate::support::cluster::Cluster;
use crate::support::exports::Exported;
use crate::support::pooler::Pooler;
use crate::support::process::{ServeProcess, command};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, TestDatabase, eventually};
use crate::trial::{Trial, times};

/// What the service needs behind it. Its connections are more than the pooler's.
const SETTINGS: &str = "[database]\nprepared_statements = false\nwriters = 4\n";
const CONNECTIONS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_pooler_killed_pooled_connections_and_a_crash_behind_it_cost_no_event() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let Some(mut pooler) = Pooler::start(cluster.port(), CONNECTIONS) else { return };
    let database = TestDatabase::at(cluster.url(&cluster.create_database()));
    let mut trial = Trial::new("pgbouncer");
    let mut caller = caller(&database);
    let mut command = command(&pooler.way_to(&database), &["serve"]);
    command.env("CONVERSIOND__DATABASE__PREPARED_STATEMENTS", "false");
    // While the database is away the pooler lets the service wait.
    command.env("CONVERSIOND__INGEST__ANSWER_TIMEOUT_S", "1");
    command.env("CONVERSIOND__IDEMPOTENCY__WAIT_MS", "300");
    let service = ServeProcess::start_command(command);
    caller.base = service.base.clone();
    let promises = Arc::new(Promises::default());
    let crowd = Crowd::start(16, &caller, &promises);
    let load = async |more: usize| {
        let before = promises.acknowledged();
        eventually("load is on", async || promises.acknowledged() > before + more).await;
    };
    let told = async || {
        let away = promises.refused("storage_unavailable");
        eventually("callers are told", async || promises.refused("storage_unavailable") > away).await;
    };
    for _ in 0..times(2) {
        load(trial.random.usize(10..60)).await;
        tokio::task::block_in_place(|| pooler.kill());
        trial.fault_done();
        told().await;
        tokio::task::block_in_place(|| pooler.start_again());
        trial.answers_again(&caller).await;
        // Connections behind the pooler, in the middle of whatever they do.
        load(trial.random.usize(10..60)).await;
        Setup::new(&database, "").execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid()",
        );
        trial.fault_done();
        trial.answers_again(&caller).await;
        load(trial.random.usize(10..60)).await;
        tokio::task::block_in_place(|| cluster.stop());
        trial.fault_done();
        told().await;
        tokio::task::block_in_place(|| cluster.start_again());
        trial.answers_again(&caller).await;
    }
    crowd.stop().await;
    promises.expect_only("storage_unavailable");
    trial.ends(service, &caller, &database, &promises).await;
}

async fn send(caller: &Caller, target: &str, body: &str) -> Answer {
    let headers = caller.headers(Form::Bound, "POST", target, body.as_bytes());
    caller.send("POST", target, body.as_bytes(), &headers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_works_through_a_pooler_under_load() {
    let Some(backend) = Backend::postgres() else { return };
    let port = Cluster::shared().unwrap().port();
    let Some(pooler) = Pooler::start(port, CONNECTIONS) else { return };
    let direct = backend.database();
    let operator = Setup::new(&direct, "").key(KeyKind::Operator, None);
    let service = Service::start_with(pooler.way_to(&direct), SETTINGS).await;
    let mut setup = Setup::new(&direct, "");
    let (caller, promises) = (service.caller.clone(), Arc::new(Promises::default()));
    let operator = Caller { base: caller.base.clone(), ..operator };
    // Another merchant's load, so that statements and sessions mix.
    let other = setup.merchant();
    let other = Caller { base: caller.base.clone(), ..setup.key(KeyKind::Live, Some(other)) };
    eventually("the other's key is known", async || other.get("/api/v1/conversions").await.status == 200)
        .await;
    let crowd = Crowd::start(8, &other, &promises);
    for round in 0..10 {
        let order = format!("P-{round}");
        let token = service.token(service.clock.now());
        let sale = json!({"event_name": "sale", "nim_ct": token,
            "custom_data": {"order_id": order, "value": "10.00", "currency": "EUR"}});
        let recorded = caller.post_under(&order, &sale).await;
        assert_eq!((recorded.status, recorded.word().as_str()), (202, "ACCEPTED"), "{}", recorded.text);
        assert_eq!(recorded.at("/attribution/status"), "attributed");
        assert!(caller.post_under(&order, &sale).await.is_replayed());
        assert_eq!(caller.post(&sale).await.word(), "DUPLICATE");
        let refund = json!({"event_name": "refund", "external_id": "R-1",
            "custom_data": {"related_order_id": order, "value": "4.00", "currency": "EUR"}});
        let bulk = json!({"rows": [refund, sale]}).to_string();
        let bulk = send(&caller, "/api/v1/conversions/bulk", &bulk).await;
        assert_eq!(bulk.at("/summary/accepted"), 1, "{}", bulk.text);
        let status = json!({"externalOrderId": order, "status": "delivered"}).to_string();
        let status = send(&caller, "/api/v1/order-status", &status).await;
        assert_eq!(status.word(), "ACCEPTED", "{}", status.text);
        let click = json!({"merchant_id": service.merchant.to_string(), "url_id": Uuid::new_v4().to_string(),
            "domain_id": Uuid::new_v4().to_string()});
        let clicked = operator.post_to("/api/v1/clicks", &order, &click.to_string(), unix_now()).await;
        assert_eq!(clicked.status, 201, "{}", clicked.text);
        let id = recorded.at("/event_id");
        let read = caller.get(&format!("/api/v1/conversions/{}", id.as_str().unwrap())).await;
        assert_eq!(read.at("/times_received"), 3, "{}", read.text);
        let read = caller.get(&format!("/api/v1/orders/{order}")).await;
        assert_eq!((read.at("/net"), read.at("/state")), (json!("6.00"), json!("partially_refunded")));
        let books = json!({"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z",
            "rows": [{"order_id": order, "value": "10.00", "currency": "EUR"}]});
        let books = send(&caller, "/api/v1/reconciliations", &books.to_string()).await;
        assert_eq!(books.at("/summary/matched"), 1, "{}", books.text);
        for (list, expected) in [("conversions", 2), ("orders", 1), ("attempts", 5)] {
            let found = caller.get(&format!("/api/v1/{list}?limit=500")).await;
            let count = found.at("/data").as_array().map(Vec::len);
            assert_eq!(count, Some(expected * (round + 1)), "{list}: {}", found.text);
        }
        let report = caller.get("/api/v1/reports/attribution?group_by=attribution").await;
        assert_eq!(report.at("/rows/0/sales"), round + 1, "{}", report.text);
    }
    crowd.stop().await;
    assert!(promises.refused.lock().unwrap().is_empty(), "{:?}", promises.refused);
    setup.age_events();
    let export = Exported::of(&caller.get("/api/v1/exports/events").await);
    assert_eq!(export.events.len(), 20);
}
