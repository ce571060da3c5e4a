//! How far a walk has come.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Text, Timestamp};

use super::Walk;
use crate::storage::schema::retention_progress;
use crate::storage::{AnyConnection, StoreError};

/// The place and when the walk to it began; `None` = it has not begun.
pub fn find(
    connection: &mut AnyConnection,
    walk: &Walk,
) -> Result<Option<(String, NaiveDateTime)>, StoreError> {
    let id = (walk.merchant.as_str(), walk.mode, walk.subject.as_str());
    let columns = (retention_progress::place, retention_progress::begun_at);
    Ok(retention_progress::table.find(id).select(columns).first(connection).optional()?)
}

/// Moves it on, unless another instance has done so: then that stands.
pub fn save(
    connection: &mut AnyConnection,
    walk: &Walk,
    (from, to): (&str, &str),
    begun_at: NaiveDateTime,
) -> Result<(), StoreError> {
    const POSTGRES: &str = "INSERT INTO retention_progress (merchant_id, mode, subject, place, begun_at) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (merchant_id, mode, subject) \
        DO UPDATE SET place = excluded.place, begun_at = excluded.begun_at \
        WHERE retention_progress.place = $6";
    const SQLITE: &str = "INSERT INTO retention_progress (merchant_id, mode, subject, place, begun_at) \
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (merchant_id, mode, subject) \
        DO UPDATE SET place = excluded.place, begun_at = excluded.begun_at \
        WHERE retention_progress.place = ?6";
    let text = if matches!(connection, AnyConnection::Postgres(_)) { POSTGRES } else { SQLITE };
    let query = sql_query(text)
        .bind::<Text, _>(&walk.merchant)
        .bind::<Text, _>(walk.mode)
        .bind::<Text, _>(walk.subject.as_str())
        .bind::<Text, _>(to)
        .bind::<Timestamp, _>(begun_at)
        .bind::<Text, _>(from);
    match connection {
        AnyConnection::Postgres(c) => query.execute(c)?,
        AnyConnection::Sqlite(c) => query.execute(c)?,
    };
    Ok(())
}
