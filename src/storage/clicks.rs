//! Clicks on short links (contract section 5). Nothing else depends on these rows: a token proves itself.

use diesel::prelude::*;
use diesel::sql_types::{Integer, Text, Timestamp};

use super::batch_insert::batch_insert;
use super::submissions::WriteContext;
use super::time_column::TimeColumn;
use super::{AnyConnection, StoreError};
use crate::domain::submission::{ClickRecording, Submission};

/// A click as columns.
pub struct ClickRow<'a> {
    pub merchant_id: String,
    pub click_id: String,
    pub domain_id: String,
    pub url_id: String,
    pub clicked_at: TimeColumn,
    pub recorded_at: TimeColumn,
    pub key_id: &'a str,
    pub attempt_id: String,
}

impl<'a> ClickRow<'a> {
    /// The columns of a click that a request tells of now.
    pub fn new(submission: &Submission, click: &'a ClickRecording, context: &WriteContext) -> Self {
        Self {
            merchant_id: submission.merchant.to_string(),
            click_id: click.click_id.to_string(),
            domain_id: click.domain_id.to_string(),
            url_id: click.url_id.to_string(),
            clicked_at: TimeColumn::of(click.clicked_at),
            recorded_at: TimeColumn::of(context.received_at),
            key_id: click.key_id.as_str(),
            attempt_id: submission.attempt.id.to_string(),
        }
    }

    fn key(&self) -> (&str, &str) {
        (&self.merchant_id, &self.click_id)
    }
}

/// Only a batch that is run again meets its own clicks: the row stays as it is. It is written all the
/// same, so that this commit waits for the one that may have brought it.
const ON_CONFLICT: &str =
    "ON CONFLICT (merchant_id, click_id) DO UPDATE SET recorded_at = clicks.recorded_at";

batch_insert! {
    ClickRow into "clicks" returning Integer {
        merchant_id: &'a str => Text, "::text[]", |row| row.merchant_id.as_str();
        click_id: &'a str => Text, "::text[]", |row| row.click_id.as_str();
        domain_id: &'a str => Text, "::text[]", |row| row.domain_id.as_str();
        url_id: &'a str => Text, "::text[]", |row| row.url_id.as_str();
        clicked_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.clicked_at;
        recorded_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.recorded_at;
        key_id: &'a str => Text, "::text[]", |row| row.key_id;
        attempt_id: &'a str => Text, "::text[]", |row| row.attempt_id.as_str();
    }
    ON_CONFLICT
}

/// Records clicks inside the caller's transaction, in their sort order.
pub fn record(connection: &mut AnyConnection, mut rows: Vec<ClickRow<'_>>) -> Result<(), StoreError> {
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
