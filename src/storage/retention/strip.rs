//! Forgetting what a stretch holds: one short transaction.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Text, Timestamp};

use super::look::status_key;
use super::{Age, Stretch, Subject, Walk, progress};
use crate::storage::schema::{attempts, events};
use crate::storage::{AnyConnection, StoreError};

/// Forgets it inside the caller's transaction and moves the walk on. Whether there may be more to do:
/// not before rows are free that somebody has locked.
///
/// Whoever waits for nobody cannot be part of a deadlock: on PostgreSQL locked rows are passed over, and
/// the walk then stops before the first of them.
pub fn strip(
    connection: &mut AnyConnection,
    walk: &Walk,
    stretch: &Stretch,
    age: &Age,
) -> Result<bool, StoreError> {
    if let Some(last) = stretch.places.last() {
        match walk.subject {
            Subject::Events => events_up_to(connection, walk, (&stretch.from, last))?,
            Subject::Attempts => attempts_up_to(connection, walk, (&stretch.from, last))?,
            Subject::OrderStatuses => statuses_up_to(connection, walk, (&stretch.from, last), age)?,
        }
    }
    let left = match walk.subject {
        Subject::Events => event_left(connection, walk, stretch)?,
        Subject::Attempts => attempt_left(connection, walk, stretch)?,
        // What was passed over is met again tomorrow.
        Subject::OrderStatuses => None,
    };
    let to = match &left {
        None => Some(&stretch.to),
        Some(left) => stretch.places.iter().rev().find(|place| *place < left),
    };
    if let Some(to) = to {
        progress::save(connection, walk, (&stretch.from, to), stretch.begun_at)?;
    }
    Ok(left.is_none() && !to.is_some_and(String::is_empty))
}

type Bounds<'a> = (&'a str, &'a str);

fn events_up_to(
    connection: &mut AnyConnection,
    walk: &Walk,
    (from, last): Bounds<'_>,
) -> Result<(), StoreError> {
    const POSTGRES: &str = "UPDATE events SET body = NULL WHERE merchant_id = $1 AND mode = $2 \
        AND event_id IN (SELECT event_id FROM events WHERE merchant_id = $1 AND mode = $2 \
        AND event_id > $3 AND event_id <= $4 AND body IS NOT NULL FOR UPDATE SKIP LOCKED)";
    const SQLITE: &str = "UPDATE events SET body = NULL WHERE merchant_id = ?1 AND mode = ?2 \
        AND event_id > ?3 AND event_id <= ?4 AND body IS NOT NULL";
    let text = if matches!(connection, AnyConnection::Postgres(_)) { POSTGRES } else { SQLITE };
    let query = sql_query(text)
        .bind::<Text, _>(&walk.merchant)
        .bind::<Text, _>(walk.mode)
        .bind::<Text, _>(from)
        .bind::<Text, _>(last);
    match connection {
        AnyConnection::Postgres(c) => query.execute(c)?,
        AnyConnection::Sqlite(c) => query.execute(c)?,
    };
    Ok(())
}

fn attempts_up_to(
    connection: &mut AnyConnection,
    walk: &Walk,
    (from, last): Bounds<'_>,
) -> Result<(), StoreError> {
    const POSTGRES: &str = "UPDATE attempts SET peer = NULL WHERE merchant_id = $1 \
        AND (attempt_id, bulk_row) IN (SELECT attempt_id, bulk_row FROM attempts WHERE merchant_id = $1 \
        AND attempt_id > $2 AND attempt_id <= $3 AND peer IS NOT NULL FOR UPDATE SKIP LOCKED)";
    const SQLITE: &str = "UPDATE attempts SET peer = NULL WHERE merchant_id = ?1 \
        AND attempt_id > ?2 AND attempt_id <= ?3 AND peer IS NOT NULL";
    let text = if matches!(connection, AnyConnection::Postgres(_)) { POSTGRES } else { SQLITE };
    let query = sql_query(text).bind::<Text, _>(&walk.merchant).bind::<Text, _>(from).bind::<Text, _>(last);
    match connection {
        AnyConnection::Postgres(c) => query.execute(c)?,
        AnyConnection::Sqlite(c) => query.execute(c)?,
    };
    Ok(())
}

fn statuses_up_to(
    connection: &mut AnyConnection,
    walk: &Walk,
    (from, last): Bounds<'_>,
    age: &Age,
) -> Result<(), StoreError> {
    const POSTGRES: &str = "UPDATE order_statuses SET body = NULL WHERE merchant_id = $1 AND mode = $2 \
        AND (order_id, status, status_updated_at) IN (\
        SELECT order_id, status, status_updated_at FROM order_statuses WHERE merchant_id = $1 AND mode = $2 \
        AND (order_id, status, status_updated_at) > ($3, $4, $5) \
        AND (order_id, status, status_updated_at) <= ($6, $7, $8) \
        AND received_at < $9 AND body IS NOT NULL FOR UPDATE SKIP LOCKED)";
    const SQLITE: &str = "UPDATE order_statuses SET body = NULL WHERE merchant_id = ?1 AND mode = ?2 \
        AND (order_id, status, status_updated_at) > (?3, ?4, ?5) \
        AND (order_id, status, status_updated_at) <= (?6, ?7, ?8) \
        AND received_at < ?9 AND body IS NOT NULL";
    let text = if matches!(connection, AnyConnection::Postgres(_)) { POSTGRES } else { SQLITE };
    let [from, last] = [from, last].map(status_key);
    let query = sql_query(text)
        .bind::<Text, _>(&walk.merchant)
        .bind::<Text, _>(walk.mode)
        .bind::<Text, _>(from[0])
        .bind::<Text, _>(from[1])
        .bind::<Text, _>(from[2])
        .bind::<Text, _>(last[0])
        .bind::<Text, _>(last[1])
        .bind::<Text, _>(last[2])
        .bind::<Timestamp, _>(age.before.naive_utc());
    match connection {
        AnyConnection::Postgres(c) => query.execute(c)?,
        AnyConnection::Sqlite(c) => query.execute(c)?,
    };
    Ok(())
}

/// The first event of the stretch that still has its body: somebody had it locked.
fn event_left(
    connection: &mut AnyConnection,
    walk: &Walk,
    stretch: &Stretch,
) -> Result<Option<String>, StoreError> {
    Ok(events::table
        .filter(events::merchant_id.eq(&walk.merchant))
        .filter(events::mode.eq(walk.mode))
        .filter(events::event_id.gt(&stretch.from))
        .filter(events::event_id.le(&stretch.to))
        .filter(events::body.is_not_null())
        .order(events::event_id)
        .select(events::event_id)
        .first(connection)
        .optional()?)
}

fn attempt_left(
    connection: &mut AnyConnection,
    walk: &Walk,
    stretch: &Stretch,
) -> Result<Option<String>, StoreError> {
    Ok(attempts::table
        .filter(attempts::merchant_id.eq(&walk.merchant))
        .filter(attempts::attempt_id.gt(&stretch.from))
        .filter(attempts::attempt_id.le(&stretch.to))
        .filter(attempts::peer.is_not_null())
        .order(attempts::attempt_id)
        .select(attempts::attempt_id)
        .first(connection)
        .optional()?)
}
