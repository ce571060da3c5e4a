//! Exports that follow each other while events are recorded: none is missed, none comes twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use conversiond::domain::ids::EventId;
use conversiond::domain::time::Clock as _;
use conversiond::system::SystemClock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exports::{PATH, export, sale};
use crate::support::cluster::Cluster;
use crate::support::gate::Gate;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

/// Waits at most two seconds in the queue.
const IMPATIENT: &str = "[ingest]\nanswer_timeout_s = 2\nbulk_wait_ms = 500\n[idempotency]\nwait_ms = 500\n";

/// Posts one sale after the other; the orders that were acknowledged.
async fn post(caller: Caller, next: Arc<AtomicU64>, over: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let order = format!("O-{}", next.fetch_add(1, Ordering::SeqCst));
        let event = json!({"externalOrderId": order, "amount": "1", "currency": "USD"});
        if caller.post(&event).await.status == 202 {
            acknowledged.push(order);
        }
    }
    acknowledged
}

fn id(event: &Value) -> EventId {
    event["event_id"].as_str().unwrap().parse().unwrap()
}

on_both_databases! {
    async fn exports_that_follow_each_other_under_load_have_every_event_once(backend: Backend) {
        let service = Service::start_with(backend.database().exported_behind(4), IMPATIENT).await;
        let another = match backend {
            Backend::Postgres => Some(service.another(IMPATIENT).await),
            Backend::Sqlite => None,
        };
        let callers = [&service, another.as_ref().unwrap_or(&service)].map(|service| service.caller.clone());
        let (next, over): (Arc<AtomicU64>, Arc<AtomicBool>) = Default::default();
        let posting: Vec<_> = (0..12)
            .map(|n| tokio::spawn(post(callers[n % 2].clone(), next.clone(), over.clone())))
            .collect();
        let mut posting = Some(posting);
        let (mut cursor, mut exported, mut acknowledged) = (String::new(), Vec::new(), Vec::new());
        let (mut filled, mut rounds) = (0, 0);
        loop {
            let query = if cursor.is_empty() { String::new() } else { format!("?cursor={cursor}") };
            let answer = callers[rounds % 2].get(&format!("{PATH}{query}")).await;
            rounds += 1;
            assert!(rounds < 2_000, "the exports do not come to an end");
            // The file's lock did not come free.
            if answer.status == 503 {
                continue;
            }
            let found = crate::support::exports::Exported::of(&answer);
            filled += usize::from(!found.events.is_empty());
            cursor = found.cursor;
            exported.extend(found.events);
            if filled >= 8 && posting.is_some() {
                over.store(true, Ordering::SeqCst);
                for task in posting.take().unwrap() {
                    acknowledged.extend(task.await.unwrap());
                }
            }
            if posting.is_none() && exported.len() >= usize::try_from(service.count_events()).unwrap() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(exported.is_sorted_by(|one, other| id(one) < id(other)));
        let mut setup = service.setup();
        let ids: Vec<String> = exported.iter().map(|event| id(event).to_string()).collect();
        assert_eq!(ids, setup.event_ids());
        let orders: BTreeSet<&str> = exported.iter().map(|event| event["order_id"].as_str().unwrap()).collect();
        assert!(acknowledged.iter().all(|order| orders.contains(order.as_str())));
    }
}

/// Waits until these events are older than exports stay behind.
async fn have_aged(events: impl IntoIterator<Item = EventId>, seconds: i64) {
    let youngest = events.into_iter().max().unwrap().made_at();
    let enough = TimeDelta::seconds(seconds) + TimeDelta::milliseconds(10);
    eventually("they are old enough", async || SystemClock.now() - youngest > enough).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_export_passes_an_event_whose_commit_is_on_its_way() {
    const BEHIND: u32 = 3;
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database().exported_behind(BEHIND);
    let gate = Gate::start(Cluster::shared().unwrap().port()).await;
    let held = Service::start_with(gate.way_to(&database), "[database]\nwriters = 1").await;
    // The same merchant and key.
    let mut direct = held.on(database).await;
    let before = export(&direct.caller, "").await;
    gate.shut();
    let (caller, event) =
        (held.caller.clone(), json!({"externalOrderId": "O-held", "amount": "1", "currency": "USD"}));
    let call = tokio::spawn(async move { caller.post(&event).await });
    eventually("its COMMIT is on its way", async || gate.held() == 1).await;
    // In a later millisecond.
    tokio::time::sleep(Duration::from_millis(2)).await;
    for order in ["O-1", "O-2"] {
        sale(&direct.caller, order).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let listed = direct.caller.get("/api/v1/conversions").await;
    have_aged(listed.at("/data").as_array().unwrap().iter().map(id), BEHIND.into()).await;
    let meanwhile = export(&direct.caller, &format!("?cursor={}", before.cursor)).await;
    assert_eq!((meanwhile.orders(), &meanwhile.cursor), (vec![], &before.cursor));
    assert_eq!(gate.held(), 1, "the COMMIT came through too early for this test to tell anything");
    gate.open();
    assert_eq!(call.await.unwrap().word(), "ACCEPTED");
    let mut after = None;
    eventually("all are exported", async || {
        let found = export(&direct.caller, &format!("?cursor={}", meanwhile.cursor)).await;
        let all = found.events.len() == 3;
        after = Some(found);
        all
    })
    .await;
    assert_eq!(after.unwrap().orders(), ["O-held", "O-1", "O-2"]);
    direct.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_export_begins_while_a_transaction_holds_the_files_lock() {
    let service = Service::start_with(Backend::Sqlite.database(), "[database]\npool_wait_ms = 300").await;
    sale(&service.caller, "O-1").await;
    let mut setup = service.setup();
    setup.age_events();
    let recorded = setup.event_ids().remove(0).parse::<EventId>().unwrap().uuid().as_u128();
    let mut holder = service.setup();
    holder.execute("BEGIN IMMEDIATE");
    holder.copy_event("O-1", "O-older", EventId::from_uuid(Uuid::from_u128(recorded - (1 << 80))));
    service.caller.get(PATH).await.expect_problem(503, "overloaded");
    holder.execute("COMMIT");
    assert_eq!(export(&service.caller, "").await.orders(), ["O-older", "O-1"]);
}
