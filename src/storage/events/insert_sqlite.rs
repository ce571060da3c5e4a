//! Inserting on SQLite: one prepared statement, run once per row inside the batch's transaction.

use std::collections::HashSet;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::row::NewRow;
use crate::storage::schema::events;

/// A row that has the proposed id already is this batch's own, whose commit succeeded unseen: it is
/// no further delivery. A comparison is 0 or 1.
const COUNT_UP: &str = "events.times_received + (events.event_id <> excluded.event_id)";

/// Inserts, or counts up what is there. Returns the ids that the rows have now: a row was inserted
/// exactly when its proposed id is among them.
pub fn insert(connection: &mut SqliteConnection, rows: &[NewRow<'_>]) -> QueryResult<HashSet<String>> {
    let mut ids = HashSet::with_capacity(rows.len());
    for row in rows {
        let id: String = diesel::insert_into(events::table)
            .values(row)
            .on_conflict((
                events::merchant_id,
                events::mode,
                events::order_id,
                events::event_name,
                events::own_id,
            ))
            .do_update()
            .set(events::times_received.eq(sql::<BigInt>(COUNT_UP)))
            .returning(events::event_id)
            .get_result(connection)?;
        ids.insert(id);
    }
    Ok(ids)
}
