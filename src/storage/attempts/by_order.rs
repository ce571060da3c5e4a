//! An order's refusals on SQLite. Without statistics it takes a merchant's whole range of the primary
//! key for no worse than the index that was made for them: here it is told which.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Text, Timestamp};
use diesel::sqlite::Sqlite;

use super::list::{Filter, Range, bulk_row};
use super::row::Row;

/// They, of these owners and by the rest of the filter, newest first for each owner.
pub fn refused_of_order(
    connection: &mut SqliteConnection,
    owners: &[String],
    order: &str,
    (filter, range): (&Filter, &Range),
) -> QueryResult<Vec<Row>> {
    let mut found = Vec::new();
    for owner in owners {
        let mut query = sql_query(
            "SELECT * FROM attempts INDEXED BY attempts_refused_by_order \
             WHERE in_time() AND outcome = 'refused' AND merchant_id = ",
        )
        .into_boxed::<Sqlite>();
        query = query.sql("?").bind::<Text, _>(owner).sql(" AND order_id = ?").bind::<Text, _>(order);
        if let Some(mode) = filter.mode {
            query = query.sql(" AND mode = ?").bind::<Text, _>(mode.as_str());
        }
        if let Some(reason) = &filter.reason {
            query = query.sql(" AND reason = ?").bind::<Text, _>(reason);
        }
        if let Some(authenticated) = filter.authenticated {
            query = query.sql(if authenticated { " AND authenticated" } else { " AND NOT authenticated" });
        }
        if let Some((from, first)) = filter.from() {
            query = query.sql(" AND started_at >= ?").bind::<Timestamp, _>(from);
            query = query.sql(" AND attempt_id >= ?").bind::<Text, _>(first);
        }
        if let Some((to, end)) = filter.to() {
            query = query.sql(" AND started_at < ?").bind::<Timestamp, _>(to);
            query = query.sql(" AND attempt_id < ?").bind::<Text, _>(end);
        }
        if let Some(before) = range.page.before {
            query = query.sql(" AND (attempt_id, bulk_row) < (?, ?)");
            query = query.bind::<Text, _>(before.attempt.to_string());
            query = query.bind::<Integer, _>(bulk_row(before.row));
        }
        if let Some(oldest) = range.oldest {
            query = query.sql(" AND attempt_id >= ?").bind::<Text, _>(oldest.to_string());
        }
        query = query.sql(" ORDER BY attempt_id DESC, bulk_row DESC LIMIT ?");
        found.extend(query.bind::<BigInt, _>(range.page.limit).load::<Row>(connection)?);
    }
    Ok(found)
}
