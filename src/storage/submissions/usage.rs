//! What a batch adds to the usage of merchants that have a quota. Others pay nothing for it.

use std::collections::BTreeMap;

use super::WriteContext;
use crate::domain::ids::MerchantId;
use crate::domain::quota::Usage;
use crate::domain::submission::{Submission, SubmissionOutcome};
use crate::storage::{AnyConnection, StoreError, usage};

/// Counts what is not refused: repeats take a line of the journal each, so they count, too.
pub fn write(
    connection: &mut AnyConnection,
    batch: &[Submission],
    outcomes: &[SubmissionOutcome],
    context: &WriteContext,
) -> Result<(), StoreError> {
    let day = context.received_at.date_naive();
    let mut used: BTreeMap<MerchantId, Usage> = BTreeMap::new();
    for (submission, outcome) in batch.iter().zip(outcomes) {
        if submission.metered && !matches!(outcome, SubmissionOutcome::Refused(_)) {
            let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
            let usage = used.entry(submission.merchant).or_insert_with(|| Usage::none(day));
            usage.add(number(submission.len()), number(submission.attempt.body_bytes));
        }
    }
    usage::add(connection, used.into_iter())
}
