//! The commit path's transaction: a batch of submissions with everything that belongs to them.
//!
//! The steps stand in one order for every batch and each goes by sorted keys, so that instances wait
//! for each other and never deadlock: idempotency keys are claimed, with the answer that is probably
//! going to be theirs; delivery ids are taken; events go in; statuses go in; clicks go in; answers that came out
//! otherwise are corrected; the journal is written; what is used of quotas is counted. Nothing of it is true before COMMIT.

mod claims;
mod effects;
mod journal;
mod outcome;
mod settle;
mod units;
mod usage;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{AnyConnection, StoreError};
use crate::domain::submission::{Submission, SubmissionOutcome};
use crate::domain::time::cut_to_micros;

/// The circumstances of a batch.
#[derive(Debug, Clone, Copy)]
pub struct WriteContext {
    /// When the batch's first transaction is opened.
    pub received_at: DateTime<Utc>,
    /// The clock when the transaction had begun; the store sets it.
    pub begun_at: DateTime<Utc>,
    /// When the batch was opened, on the monotonic clock.
    pub monotonic: Duration,
    /// How long an answer is kept under its idempotency key.
    pub key_ttl: TimeDelta,
}

/// Writes a batch inside the caller's transaction; outcomes stand in the batch's order.
pub fn write(
    connection: &mut AnyConnection,
    batch: &[Submission],
    context: &WriteContext,
) -> Result<Vec<SubmissionOutcome>, StoreError> {
    let context = &WriteContext { received_at: cut_to_micros(context.received_at), ..*context };
    let mut units = units::of(batch);
    claims::claim(connection, batch, &mut units, context)?;
    effects::record(connection, batch, &mut units, context)?;
    settle::settle(connection, batch, &mut units)?;
    let outcomes = outcome::of(batch, units)?;
    journal::write(connection, batch, &outcomes, context)?;
    // Last: an instance that waits for another one's row there waits for nothing but its COMMIT.
    usage::write(connection, batch, &outcomes, context)?;
    Ok(outcomes)
}
