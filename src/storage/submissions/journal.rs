//! The journal's lines of what this transaction commits. Whoever is refused is not among them: that
//! is journaled apart, where a flood of it can be dropped.

use super::WriteContext;
use crate::domain::attempt::{AttemptOutcome, Ending};
use crate::domain::event::Rejection;
use crate::domain::ids::{EventId, ExternalId};
use crate::domain::submission::{
    Content, ContentOutcome, Row, RowContent, RowOutcome, StoredAnswer, Submission, SubmissionOutcome,
};
use crate::storage::attempts::{self, AttemptRow, WHOLE_REQUEST};
use crate::storage::{AnyConnection, StoreError};

/// Writes them.
pub fn write(
    connection: &mut AnyConnection,
    batch: &[Submission],
    outcomes: &[SubmissionOutcome],
    context: &WriteContext,
) -> Result<(), StoreError> {
    let mut endings: Vec<(&Submission, i32, Ending)> = Vec::with_capacity(batch.len());
    for (submission, outcome) in batch.iter().zip(outcomes) {
        match outcome {
            SubmissionOutcome::Refused(_) => {}
            SubmissionOutcome::Done(ContentOutcome::One(outcome), _) if outcome.is_refused() => {}
            SubmissionOutcome::Replayed(answer) => {
                endings.push((submission, WHOLE_REQUEST, replayed(submission, answer)));
            }
            SubmissionOutcome::Done(outcome, _) => {
                endings.push((submission, WHOLE_REQUEST, done(submission, outcome)));
                endings.extend(refused_rows(submission, outcome));
            }
        }
    }
    let rows: Vec<AttemptRow<'_>> = endings
        .iter()
        .map(|(submission, bulk_row, ending)| {
            let elapsed = context.monotonic.saturating_sub(submission.attempt.started);
            AttemptRow::new(&submission.attempt, *bulk_row, ending, elapsed)
        })
        .collect();
    attempts::insert(connection, rows)
}

fn order_of(submission: &Submission) -> Option<ExternalId> {
    match submission.content.as_ref() {
        Content::One(entry) => entry.order().cloned(),
        Content::Bulk(_) | Content::Click(_) => None,
    }
}

fn ending(outcome: AttemptOutcome, status: u16, order: Option<ExternalId>, event: Option<EventId>) -> Ending {
    Ending { outcome, status, reason: outcome.as_str(), error_pointer: None, order, event }
}

fn done(submission: &Submission, outcome: &ContentOutcome) -> Ending {
    let (status, event) = match outcome {
        ContentOutcome::One(outcome) => (202, outcome.event_id()),
        ContentOutcome::Bulk(_) => (200, None),
        ContentOutcome::Click => (201, None),
    };
    ending(outcome.word(), status, order_of(submission), event)
}

fn replayed(submission: &Submission, answer: &StoredAnswer) -> Ending {
    let event = event_in(&answer.body);
    ending(AttemptOutcome::Replayed, answer.status, order_of(submission), event)
}

/// The event that a stored answer tells of.
fn event_in(body: &str) -> Option<EventId> {
    #[derive(serde::Deserialize)]
    struct Told {
        event_id: Option<String>,
    }
    serde_json::from_str::<Told>(body).ok()?.event_id?.parse().ok()
}

/// How many refused rows of one bulk request are journaled: the first ones. The answer has them all.
const REFUSED_ROWS_MAX: usize = 100;

/// The lines of a bulk request's refused rows.
fn refused_rows<'a>(
    submission: &'a Submission,
    outcome: &ContentOutcome,
) -> Vec<(&'a Submission, i32, Ending)> {
    let (Content::Bulk(rows), ContentOutcome::Bulk(outcomes)) = (submission.content.as_ref(), outcome) else {
        return Vec::new();
    };
    let numbered = (0i32..).zip(rows.iter().zip(outcomes));
    numbered
        .filter_map(|(number, (row, outcome))| refused_row(row, outcome).map(|end| (submission, number, end)))
        .take(REFUSED_ROWS_MAX)
        .collect()
}

fn refused_row(row: &Row, outcome: &RowOutcome) -> Option<Ending> {
    let (reason, status, error_pointer) = match (&row.content, outcome) {
        (RowContent::Rejected { rejection: Rejection::MalformedJson(_), .. }, _) => {
            ("malformed_json", 400, None)
        }
        (RowContent::Rejected { rejection, .. }, _) => {
            ("validation_failed", 422, rejection.first_pointer().map(str::to_owned))
        }
        (_, RowOutcome::Refused(conflict)) => (conflict.reason(), 422, None),
        (_, RowOutcome::Done(outcome)) if outcome.is_refused() => ("refund_id_required", 422, None),
        _ => return None,
    };
    let order = row.order().cloned();
    Some(Ending { outcome: AttemptOutcome::Refused, status, reason, error_pointer, order, event: None })
}
