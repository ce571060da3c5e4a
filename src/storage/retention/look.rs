//! What comes next: reads alone, so that nobody is held up.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

use super::{Age, PASS_EVERY, ROWS, Stretch, Subject, Walk, progress};
use crate::domain::ids::{AttemptId, EventId};
use crate::storage::schema::{attempts, events};
use crate::storage::{AnyConnection, StoreError};

/// The next rows of a walk; `None` = it has come to its end for now.
pub fn look(connection: &mut AnyConnection, walk: &Walk, age: &Age) -> Result<Option<Stretch>, StoreError> {
    let found = progress::find(connection, walk)?;
    let now = age.now.naive_utc();
    match walk.subject {
        Subject::Events | Subject::Attempts => {
            let from = found.map(|(place, _)| place).unwrap_or_default();
            let places = match walk.subject {
                Subject::Events => old_events(connection, walk, &from, age)?,
                _ => old_attempts(connection, walk, &from, age)?,
            };
            let to = places.last().cloned();
            Ok(to.map(|to| Stretch { from, places, to, begun_at: now }))
        }
        Subject::OrderStatuses => {
            let (from, begun_at) = match found {
                Some((place, begun_at)) if place.is_empty() && now - begun_at < PASS_EVERY => {
                    return Ok(None);
                }
                Some((place, begun_at)) if !place.is_empty() => (place, begun_at),
                _ => (String::new(), now),
            };
            let places = statuses_behind(connection, walk, &from)?;
            if places.is_empty() && from.is_empty() {
                return Ok(None);
            }
            let is_last = i64::try_from(places.len()).is_ok_and(|count| count < ROWS);
            let to = if is_last { String::new() } else { places.last().cloned().unwrap_or_default() };
            Ok(Some(Stretch { from, places, to, begun_at }))
        }
    }
}

fn old_events(
    connection: &mut AnyConnection,
    walk: &Walk,
    from: &str,
    age: &Age,
) -> Result<Vec<String>, StoreError> {
    Ok(events::table
        .filter(events::merchant_id.eq(&walk.merchant))
        .filter(events::mode.eq(walk.mode))
        .filter(events::event_id.gt(from))
        .filter(events::event_id.lt(EventId::first_at(age.before).to_string()))
        .order(events::event_id)
        .limit(ROWS)
        .select(events::event_id)
        .load(connection)?)
}

/// An attempt stands there once for each of its lines. Those beyond the limit are its own still.
fn old_attempts(
    connection: &mut AnyConnection,
    walk: &Walk,
    from: &str,
    age: &Age,
) -> Result<Vec<String>, StoreError> {
    Ok(attempts::table
        .filter(attempts::merchant_id.eq(&walk.merchant))
        .filter(attempts::attempt_id.gt(from))
        .filter(attempts::attempt_id.lt(AttemptId::first_at(age.before).to_string()))
        .order((attempts::attempt_id, attempts::bulk_row))
        .limit(ROWS)
        .select(attempts::attempt_id)
        .load(connection)?)
}

#[derive(QueryableByName)]
struct StatusKey {
    #[diesel(sql_type = Text)]
    order_id: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    status_updated_at: String,
}

/// An order's id holds no control characters: a line feed keeps the parts of a place apart.
fn statuses_behind(
    connection: &mut AnyConnection,
    walk: &Walk,
    from: &str,
) -> Result<Vec<String>, StoreError> {
    const POSTGRES: &str = "SELECT order_id, status, status_updated_at FROM order_statuses \
        WHERE merchant_id = $1 AND mode = $2 AND (order_id, status, status_updated_at) > ($3, $4, $5) \
        ORDER BY order_id, status, status_updated_at LIMIT $6";
    const SQLITE: &str = "SELECT order_id, status, status_updated_at FROM order_statuses \
        WHERE merchant_id = ?1 AND mode = ?2 AND (order_id, status, status_updated_at) > (?3, ?4, ?5) \
        ORDER BY order_id, status, status_updated_at LIMIT ?6";
    let [order, status, updated_at] = status_key(from);
    let text = if matches!(connection, AnyConnection::Postgres(_)) { POSTGRES } else { SQLITE };
    let query = sql_query(text)
        .bind::<Text, _>(&walk.merchant)
        .bind::<Text, _>(walk.mode)
        .bind::<Text, _>(order)
        .bind::<Text, _>(status)
        .bind::<Text, _>(updated_at)
        .bind::<BigInt, _>(ROWS);
    let keys: Vec<StatusKey> = match connection {
        AnyConnection::Postgres(c) => query.load(c)?,
        AnyConnection::Sqlite(c) => query.load(c)?,
    };
    let place = |key: StatusKey| format!("{}\n{}\n{}", key.order_id, key.status, key.status_updated_at);
    Ok(keys.into_iter().map(place).collect())
}

/// The key that a place stands for: order, status, instant.
pub fn status_key(place: &str) -> [&str; 3] {
    let mut parts = place.splitn(3, '\n');
    [(); 3].map(|()| parts.next().unwrap_or_default())
}
