//! Inserting on SQLite: one statement of constant text, prepared once per connection and run once
//! per row inside the batch's transaction.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamp};
use diesel::sqlite::Sqlite;

use super::columns::with_event_columns;
use super::row::NewRow;

/// Inserts, or counts up what is there. Returns the ids that the rows have now: a row was inserted
/// exactly when its proposed id is among them.
pub fn insert(connection: &mut SqliteConnection, rows: &[NewRow<'_>]) -> QueryResult<HashSet<String>> {
    rows.iter().map(|row| InsertEvent(row).get_result(connection)).collect()
}

struct InsertEvent<'a>(&'a NewRow<'a>);

/// A row that has the proposed id already is this batch's own, whose commit succeeded unseen: it is
/// no further delivery. A comparison is 0 or 1.
const ON_CONFLICT: &str = ") ON CONFLICT (merchant_id, mode, order_id, event_name, own_id) \
     DO UPDATE SET times_received = events.times_received + (events.event_id <> excluded.event_id) \
     RETURNING event_id";

macro_rules! insert_event {
    ($($column:ident: $rust:ty => $sql:ty, $cast:literal, $read:expr;)*) => {
        impl QueryFragment<Sqlite> for InsertEvent<'_> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                out.push_sql("INSERT INTO events (");
                let mut separator = "";
                $(
                    out.push_sql(separator);
                    out.push_sql(stringify!($column));
                    separator = ", ";
                )*
                out.push_sql(") VALUES (");
                separator = "";
                $(
                    out.push_sql(separator);
                    out.push_bind_param::<$sql, _>(&self.0.$column)?;
                    separator = ", ";
                )*
                let _ = separator;
                out.push_sql(ON_CONFLICT);
                Ok(())
            }
        }
    };
}

with_event_columns!(insert_event);

impl QueryId for InsertEvent<'_> {
    type QueryId = InsertEvent<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for InsertEvent<'_> {
    type SqlType = Text;
}

impl RunQueryDsl<SqliteConnection> for InsertEvent<'_> {}
