//! What merchants report of their orders' states: the orders' timeline (contract 6.3).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamp};

use super::batch_insert::batch_insert;
use super::time_column::TimeColumn;
use super::{AnyConnection, StoreError};
use crate::domain::ids::{AttemptId, EventId, MerchantId};
use crate::domain::instant;
use crate::domain::merchant::Mode;
use crate::domain::submission::StatusRecording;

/// What makes two reports the same, in the store's sort order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusIdentity<'a> {
    pub merchant_id: MerchantId,
    pub mode: Mode,
    pub order: &'a str,
    pub status: &'static str,
    /// In one form for one instant; empty = not given.
    pub updated_at: String,
}

impl<'a> StatusIdentity<'a> {
    /// A report's identity.
    pub fn of(merchant_id: MerchantId, mode: Mode, recording: &'a StatusRecording) -> Self {
        let report = &recording.report;
        let updated_at = report.updated_at.map(instant::format).unwrap_or_default();
        Self { merchant_id, mode, order: report.order.as_str(), status: report.status.as_str(), updated_at }
    }
}

/// A report as columns.
pub struct StatusRow<'a> {
    pub merchant_id: String,
    pub mode: &'static str,
    pub order_id: &'a str,
    pub status: &'static str,
    pub status_updated_at: String,
    pub attempt_id: String,
    pub event_id: Option<String>,
    pub received_at: TimeColumn,
    pub reason: Option<&'a str>,
    pub metadata: Option<&'a str>,
    pub body: &'a str,
    pub key_id: &'a str,
    pub signature_form: &'static str,
    pub times_received: i64,
}

impl<'a> StatusRow<'a> {
    /// The columns of a report that came now, so many times in one batch. `event` is the one that the
    /// status is.
    pub fn new(
        identity: &StatusIdentity<'a>,
        recording: &'a StatusRecording,
        attempt: AttemptId,
        event: Option<EventId>,
        (received_at, times_received): (DateTime<Utc>, i64),
    ) -> Self {
        Self {
            merchant_id: identity.merchant_id.to_string(),
            mode: identity.mode.as_str(),
            order_id: identity.order,
            status: identity.status,
            status_updated_at: identity.updated_at.clone(),
            attempt_id: attempt.to_string(),
            event_id: event.map(|event| event.to_string()),
            received_at: TimeColumn::of(received_at),
            reason: recording.report.reason.as_deref(),
            metadata: recording.report.metadata.as_deref(),
            body: &recording.body,
            key_id: recording.key_id.as_str(),
            signature_form: recording.form.as_str(),
            times_received,
        }
    }
}

const ON_CONFLICT: &str = "ON CONFLICT (merchant_id, mode, order_id, status, status_updated_at) DO UPDATE SET \
    times_received = order_statuses.times_received \
    + CASE WHEN order_statuses.attempt_id = excluded.attempt_id THEN 0 ELSE excluded.times_received END \
    RETURNING merchant_id, mode, order_id, status, status_updated_at, attempt_id";

batch_insert! {
    StatusRow into "order_statuses" returning (Text, Text, Text, Text, Text, Text) {
        merchant_id: &'a str => Text, "::text[]", |row| row.merchant_id.as_str();
        mode: &'a str => Text, "::text[]", |row| row.mode;
        order_id: &'a str => Text, "::text[]", |row| row.order_id;
        status: &'a str => Text, "::text[]", |row| row.status;
        status_updated_at: &'a str => Text, "::text[]", |row| row.status_updated_at.as_str();
        attempt_id: &'a str => Text, "::text[]", |row| row.attempt_id.as_str();
        event_id: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.event_id.as_deref();
        received_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.received_at;
        reason: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.reason;
        metadata: Option<&'a str> => Nullable<Text>, "::text[]", |row| row.metadata;
        body: &'a str => Text, "::text[]", |row| row.body;
        key_id: &'a str => Text, "::text[]", |row| row.key_id;
        signature_form: &'a str => Text, "::text[]", |row| row.signature_form;
        times_received: i64 => BigInt, "::bigint[]", |row| row.times_received;
    }
    ON_CONFLICT
}

type Returned = (String, String, String, String, String, String);

/// Records reports, each at most once and in their sort order. Says of each whether it is new.
pub fn record(connection: &mut AnyConnection, rows: &[StatusRow<'_>]) -> Result<Vec<bool>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let returned: Vec<Returned> = match connection {
        AnyConnection::Postgres(c) => InsertBatch::new(rows).load(c)?,
        AnyConnection::Sqlite(c) => {
            rows.iter().map(|row| InsertOne::<false>(row).get_result(c)).collect::<QueryResult<_>>()?
        }
    };
    let brought_by: HashMap<_, _> = returned
        .into_iter()
        .map(|(merchant, mode, order, status, updated_at, attempt)| {
            ((merchant, mode, order, status, updated_at), attempt)
        })
        .collect();
    let is_new = |row: &StatusRow<'_>| {
        let identity = (
            row.merchant_id.clone(),
            row.mode.to_owned(),
            row.order_id.to_owned(),
            row.status.to_owned(),
            row.status_updated_at.clone(),
        );
        brought_by.get(&identity) == Some(&row.attempt_id)
    };
    Ok(rows.iter().map(is_new).collect())
}
