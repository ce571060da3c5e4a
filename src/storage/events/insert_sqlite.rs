//! Inserting on SQLite: one prepared statement, run once per row inside the batch's transaction.

use std::collections::HashSet;

use diesel::prelude::*;

use super::row::NewRow;
use crate::storage::schema::events;

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
            .set(events::times_received.eq(events::times_received + 1))
            .returning(events::event_id)
            .get_result(connection)?;
        ids.insert(id);
    }
    Ok(ids)
}
