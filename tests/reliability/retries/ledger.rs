//! What lies in the database, and what the service has said to get it there.

use std::collections::BTreeMap;

use conversiond::storage::{AnyConnection, Connector, Purpose};
use diesel::{QueryableByName, RunQueryDsl as _, sql_query, sql_types};

use super::program::Outcome;
use crate::support::TestDatabase;
use crate::support::caller::Answer;

#[derive(QueryableByName)]
struct Pair {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
    #[diesel(sql_type = sql_types::Text)]
    value: String,
}

fn pairs(database: &TestDatabase, sql: &str) -> Vec<(String, String)> {
    let mut connection = Connector::new(database.config("").database).connect(Purpose::Read).unwrap();
    let rows: Vec<Pair> = match &mut connection {
        AnyConnection::Postgres(c) => sql_query(sql).load(c).unwrap(),
        AnyConnection::Sqlite(c) => sql_query(sql).load(c).unwrap(),
    };
    rows.into_iter().map(|row| (row.name, row.value)).collect()
}

/// Each order's event. That no order has two is asserted.
pub fn events(database: &TestDatabase) -> BTreeMap<String, String> {
    let rows = pairs(database, "SELECT order_id AS name, event_id AS value FROM events");
    let count = rows.len();
    let events: BTreeMap<String, String> = rows.into_iter().collect();
    assert_eq!(events.len(), count, "an order has two events: {events:?}");
    events
}

/// The answers stored under idempotency keys.
pub fn stored_answers(database: &TestDatabase) -> BTreeMap<String, String> {
    pairs(database, "SELECT idempotency_key AS name, body AS value FROM idempotency_keys")
        .into_iter()
        .collect()
}

/// Orders with their states, sorted.
pub fn statuses(database: &TestDatabase) -> Vec<(String, String)> {
    let mut statuses = pairs(database, "SELECT order_id AS name, status AS value FROM order_statuses");
    statuses.sort_unstable();
    statuses
}

/// Exactly these orders have an event, one each.
#[track_caller]
pub fn assert_recorded<'a>(database: &TestDatabase, orders: impl IntoIterator<Item = &'a str>) {
    let mut orders: Vec<&str> = orders.into_iter().collect();
    orders.sort_unstable();
    let events = events(database);
    assert_eq!(events.keys().map(String::as_str).collect::<Vec<_>>(), orders);
}

/// A program's answer is a success about its order's one event. Under a key it is byte for byte
/// what was committed; without one it says ACCEPTED or DUPLICATE.
#[track_caller]
pub fn assert_kept(database: &TestDatabase, outcome: &Outcome, key: &str) {
    assert_eq!(outcome.status, 202, "{outcome:?}");
    let (body, json) = (outcome.body.as_deref().unwrap(), outcome.json());
    assert_eq!(json["order_id"], *outcome.order, "{outcome:?}");
    assert_eq!(json["event_id"].as_str(), events(database).get(&outcome.order).map(String::as_str));
    if key.is_empty() {
        assert!(["ACCEPTED", "DUPLICATE"].contains(&json["status"].as_str().unwrap()), "{outcome:?}");
    } else {
        assert_eq!(Some(body), stored_answers(database).get(key).map(String::as_str));
        assert_eq!(json["status"], "ACCEPTED", "{outcome:?}");
    }
}

/// What the service said keeps to its documents: who is to come back is told when, and nothing is a
/// bug. Returns how often each code that is no success was said.
#[track_caller]
pub fn check_manners(answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut codes = BTreeMap::new();
    for answer in answers.iter().filter(|answer| !(200..300).contains(&answer.status)) {
        assert_ne!(answer.status, 500, "{}", answer.text);
        let told = answer.header("retry-after").map(|text| text.parse::<u64>().unwrap());
        match answer.status {
            409 => assert_eq!(told, Some(1), "{}", answer.text),
            429 => {
                assert!(told >= Some(1), "{:?}", answer.headers);
                assert_eq!(answer.at("/retry_after").as_u64(), told, "{}", answer.text);
            }
            503 => assert!(told >= Some(1), "{:?}", answer.headers),
            _ => assert_eq!(told, None, "{:?}", answer.headers),
        }
        let retryable = matches!(answer.status, 408 | 409 | 429 | 503);
        assert_eq!(answer.at("/retryable"), retryable, "{}", answer.text);
        *codes.entry(answer.word()).or_default() += 1;
    }
    codes
}
