//! Inserting on PostgreSQL: the whole batch in one statement of constant text, so that its plan is
//! prepared once per connection.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamp};

use super::columns::with_event_columns;
use super::row::NewRow;

/// As [`super::insert_sqlite::insert`]. `DO UPDATE`, not `DO NOTHING`: it tells the original's id,
/// and a duplicate's own commit then waits for the original's, synchronous standby included. A row
/// that has the proposed id already is this batch's own, whose commit succeeded unseen.
pub fn insert(connection: &mut PgConnection, rows: &[NewRow<'_>]) -> QueryResult<HashSet<String>> {
    let ids: Vec<String> = InsertEvents::new(rows).load(connection)?;
    Ok(ids.into_iter().collect())
}

/// Expands to the statement's struct, its constructor and its text.
macro_rules! insert_events {
    ($($column:ident: $rust:ty => $sql:ty, $cast:literal, $read:expr;)*) => {
        struct InsertEvents<'a> {
            $($column: Vec<$rust>,)*
        }

        impl<'a> InsertEvents<'a> {
            fn new(rows: &'a [NewRow<'a>]) -> Self {
                Self { $($column: rows.iter().map($read).collect(),)* }
            }
        }

        impl QueryFragment<Pg> for InsertEvents<'_> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                out.push_sql("INSERT INTO events (");
                let mut separator = "";
                $(
                    out.push_sql(separator);
                    out.push_sql(stringify!($column));
                    separator = ", ";
                )*
                out.push_sql(") SELECT * FROM unnest(");
                separator = "";
                $(
                    out.push_sql(separator);
                    out.push_bind_param::<Array<$sql>, _>(&self.$column)?;
                    out.push_sql($cast);
                    separator = ", ";
                )*
                let _ = separator;
                out.push_sql(
                    ") ON CONFLICT (merchant_id, mode, order_id, event_name, own_id) \
                     DO UPDATE SET times_received = events.times_received \
                     + CASE WHEN events.event_id = excluded.event_id THEN 0 ELSE 1 END \
                     RETURNING event_id",
                );
                Ok(())
            }
        }
    };
}

with_event_columns!(insert_events);

impl QueryId for InsertEvents<'_> {
    type QueryId = InsertEvents<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for InsertEvents<'_> {
    type SqlType = Text;
}

impl RunQueryDsl<PgConnection> for InsertEvents<'_> {}
