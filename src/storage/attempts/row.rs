//! A line of the journal as it is read.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::domain::attempt::{Journaled, LinePlace};
use crate::storage::StoreError;
use crate::storage::schema::attempts;

/// A line as columns.
#[derive(Queryable, QueryableByName, Selectable)]
#[diesel(table_name = attempts)]
pub struct Row {
    merchant_id: String,
    attempt_id: String,
    bulk_row: i32,
    mode: String,
    started_at: NaiveDateTime,
    endpoint: String,
    peer: Option<String>,
    key_id: Option<String>,
    request_id: String,
    body_sha256: Option<String>,
    body_bytes: i64,
    outcome: String,
    status: i32,
    reason: String,
    error_pointer: Option<String>,
    order_id: Option<String>,
    event_id: Option<String>,
    elapsed_us: i64,
    authenticated: bool,
}

impl Row {
    /// The line that the columns tell of.
    ///
    /// # Errors
    /// When somebody changed the row by hand into what no line is.
    pub fn into_journaled(self) -> Result<Journaled, StoreError> {
        let id = self.attempt_id.clone();
        self.read()
            .ok_or_else(|| StoreError::Unusable(format!("attempt {id} in the database is not readable")))
    }

    fn read(self) -> Option<Journaled> {
        let attempt = self.attempt_id.parse().ok()?;
        Some(Journaled {
            // Below zero is the request itself.
            place: LinePlace { attempt, row: u32::try_from(self.bulk_row).ok() },
            merchant: given(&self.merchant_id).map(str::parse).transpose().ok()?,
            mode: given(&self.mode).map(str::parse).transpose().ok()?,
            started_at: self.started_at.and_utc(),
            endpoint: self.endpoint,
            peer: self.peer,
            key_id: self.key_id,
            request_id: self.request_id,
            body_sha256: self.body_sha256,
            body_bytes: self.body_bytes,
            outcome: self.outcome.parse().ok()?,
            status: u16::try_from(self.status).ok()?,
            reason: self.reason,
            error_pointer: self.error_pointer,
            order: self.order_id,
            event: self.event_id.map(|id| id.parse()).transpose().ok()?,
            elapsed_us: self.elapsed_us,
            authenticated: self.authenticated,
        })
    }
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
