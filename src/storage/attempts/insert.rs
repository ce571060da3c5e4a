//! Writing to the journal.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamp};

use crate::domain::attempt::{Attempt, Ending};
use crate::domain::ids::{EventId, ExternalId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::batch_insert::batch_insert;
use crate::storage::time_column::TimeColumn;
use crate::storage::{AnyConnection, StoreError};

/// The request itself, where a row's number is expected.
pub const WHOLE_REQUEST: i32 = -1;

/// A line of the journal as columns.
pub struct AttemptRow<'a> {
    pub merchant_id: String,
    pub attempt_id: String,
    pub bulk_row: i32,
    pub mode: &'static str,
    pub started_at: TimeColumn,
    pub endpoint: &'static str,
    pub peer: Option<String>,
    pub key_id: Option<&'a str>,
    pub request_id: &'a str,
    pub body_sha256: Option<&'a str>,
    pub body_bytes: i64,
    pub outcome: &'static str,
    pub status: i32,
    pub reason: &'static str,
    pub error_pointer: Option<&'a str>,
    pub order_id: Option<&'a str>,
    pub event_id: Option<String>,
    pub elapsed_us: i64,
    pub authenticated: bool,
}

impl<'a> AttemptRow<'a> {
    /// The line of an attempt, or of a bulk row in it.
    pub fn new(
        attempt: &'a Attempt,
        bulk_row: i32,
        ending: &'a Ending,
        elapsed: std::time::Duration,
    ) -> Self {
        Self {
            merchant_id: attempt.merchant.as_ref().map(MerchantId::to_string).unwrap_or_default(),
            attempt_id: attempt.id.to_string(),
            bulk_row,
            mode: attempt.mode.map_or("", Mode::as_str),
            started_at: TimeColumn::of(attempt.started_at),
            endpoint: attempt.endpoint,
            peer: attempt.peer.map(|peer| peer.to_string()),
            key_id: attempt.key_id.as_deref(),
            request_id: &attempt.request_id,
            body_sha256: attempt.body_sha256.as_deref(),
            body_bytes: i64::try_from(attempt.body_bytes).unwrap_or(i64::MAX),
            outcome: ending.outcome.as_str(),
            status: ending.status.into(),
            reason: ending.reason,
            error_pointer: ending.error_pointer.as_deref(),
            order_id: ending.order.as_ref().map(ExternalId::as_str),
            event_id: ending.event.as_ref().map(EventId::to_string),
            elapsed_us: i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX),
            authenticated: attempt.authenticated,
        }
    }

    fn key(&self) -> (&str, &str, i32) {
        (&self.merchant_id, &self.attempt_id, self.bulk_row)
    }
}

/// What is committed with its effects is the truth: it replaces what was journaled of a caller that
/// was told "unknown", and a batch that is run again writes its lines again.
const ON_CONFLICT: &str = "ON CONFLICT (merchant_id, attempt_id, bulk_row) DO UPDATE SET \
    outcome = CASE WHEN excluded.outcome = 'refused' THEN attempts.outcome ELSE excluded.outcome END, \
    status = CASE WHEN excluded.outcome = 'refused' THEN attempts.status ELSE excluded.status END, \
    reason = CASE WHEN excluded.outcome = 'refused' THEN attempts.reason ELSE excluded.reason END, \
    order_id = CASE WHEN excluded.outcome = 'refused' THEN attempts.order_id ELSE excluded.order_id END, \
    event_id = CASE WHEN excluded.outcome = 'refused' THEN attempts.event_id ELSE excluded.event_id END, \
    authenticated = CASE WHEN excluded.outcome = 'refused' THEN attempts.authenticated ELSE excluded.authenticated END";

batch_insert! {
    AttemptRow into "attempts" returning Integer {
        merchant_id: &'a str => Text, "::text[]", |row| row.merchant_id.as_str();
        attempt_id: &'a str => Text, "::text[]", |row| row.attempt_id.as_str();
        bulk_row: i32 => Integer, "::integer[]", |row| row.bulk_row;
        mode: &'a str => Text, "::text[]", |row| row.mode;
        started_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.started_at;
        endpoint: &'a str => Text, "::text[]", |row| row.endpoint;
        peer: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.peer.as_deref();
        key_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.key_id;
        request_id: &'a str => Text, "::text[]", |row| row.request_id;
        body_sha256: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.body_sha256;
        body_bytes: i64 => BigInt, "::bigint[]", |row| row.body_bytes;
        outcome: &'a str => Text, "::text[]", |row| row.outcome;
        status: i32 => Integer, "::integer[]", |row| row.status;
        reason: &'a str => Text, "::text[]", |row| row.reason;
        error_pointer: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.error_pointer;
        order_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.order_id;
        event_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.event_id.as_deref();
        elapsed_us: i64 => BigInt, "::bigint[]", |row| row.elapsed_us;
        authenticated: bool => Bool, "::boolean[]", |row| row.authenticated;
    }
    ON_CONFLICT
}

/// Writes lines inside the caller's transaction. No two may be of the same request and row.
///
/// They go in by their key: the journal and the writer may have lines of the same requests, those
/// whose callers were told "unknown" or left, and must not wait for each other crosswise.
pub fn insert(connection: &mut AnyConnection, mut rows: Vec<AttemptRow<'_>>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_unstable_by(|a, b| a.key().cmp(&b.key()));
    match connection {
        AnyConnection::Postgres(c) => {
            InsertBatch::new(&rows).execute(c)?;
        }
        AnyConnection::Sqlite(c) => {
            for row in &rows {
                InsertOne::<false>(row).execute(c)?;
            }
        }
    }
    Ok(())
}
