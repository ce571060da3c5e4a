//! The queue overflows; instances start together; a row is locked by somebody else.

use conversiond::storage::{Connector, Purpose};
use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::load::caller;
use crate::support::process::ServeProcess;
use crate::support::service::Setup;
use crate::support::{Backend, Service, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_503_overloaded_and_what_was_taken_is_written() {
    let database = Backend::Sqlite.database();
    let service =
        Service::start_with(database.clone(), "[ingest]\nqueue_events = 8\nbatch_events = 4\n").await;
    // Another process's transaction holds the writer up.
    let mut blocker = Connector::new(database.config("").database).connect(Purpose::Write).unwrap();
    blocker.batch_execute("BEGIN IMMEDIATE").unwrap();
    let event =
        |order: usize| json!({"externalOrderId": format!("O-{order}"), "amount": "1", "currency": "USD"});
    let calls: Vec<_> = (0..64)
        .map(|order| {
            let caller = service.caller.clone();
            let event = event(order);
            tokio::spawn(async move { caller.post(&event).await })
        })
        .collect();
    eventually("the rest is refused", async || {
        calls.iter().filter(|call| call.is_finished()).count() >= 64 - 12
    })
    .await;
    blocker.batch_execute("ROLLBACK").unwrap();
    let (mut accepted, mut overloaded) = (0, 0);
    for call in calls {
        let answer = call.await.unwrap();
        match answer.word().as_str() {
            "ACCEPTED" => accepted += 1,
            "overloaded" => {
                overloaded += 1;
                assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
                assert_eq!(answer.at("/retryable"), true);
            }
            other => panic!("{other}: {}", answer.text),
        }
    }
    assert_eq!((accepted + overloaded, accepted <= 12, accepted > 0), (64, true, true));
    assert_eq!(service.count_events(), accepted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_start_at_once_on_an_empty_database_all_come_up() {
    let Some(backend) = Backend::postgres() else { return };
    for _ in 0..3 {
        let database = backend.database();
        let starts: Vec<_> = (0..3)
            .map(|_| {
                let database = database.clone();
                tokio::task::spawn_blocking(move || ServeProcess::start(&database))
            })
            .collect();
        let mut services = Vec::new();
        for start in starts {
            services.push(start.await.unwrap());
        }
        let mut caller = caller(&database);
        for service in &services {
            caller.base = service.base.clone();
            eventually("the key is known", async || caller.get("/api/v1/conversions").await.status == 200)
                .await;
        }
        // Whichever instance made the first token key: all have the same.
        assert_eq!(Setup::new(&database, "").tokens().newest(), Some(1));
        for service in services {
            assert_eq!(service.terminate().0, Some(0));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_else_has_locked_holds_up_nobody_else() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let service = Service::start_with(database.clone(), "[database]\nwriters = 1\n").await;
    let event = |order: &str| json!({"externalOrderId": order, "amount": "1", "currency": "USD"});
    assert_eq!(service.caller.post(&event("O-locked")).await.word(), "ACCEPTED");
    let mut holder = Connector::new(database.config("").database).connect(Purpose::Write).unwrap();
    holder
        .batch_execute("BEGIN; SELECT event_id FROM events WHERE order_id = 'O-locked' FOR UPDATE")
        .unwrap();
    let orders: Vec<String> =
        (0..40).map(|n| if n == 17 { "O-locked".to_owned() } else { format!("O-{n}") }).collect();
    let events: Vec<_> = orders.iter().map(|order| event(order)).collect();
    let answers = futures_util::future::join_all(events.iter().map(|event| service.caller.post(event))).await;
    for (order, answer) in orders.iter().zip(&answers) {
        let expected = if order == "O-locked" { "storage_unavailable" } else { "ACCEPTED" };
        assert_eq!(answer.word(), expected, "{order}: {}", answer.text);
    }
    holder.batch_execute("ROLLBACK").unwrap();
    assert_eq!(service.caller.post(&event("O-locked")).await.word(), "DUPLICATE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_somebody_else_holds_the_write_lock_the_service_is_not_ready_and_it_is_again_without_callbacks()
{
    let database = Backend::Sqlite.database();
    let service = Service::start_with(database.clone(), "[ingest]\nanswer_timeout_s = 6\n").await;
    let event = json!({"externalOrderId": "O-1", "amount": "1", "currency": "USD"});
    let mut other = Connector::new(database.config("").database).connect(Purpose::Write).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    assert_eq!(service.caller.post(&event).await.word(), "storage_unavailable");
    eventually("it is not ready", async || {
        let (status, text) = service.admin("/readyz").await;
        status == 503 && text.contains("nothing could be written")
    })
    .await;
    // The lock is still held after the last callback has long been told.
    eventually("it is tried", async || {
        let (status, text) = service.admin("/readyz").await;
        assert_eq!(status, 503, "{text}");
        text.contains("locked by somebody else")
    })
    .await;
    other.batch_execute("ROLLBACK").unwrap();
    eventually("it is ready again", async || service.admin("/readyz").await.0 == 200).await;
    assert_eq!(service.caller.post(&event).await.status, 202);
}
