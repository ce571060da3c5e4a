//! Forgetting: the journal is bounded in age, and in what strangers can add to it.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer, Text};

use crate::domain::ids::AttemptId;
use crate::storage::schema::{attempts, merchants};
use crate::storage::{AnyConnection, StoreError};

/// The ids of all merchants.
pub fn merchants(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    Ok(merchants::table.select(merchants::merchant_id).load(connection)?)
}

/// Deletes up to `limit` of a merchant's attempts that began before; how many it were.
pub fn delete_before(
    connection: &mut AnyConnection,
    merchant_id: &str,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<usize, StoreError> {
    const POSTGRES: &str = "DELETE FROM attempts WHERE merchant_id = $1 AND (attempt_id, bulk_row) IN (\
        SELECT attempt_id, bulk_row FROM attempts WHERE merchant_id = $1 AND attempt_id < $2 \
        ORDER BY attempt_id LIMIT $3)";
    const SQLITE: &str = "DELETE FROM attempts WHERE merchant_id = ?1 AND (attempt_id, bulk_row) IN (\
        SELECT attempt_id, bulk_row FROM attempts WHERE merchant_id = ?1 AND attempt_id < ?2 \
        ORDER BY attempt_id LIMIT ?3)";
    let before = AttemptId::first_at(before).to_string();
    let deleted = match connection {
        AnyConnection::Postgres(c) => sql_query(POSTGRES)
            .bind::<Text, _>(merchant_id)
            .bind::<Text, _>(before)
            .bind::<BigInt, _>(limit)
            .execute(c)?,
        AnyConnection::Sqlite(c) => sql_query(SQLITE)
            .bind::<Text, _>(merchant_id)
            .bind::<Text, _>(before)
            .bind::<BigInt, _>(limit)
            .execute(c)?,
    };
    Ok(deleted)
}

/// Refused attempts that are kept up to a number of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusals {
    /// Those that nobody signed: strangers make as many as they like.
    Forged,
    /// Those that this merchant signed; `''` stands for the operator.
    Of(String),
}

/// The place of a line among its owner's.
pub type Place = (String, i32);

/// The newest of them beyond the newest `kept`; `None` = there are not so many.
pub fn newest_beyond(
    connection: &mut AnyConnection,
    which: &Refusals,
    kept: i64,
) -> Result<Option<Place>, StoreError> {
    // Spelled out: with a parameter in its place the partial indexes would not serve.
    let refusals = match which {
        Refusals::Forged => attempts::table
            .filter(sql::<Bool>("outcome = 'refused' AND NOT authenticated"))
            .into_boxed::<<AnyConnection as diesel::Connection>::Backend>(),
        Refusals::Of(merchant) => attempts::table
            .filter(attempts::merchant_id.eq(merchant))
            .filter(sql::<Bool>("outcome = 'refused' AND authenticated"))
            .into_boxed(),
    };
    let newest = refusals.order((attempts::attempt_id.desc(), attempts::bulk_row.desc()));
    let place = newest.select((attempts::attempt_id, attempts::bulk_row)).offset(kept).limit(1);
    Ok(place.first(connection).optional()?)
}

/// Deletes the oldest of them up to a place, at most so many; how many it were.
pub fn delete_refused(
    connection: &mut AnyConnection,
    which: &Refusals,
    (attempt, row): &Place,
    limit: i64,
) -> Result<usize, StoreError> {
    const DELETE: &str = "DELETE FROM attempts WHERE (merchant_id, attempt_id, bulk_row) IN (\
        SELECT merchant_id, attempt_id, bulk_row FROM attempts WHERE outcome = 'refused'";
    let (of, merchant) = match which {
        Refusals::Forged => ("NOT authenticated AND '' =", ""),
        Refusals::Of(merchant) => ("authenticated AND merchant_id =", merchant.as_str()),
    };
    let deleted = match connection {
        AnyConnection::Postgres(c) => sql_query(format!(
            "{DELETE} AND {of} $1 AND (attempt_id, bulk_row) <= ($2, $3) ORDER BY attempt_id LIMIT $4)"
        ))
        .bind::<Text, _>(merchant)
        .bind::<Text, _>(attempt)
        .bind::<Integer, _>(row)
        .bind::<BigInt, _>(limit)
        .execute(c)?,
        AnyConnection::Sqlite(c) => sql_query(format!(
            "{DELETE} AND {of} ?1 AND (attempt_id, bulk_row) <= (?2, ?3) ORDER BY attempt_id LIMIT ?4)"
        ))
        .bind::<Text, _>(merchant)
        .bind::<Text, _>(attempt)
        .bind::<Integer, _>(row)
        .bind::<BigInt, _>(limit)
        .execute(c)?,
    };
    Ok(deleted)
}
