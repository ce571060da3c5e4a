//! What merchants that have a quota wrote, by day.

use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::prelude::*;
use diesel::upsert::excluded;

use super::schema::merchant_usage;
use super::{AnyConnection, StoreError};
use crate::domain::ids::MerchantId;
use crate::domain::quota::Usage;

/// Adds to what merchants wrote, each of them once and in their sort order: instances wait for each
/// other's rows.
pub fn add(
    connection: &mut AnyConnection,
    used: impl Iterator<Item = (MerchantId, Usage)>,
) -> Result<(), StoreError> {
    for (merchant, usage) in used {
        let row = (
            merchant_usage::merchant_id.eq(merchant.to_string()),
            merchant_usage::day.eq(usage.day),
            merchant_usage::rows.eq(column(usage.rows)),
            merchant_usage::bytes.eq(column(usage.bytes)),
        );
        let sum = (
            merchant_usage::rows.eq(merchant_usage::rows + excluded(merchant_usage::rows)),
            merchant_usage::bytes.eq(merchant_usage::bytes + excluded(merchant_usage::bytes)),
        );
        let key = (merchant_usage::merchant_id, merchant_usage::day);
        // Each with the types of its own database.
        match connection {
            AnyConnection::Postgres(c) => diesel::insert_into(merchant_usage::table)
                .values(row)
                .on_conflict(key)
                .do_update()
                .set(sum)
                .execute(c)?,
            AnyConnection::Sqlite(c) => diesel::insert_into(merchant_usage::table)
                .values(row)
                .on_conflict(key)
                .do_update()
                .set(sum)
                .execute(c)?,
        };
    }
    Ok(())
}

/// What merchants wrote on this day.
pub fn of_day(
    connection: &mut AnyConnection,
    day: NaiveDate,
) -> Result<HashMap<MerchantId, Usage>, StoreError> {
    let rows: Vec<(String, i64, i64)> = merchant_usage::table
        .filter(merchant_usage::day.eq(day))
        .select((merchant_usage::merchant_id, merchant_usage::rows, merchant_usage::bytes))
        .load(connection)?;
    let number = |column: i64| u64::try_from(column).unwrap_or(0);
    let usage = |(id, rows, bytes): (String, i64, i64)| {
        let merchant = id.parse().map_err(|_| StoreError::Unusable(format!("{id} is no merchant")))?;
        Ok((merchant, Usage { day, rows: number(rows), bytes: number(bytes) }))
    };
    rows.into_iter().map(usage).collect()
}

/// Forgets the days before this one; how many rows that were.
pub fn forget_before(connection: &mut AnyConnection, day: NaiveDate) -> Result<usize, StoreError> {
    Ok(diesel::delete(merchant_usage::table.filter(merchant_usage::day.lt(day))).execute(connection)?)
}

fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
