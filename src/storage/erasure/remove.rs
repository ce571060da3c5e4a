//! Taking personal data away, a row or a request's lines per transaction. Each says how many rows it
//! has changed: none, when it is done a second time.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Text;

use super::Order;
use super::find::{Event, Status};
use super::requests::Key;
use crate::storage::schema::{events, idempotency_keys, order_statuses};
use crate::storage::{AnyConnection, StoreError};

const NOTHING: Option<String> = None;

/// An event's body and metadata.
pub fn event(
    connection: &mut AnyConnection,
    order: &Order<'_>,
    event: &Event,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let id = (order.merchant.to_string(), event.mode.as_str(), event.id.as_str());
    let row = events::table.find(id).filter(events::erased_at.is_null());
    let changes =
        (events::metadata.eq(NOTHING), events::body.eq(NOTHING), events::erased_at.eq(now.naive_utc()));
    Ok(diesel::update(row).set(changes).execute(connection)?)
}

/// A report's body, metadata and reason.
pub fn status(
    connection: &mut AnyConnection,
    order: &Order<'_>,
    status: &Status,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let id = (
        order.merchant.to_string(),
        status.mode.as_str(),
        order.order,
        status.status.as_str(),
        status.updated_at.as_str(),
    );
    let row = order_statuses::table.find(id).filter(order_statuses::erased_at.is_null());
    let changes = (
        order_statuses::reason.eq(NOTHING),
        order_statuses::metadata.eq(NOTHING),
        order_statuses::body.eq(NOTHING),
        order_statuses::erased_at.eq(now.naive_utc()),
    );
    Ok(diesel::update(row).set(changes).execute(connection)?)
}

/// Address, request id and digest of all lines of a request: they are the same in each. They are locked
/// in the order in which they are written.
pub fn lines(connection: &mut AnyConnection, owner: &str, attempt: &str) -> Result<usize, StoreError> {
    const POSTGRES: &str = "UPDATE attempts SET peer = NULL, body_sha256 = NULL, request_id = '' \
        WHERE merchant_id = $1 AND attempt_id = $2 AND bulk_row IN (SELECT bulk_row FROM attempts \
        WHERE merchant_id = $1 AND attempt_id = $2 \
        AND (peer IS NOT NULL OR body_sha256 IS NOT NULL OR request_id <> '') ORDER BY bulk_row FOR UPDATE)";
    const SQLITE: &str = "UPDATE attempts SET peer = NULL, body_sha256 = NULL, request_id = '' \
        WHERE merchant_id = ?1 AND attempt_id = ?2 \
        AND (peer IS NOT NULL OR body_sha256 IS NOT NULL OR request_id <> '')";
    let changed = match connection {
        AnyConnection::Postgres(c) => {
            sql_query(POSTGRES).bind::<Text, _>(owner).bind::<Text, _>(attempt).execute(c)?
        }
        AnyConnection::Sqlite(c) => {
            sql_query(SQLITE).bind::<Text, _>(owner).bind::<Text, _>(attempt).execute(c)?
        }
    };
    Ok(changed)
}

/// A key with its stored answer, if the claim that was seen still has it.
pub fn key(connection: &mut AnyConnection, order: &Order<'_>, key: &Key) -> Result<usize, StoreError> {
    let id = (order.merchant.to_string(), key.mode.as_str(), key.key.as_str());
    let row = idempotency_keys::table.find(id).filter(idempotency_keys::claimed_by.eq(&key.claimed_by));
    Ok(diesel::delete(row).execute(connection)?)
}
