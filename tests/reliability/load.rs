//! A crowd of callers that remember what they were promised.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use conversiond::domain::ids::KeyKind;
use conversiond::storage::{AnyConnection, Connector, Purpose};
use diesel::{QueryableByName, RunQueryDsl as _, sql_query, sql_types};
use serde_json::json;

use crate::support::caller::unix_now;
use crate::support::service::Setup;
use crate::support::{Caller, TestDatabase};

/// What callers were told.
#[derive(Default)]
pub struct Promises {
    /// Orders answered `202`, with the event's id.
    pub acknowledged: Mutex<HashMap<String, String>>,
    /// Answers that are no 202: status and code, with how often.
    pub refused: Mutex<HashMap<(u16, String), u64>>,
    /// 503s without `Retry-After`.
    pub without_retry_after: AtomicU64,
    /// Requests whose connection broke.
    pub broken: AtomicU64,
    next_order: AtomicU64,
}

impl Promises {
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// How often this code was answered.
    pub fn refused(&self, code: &str) -> u64 {
        self.refused
            .lock()
            .unwrap()
            .iter()
            .filter(|((_, found), _)| found == code)
            .map(|(_, count)| count)
            .sum()
    }

    /// Whoever was refused was refused with this code, and told when to come back if it is a 503's.
    #[track_caller]
    pub fn expect_only(&self, code: &str) {
        let refused = self.refused.lock().unwrap();
        assert!(refused.keys().all(|(_, found)| found == code), "{refused:?}");
        assert_eq!(self.without_retry_after.load(Ordering::Relaxed), 0, "a 503 without Retry-After");
    }

    /// The callback that tells of this order.
    pub fn event(order: &str) -> String {
        json!({"externalOrderId": order, "amount": "12.34", "currency": "EUR"}).to_string()
    }

    /// Every second order is sent under an idempotency key.
    pub fn idempotency_key(order: &str) -> Option<String> {
        order.ends_with(['1', '3', '5', '7', '9']).then(|| format!("key-{order}"))
    }
}

/// Callers at work.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    /// So many callers, each posting one new order after the other.
    pub fn start(callers: usize, caller: &Caller, promises: &Arc<Promises>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..callers)
            .map(|_| tokio::spawn(work(caller.clone(), promises.clone(), stop.clone())))
            .collect();
        Self { stop, tasks }
    }

    /// Lets every caller finish its request.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn work(caller: Caller, promises: Arc<Promises>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let order = format!("O-{}", promises.next_order.fetch_add(1, Ordering::Relaxed));
        let event = Promises::event(&order);
        let answer = match Promises::idempotency_key(&order) {
            Some(key) => caller.try_post_to("/api/v1/conversions", &key, &event, unix_now()).await,
            None => caller.try_post(&event).await,
        };
        let Ok(answer) = answer else {
            promises.broken.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            continue;
        };
        if answer.text.is_empty() {
            // The head arrived, the body did not: no promise was read.
            promises.broken.fetch_add(1, Ordering::Relaxed);
        } else if answer.status == 202 {
            let id = answer.at("/event_id").as_str().unwrap().to_owned();
            promises.acknowledged.lock().unwrap().insert(order, id);
        } else {
            if answer.status == 503 && answer.header("retry-after").is_none() {
                promises.without_retry_after.fetch_add(1, Ordering::Relaxed);
            }
            *promises.refused.lock().unwrap().entry((answer.status, answer.word())).or_default() += 1;
        }
    }
}

/// A merchant's caller on a fresh database. Its address is not known yet.
pub fn caller(database: &TestDatabase) -> Caller {
    let mut setup = Setup::new(database, "");
    let merchant = setup.merchant();
    setup.key(KeyKind::Live, Some(merchant))
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = sql_types::Text)]
    order_id: String,
    #[diesel(sql_type = sql_types::Text)]
    event_id: String,
    #[diesel(sql_type = sql_types::BigInt)]
    times_received: i64,
}

/// Checks the store against the promises: every acknowledged event is there, once, under its id.
pub fn check(database: &TestDatabase, promises: &Promises) {
    let mut connection = Connector::new(database.config("").database).connect(Purpose::Read).unwrap();
    let query = sql_query("SELECT order_id, event_id, times_received FROM events");
    let stored: Vec<Stored> = match &mut connection {
        AnyConnection::Postgres(c) => query.load(c).unwrap(),
        AnyConnection::Sqlite(c) => query.load(c).unwrap(),
    };
    let mut by_order: HashMap<String, Vec<String>> = HashMap::new();
    for row in stored {
        // Every order was sent once.
        assert_eq!(row.times_received, 1, "{} is counted {} times", row.order_id, row.times_received);
        by_order.entry(row.order_id).or_default().push(row.event_id);
    }
    assert!(by_order.values().all(|ids| ids.len() == 1), "an order is counted twice");
    let acknowledged = promises.acknowledged.lock().unwrap();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|(order, id)| by_order.get(*order) != Some(&vec![(*id).clone()]))
        .map(|(order, _)| order)
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged events are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
}
