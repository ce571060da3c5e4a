//! What comes next: reads alone, so that nobody is held up.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Text, Timestamp};

use super::{Age, LOOKED_AT, PASS_EVERY, ROWS, Stretch, Subject, Walk, progress};
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
            let (places, is_last) = statuses_behind(connection, walk, &from, age)?;
            if places.is_empty() && from.is_empty() {
                return Ok(None);
            }
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
    #[diesel(sql_type = Bool)]
    is_old: bool,
}

/// They, up to and with so many that have something to forget; and whether these are the last.
///
/// An order's id holds no control characters: a line feed keeps the parts of a place apart.
fn statuses_behind(
    connection: &mut AnyConnection,
    walk: &Walk,
    from: &str,
    age: &Age,
) -> Result<(Vec<String>, bool), StoreError> {
    const POSTGRES: &str = "SELECT order_id, status, status_updated_at, \
        received_at < $7 AND body IS NOT NULL AS is_old FROM order_statuses \
        WHERE merchant_id = $1 AND mode = $2 AND (order_id, status, status_updated_at) > ($3, $4, $5) \
        ORDER BY order_id, status, status_updated_at LIMIT $6";
    const SQLITE: &str = "SELECT order_id, status, status_updated_at, \
        received_at < ?7 AND body IS NOT NULL AS is_old FROM order_statuses \
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
        .bind::<BigInt, _>(LOOKED_AT)
        .bind::<Timestamp, _>(age.before.naive_utc());
    let keys: Vec<StatusKey> = match connection {
        AnyConnection::Postgres(c) => query.load(c)?,
        AnyConnection::Sqlite(c) => query.load(c)?,
    };
    let (mut places, mut old) = (Vec::with_capacity(keys.len()), 0);
    let is_last = i64::try_from(keys.len()).is_ok_and(|count| count < LOOKED_AT);
    for key in keys {
        places.push(format!("{}\n{}\n{}", key.order_id, key.status, key.status_updated_at));
        old += i64::from(key.is_old);
        if old == ROWS {
            // What follows is met from there.
            return Ok((places, false));
        }
    }
    Ok((places, is_last))
}

/// The key that a place stands for: order, status, instant.
pub fn status_key(place: &str) -> [&str; 3] {
    let mut parts = place.splitn(3, '\n');
    [(); 3].map(|()| parts.next().unwrap_or_default())
}
