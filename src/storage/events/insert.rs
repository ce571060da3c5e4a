//! Inserting new events, and counting up those that are there.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamp};

use super::row::NewRow;
use crate::storage::batch_insert::batch_insert;
use crate::storage::error::Failure;
use crate::storage::exports::ID_AGE_MAX;
use crate::storage::time_column::TimeColumn;
use crate::storage::{AnyConnection, StoreError};

/// What was inserted or found.
pub struct Inserted {
    /// The ids that the rows have now: a row was inserted exactly when its proposed id is among them.
    pub ids: HashSet<String>,
    /// The clock, read inside the transaction.
    clock: Option<NaiveDateTime>,
}

/// Inserts, or counts up what is there.
///
/// `DO UPDATE`, not `DO NOTHING`: it tells the original's id, and a duplicate's own commit then
/// waits for the original's, synchronous standby included.
///
/// The clock is read while the transaction holds what exports wait for (`exports`): on SQLite, the
/// machine's after the write lock was taken (`begun_at`); on PostgreSQL, its own during the INSERT, which
/// has locked the table.
pub fn insert(
    connection: &mut AnyConnection,
    rows: &[NewRow<'_>],
    begun_at: DateTime<Utc>,
) -> Result<Inserted, StoreError> {
    match connection {
        AnyConnection::Postgres(c) => {
            let found: Vec<(String, NaiveDateTime)> = Timed(InsertBatch::new(rows)).load(c)?;
            let clock = found.first().map(|(_, clock)| *clock);
            Ok(Inserted { ids: found.into_iter().map(|(id, _)| id).collect(), clock })
        }
        AnyConnection::Sqlite(c) => {
            let ids: QueryResult<HashSet<String>> = rows.iter().map(|row| insert_one(c, row)).collect();
            Ok(Inserted { ids: ids?, clock: Some(begun_at.naive_utc()) })
        }
    }
}

/// The id that the row has now. Nearly every row is new.
fn insert_one(connection: &mut SqliteConnection, row: &NewRow<'_>) -> QueryResult<String> {
    if InsertOne::<true>(row).execute(connection)? == 1 {
        return Ok(row.event_id.clone());
    }
    InsertOne::<false>(row).get_result(connection)
}

impl Inserted {
    /// Refuses the transaction if the oldest of the ids proposed is older than what exports count on.
    pub fn check_age(&self, oldest: NaiveDateTime) -> Result<(), StoreError> {
        let Some(clock) = self.clock else { return Ok(()) };
        let age = clock - oldest;
        if age <= ID_AGE_MAX {
            return Ok(());
        }
        let why = format!("an event's id is {} s old: exports may have passed it", age.num_seconds());
        Err(StoreError::Failed(Failure::Late, why))
    }
}

/// The insert, and the database's clock beside each id that it returns.
struct Timed<'a>(InsertBatch<'a>);

impl QueryFragment<Pg> for Timed<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // It ends with what it returns. A query of its own is run once for all rows.
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(", (SELECT clock_timestamp() AT TIME ZONE 'UTC')");
        Ok(())
    }
}

impl QueryId for Timed<'_> {
    type QueryId = Timed<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Timed<'_> {
    type SqlType = (Text, Timestamp);
}

impl RunQueryDsl<PgConnection> for Timed<'_> {}

/// A row that has the proposed id already is this batch's own, whose commit succeeded unseen: it is
/// no further delivery.
const ON_CONFLICT: &str = "ON CONFLICT (merchant_id, mode, order_id, event_name, own_id) \
     DO UPDATE SET times_received = events.times_received \
     + CASE WHEN events.event_id = excluded.event_id THEN 0 ELSE 1 END \
     RETURNING event_id";

batch_insert! {
    NewRow into "events" returning Text {
        merchant_id: &'a str => Text, "::text[]", |row| row.merchant_id.as_str();
        mode: &'a str => Text, "::text[]", |row| row.mode;
        event_id: &'a str => Text, "::text[]", |row| row.event_id.as_str();
        event_name: &'a str => Text, "::text[]", |row| row.event_name;
        order_id: &'a str => Text, "::text[]", |row| row.order_id;
        own_id: &'a str => Text, "::text[]", |row| row.own_id;
        external_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.external_id;
        occurred_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.occurred_at;
        occurred_given: bool => Bool, "::bool[]", |row| row.occurred_given;
        received_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.received_at;
        value_minor: Option<i64> => Nullable<BigInt>, "::bigint[]", |row| row.value_minor;
        currency: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.currency;
        attribution: &'a str => Text, "::text[]", |row| row.attribution;
        attribution_reason: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.attribution_reason;
        click_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.click_id.as_deref();
        url_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.url_id.as_deref();
        domain_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.domain_id.as_deref();
        clicked_at: Option<TimeColumn> => Nullable<Timestamp>, "::timestamp[]", |row| row.clicked_at;
        product_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.product_id;
        coupon_code: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.coupon_code;
        metadata: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.metadata;
        body: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.body;
        key_id: &'a str => Text, "::text[]", |row| row.key_id;
        signature_form: &'a str => Text, "::text[]", |row| row.signature_form;
        idempotency_key: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.idempotency_key;
        times_received: i64 => BigInt, "::bigint[]", |row| row.times_received;
        times_differed: i64 => BigInt, "::bigint[]", |row| row.times_differed;
        attempt_id: &'a str => Text, "::text[]", |row| row.attempt_id.as_str();
    }
    ON_CONFLICT
}
