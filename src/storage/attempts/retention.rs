//! Forgetting: the journal is bounded in age, and in what strangers can add to it.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Text};

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

/// How many refused attempts there are.
pub fn count_refused(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    // Spelled out: with a parameter in its place the whole table would be gone through.
    let refused = attempts::table.filter(sql::<Bool>("outcome = 'refused'"));
    Ok(refused.count().get_result(connection)?)
}

/// Deletes the oldest refused attempts; how many it were.
pub fn delete_oldest_refused(connection: &mut AnyConnection, limit: i64) -> Result<usize, StoreError> {
    const POSTGRES: &str = "DELETE FROM attempts WHERE (merchant_id, attempt_id, bulk_row) IN (\
        SELECT merchant_id, attempt_id, bulk_row FROM attempts WHERE outcome = 'refused' \
        ORDER BY attempt_id LIMIT $1)";
    const SQLITE: &str = "DELETE FROM attempts WHERE (merchant_id, attempt_id, bulk_row) IN (\
        SELECT merchant_id, attempt_id, bulk_row FROM attempts WHERE outcome = 'refused' \
        ORDER BY attempt_id LIMIT ?1)";
    let deleted = match connection {
        AnyConnection::Postgres(c) => sql_query(POSTGRES).bind::<BigInt, _>(limit).execute(c)?,
        AnyConnection::Sqlite(c) => sql_query(SQLITE).bind::<BigInt, _>(limit).execute(c)?,
    };
    Ok(deleted)
}
