//! Webhook deliveries by the caller's id (contract 6.4).

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Timestamp};

use super::batch_insert::batch_insert;
use super::schema::external_events;
use super::time_column::TimeColumn;
use super::{AnyConnection, StoreError};
use crate::domain::merchant::Mode;

/// A delivery on its way in.
pub struct DeliveryRow<'a> {
    pub merchant_id: String,
    pub mode: &'static str,
    pub external_event_id: &'a str,
    pub attempt_id: String,
    pub topic: &'static str,
    pub fingerprint: String,
    pub order_id: &'a str,
    pub received_at: TimeColumn,
    pub times_received: i64,
}

const ON_CONFLICT: &str = "ON CONFLICT (merchant_id, mode, external_event_id) DO UPDATE SET \
    times_received = external_events.times_received \
    + CASE WHEN external_events.attempt_id = excluded.attempt_id THEN 0 ELSE excluded.times_received END \
    RETURNING merchant_id, mode, external_event_id, fingerprint";

batch_insert! {
    DeliveryRow into "external_events" returning (Text, Text, Text, Text) {
        merchant_id: &'a str => Text, "::text[]", |row| row.merchant_id.as_str();
        mode: &'a str => Text, "::text[]", |row| row.mode;
        external_event_id: &'a str => Text, "::text[]", |row| row.external_event_id;
        attempt_id: &'a str => Text, "::text[]", |row| row.attempt_id.as_str();
        topic: &'a str => Text, "::text[]", |row| row.topic;
        fingerprint: &'a str => Text, "::text[]", |row| row.fingerprint.as_str();
        order_id: &'a str => Text, "::text[]", |row| row.order_id;
        received_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.received_at;
        times_received: i64 => BigInt, "::bigint[]", |row| row.times_received;
    }
    ON_CONFLICT
}

/// Takes delivery ids, each at most once and in their sort order. Returns the fingerprints that they
/// stand for, in the rows' order.
pub fn take(connection: &mut AnyConnection, rows: &[DeliveryRow<'_>]) -> Result<Vec<String>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let returned: Vec<(String, String, String, String)> = match connection {
        AnyConnection::Postgres(c) => InsertBatch::new(rows).load(c)?,
        AnyConnection::Sqlite(c) => {
            rows.iter().map(|row| InsertOne::<false>(row).get_result(c)).collect::<QueryResult<_>>()?
        }
    };
    let mut by_id: std::collections::HashMap<_, _> = returned
        .into_iter()
        .map(|(merchant, mode, id, fingerprint)| ((merchant, mode, id), fingerprint))
        .collect();
    rows.iter()
        .map(|row| {
            let id = (row.merchant_id.clone(), row.mode.to_owned(), row.external_event_id.to_owned());
            by_id.remove(&id).ok_or_else(|| StoreError::Refused("a delivery that is not there".to_owned()))
        })
        .collect()
}

/// Forgets a delivery id, if one of these attempts was the first to take it.
pub fn give_back(
    connection: &mut AnyConnection,
    merchant_id: &str,
    mode: Mode,
    id: &str,
    takers: &[String],
) -> Result<(), StoreError> {
    let row = external_events::table
        .filter(external_events::merchant_id.eq(merchant_id))
        .filter(external_events::mode.eq(mode.as_str()))
        .filter(external_events::external_event_id.eq(id))
        .filter(external_events::attempt_id.eq_any(takers));
    diesel::delete(row).execute(connection)?;
    Ok(())
}
