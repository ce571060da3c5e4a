//! Inserting on PostgreSQL: the whole batch in one statement of constant text, so that its plan is
//! prepared once per connection.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamp};

use super::row::NewRow;

/// As [`super::insert_sqlite::insert`]. `DO UPDATE`, not `DO NOTHING`: it tells the original's id,
/// and a duplicate's own commit then waits for the original's, synchronous standby included. A row
/// that has the proposed id already is this batch's own, whose commit succeeded unseen.
pub fn insert(connection: &mut PgConnection, rows: &[NewRow<'_>]) -> QueryResult<HashSet<String>> {
    let ids: Vec<String> = InsertEvents::new(rows).load(connection)?;
    Ok(ids.into_iter().collect())
}

/// Expands to the statement's struct, its constructor and its text, from one list of columns.
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

insert_events! {
    merchant_id: &'a str => Text, "::text[]", |row| row.merchant_id.as_str();
    mode: &'a str => Text, "::text[]", |row| row.mode;
    event_id: &'a str => Text, "::text[]", |row| row.event_id.as_str();
    event_name: &'a str => Text, "::text[]", |row| row.event_name;
    order_id: &'a str => Text, "::text[]", |row| row.order_id;
    own_id: &'a str => Text, "::text[]", |row| row.own_id;
    external_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.external_id;
    occurred_at: NaiveDateTime => Timestamp, "::timestamp[]", |row| row.occurred_at;
    occurred_given: bool => Bool, "::bool[]", |row| row.occurred_given;
    received_at: NaiveDateTime => Timestamp, "::timestamp[]", |row| row.received_at;
    value_minor: Option<i64> => Nullable<BigInt>, "::bigint[]", |row| row.value_minor;
    currency: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.currency;
    attribution: &'a str => Text, "::text[]", |row| row.attribution;
    attribution_reason: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.attribution_reason;
    click_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.click_id.as_deref();
    url_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.url_id.as_deref();
    domain_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.domain_id.as_deref();
    clicked_at: Option<NaiveDateTime> => Nullable<Timestamp>, "::timestamp[]", |row| row.clicked_at;
    product_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.product_id;
    coupon_code: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.coupon_code;
    metadata: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.metadata;
    body: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.body;
    key_id: &'a str => Text, "::text[]", |row| row.key_id;
    signature_form: &'a str => Text, "::text[]", |row| row.signature_form;
    idempotency_key: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.idempotency_key;
    times_received: i64 => BigInt, "::bigint[]", |row| row.times_received;
    times_differed: i64 => BigInt, "::bigint[]", |row| row.times_differed;
}

impl QueryId for InsertEvents<'_> {
    type QueryId = InsertEvents<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for InsertEvents<'_> {
    type SqlType = Text;
}

impl RunQueryDsl<PgConnection> for InsertEvents<'_> {}
