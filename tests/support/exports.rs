//! Events for exports: made old, copied, or many at once; and exports as they are read.

use chrono::TimeDelta;
use conversiond::domain::ids::{EventId, MerchantId};
use conversiond::storage::AnyConnection;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query, sql_types};
use serde_json::Value;
use uuid::Uuid;

use super::caller::Answer;
use super::service::Setup;

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = sql_types::Text)]
    event_id: String,
}

impl Setup {
    /// The ids of all events, oldest first.
    pub fn event_ids(&mut self) -> Vec<String> {
        self.event_ids_where("true")
    }

    fn event_ids_where(&mut self, condition: &str) -> Vec<String> {
        let query = sql_query(format!("SELECT event_id FROM events WHERE {condition} ORDER BY event_id"));
        let ids: Vec<Id> = match &mut self.connection {
            AnyConnection::Postgres(c) => query.load(c).unwrap(),
            AnyConnection::Sqlite(c) => query.load(c).unwrap(),
        };
        ids.into_iter().map(|Id { event_id }| event_id).collect()
    }

    /// Makes every event ten minutes older, by its id: all there are may be exported then.
    pub fn age_events(&mut self) {
        self.age_events_where("true");
    }

    /// The same of some.
    pub fn age_events_where(&mut self, condition: &str) {
        let ten_minutes = u128::try_from(TimeDelta::minutes(10).num_milliseconds()).unwrap() << 80;
        for id in self.event_ids_where(condition) {
            let uuid = id.parse::<EventId>().unwrap().uuid();
            let older = EventId::from_uuid(Uuid::from_u128(uuid.as_u128() - ten_minutes));
            self.execute(&format!("UPDATE events SET event_id = '{older}' WHERE event_id = '{id}'"));
        }
    }

    /// Records what an order has once more, as another order under this id.
    pub fn copy_event(&mut self, from: &str, to: &str, id: EventId) {
        let columns = "event_name, own_id, occurred_at, occurred_given, received_at, value_minor, currency, \
             attribution, attribution_reason, key_id, signature_form, times_received, times_differed";
        let sql = format!(
            "INSERT INTO events (merchant_id, mode, event_id, order_id, {columns}) \
             SELECT merchant_id, mode, '{id}', '{to}', {columns} FROM events WHERE order_id = '{from}'"
        );
        assert_eq!(self.execute(&sql), 1);
    }

    /// Records so many old events, each with metadata of this size.
    pub fn fill_events(&mut self, merchant: MerchantId, count: usize, metadata_bytes: usize) {
        let padding = "x".repeat(metadata_bytes);
        let sql = format!(
            "INSERT INTO events (merchant_id, mode, event_id, event_name, order_id, own_id, occurred_at, \
             occurred_given, received_at, value_minor, currency, attribution, attribution_reason, metadata, \
             key_id, signature_form, times_received, times_differed) \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
             SELECT '{merchant}', 'live', 'evt_01k0000000' || substr(CAST(10000000000000000 + i AS TEXT), 2), 'sale', \
             'F-' || CAST(i AS TEXT), '', '2026-01-01 00:00:00', true, '2026-01-01 00:00:00', 1999, 'USD', \
             'unattributed', 'no_token', '{{\"p\":\"{padding}\"}}', 'k', 'v1', 1, 0 FROM n"
        );
        assert_eq!(self.execute(&sql), count);
    }
}

/// An export that was not cut.
#[derive(Debug)]
pub struct Exported {
    pub events: Vec<Value>,
    pub cursor: String,
    pub is_complete: bool,
}

impl Exported {
    /// The lines of an NDJSON export, which must be complete.
    #[track_caller]
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/x-ndjson")),
            "{answer:?}"
        );
        Self::of_text(&answer.text)
    }

    /// The same of its text.
    #[track_caller]
    pub fn of_text(text: &str) -> Self {
        assert!(text.ends_with('\n'), "{text}");
        let mut events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let end = events.pop().expect("a last line");
        assert_eq!(end.as_object().unwrap().len(), 2, "{end}");
        let is_complete = end["complete"].as_bool().expect("whether it is complete");
        Self { events, cursor: end["next_cursor"].as_str().expect("a cursor").to_owned(), is_complete }
    }

    /// The orders of the events.
    pub fn orders(&self) -> Vec<&str> {
        self.events.iter().map(|event| event["order_id"].as_str().unwrap()).collect()
    }
}
