//! Outcomes in the caller's words (contract sections 4.4, 6.2, 6.3).

use serde::Serialize;

use super::answer::{Receipt, StatusReceipt};
use super::bulk_answer::{BulkAnswer, BulkSummary, RowResult};
use crate::domain::attempt::AttemptOutcome;
use crate::domain::event::{Dialect, Outcome};
use crate::domain::submission::{Entry, EntryOutcome, Render, Row, RowContent, RowOutcome, StoredAnswer};
use crate::http::error::{Code, Problem};

/// Writes answers. What is stored under idempotency keys and what is sent comes from here alone.
pub struct Words;

impl Render for Words {
    fn entry(&self, entry: &Entry, outcome: &EntryOutcome) -> Option<StoredAnswer> {
        let body = match Told::of(entry, outcome)? {
            Told::Event(receipt) => text(&receipt),
            Told::Status(receipt) => text(&receipt),
        };
        Some(StoredAnswer { status: 202, body })
    }

    fn bulk(&self, request_id: &str, rows: &[Row], outcomes: &[RowOutcome]) -> StoredAnswer {
        let count = |word| outcomes.iter().filter(|outcome| said(outcome) == word).count();
        let summary = BulkSummary {
            accepted: count(AttemptOutcome::Accepted),
            duplicate: count(AttemptOutcome::Duplicate),
            replayed: count(AttemptOutcome::Replayed),
            rejected: count(AttemptOutcome::Refused),
        };
        let problems: Vec<Option<Problem>> =
            rows.iter().zip(outcomes).map(|(row, outcome)| problem(row, outcome)).collect();
        let results = rows.iter().zip(outcomes).zip(&problems).enumerate();
        let results = results.map(|(index, ((row, outcome), problem))| {
            let name = row.client_row_id.as_deref();
            match (outcome, problem) {
                (_, Some(problem)) => RowResult::rejected(index, name, problem.body(request_id)),
                (RowOutcome::Replayed(answer), None) => RowResult::replayed(index, name, &answer.body),
                (RowOutcome::Done(outcome), None) => {
                    RowResult::done(index, name, row.entry().and_then(|entry| Told::of(entry, outcome)))
                }
                (RowOutcome::Refused(_) | RowOutcome::Rejected, None) => RowResult::done(index, name, None),
            }
        });
        StoredAnswer { status: 200, body: text(&BulkAnswer { summary, results: results.collect() }) }
    }
}

/// What is told of one thing reported.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Told<'a> {
    /// Of an event.
    Event(Receipt<'a>),
    /// Of a status.
    Status(StatusReceipt<'a>),
}

impl<'a> Told<'a> {
    /// `None` = it is refused.
    pub fn of(entry: &'a Entry, outcome: &'a EntryOutcome) -> Option<Self> {
        let dialect = entry.event.as_ref().map_or(Dialect::Canonical, |event| event.callback.dialect);
        let status = outcome.status.as_ref();
        match &outcome.event {
            Some(Outcome::Accepted(event)) => Some(Self::Event(Receipt::accepted(event, status))),
            Some(Outcome::Duplicate { original, differs }) => {
                let pointers = differs.iter().map(|part| part.pointer(dialect)).collect();
                Some(Self::Event(Receipt::duplicate(original, pointers, status)))
            }
            Some(Outcome::RefundIdRequired) => None,
            None => status.map(|status| Self::Status(StatusReceipt::of(status))),
        }
    }
}

/// What is told of a refund that cannot be told from another.
pub fn refund_id_required() -> Problem {
    Problem::new(
        Code::RefundIdRequired,
        "The order has a refund that may be another one. Give each refund an external_id of its own.",
    )
}

/// A row's outcome as its result says it: of an event that tells a status too, the event's, although
/// the status may be new.
fn said(outcome: &RowOutcome) -> AttemptOutcome {
    match outcome {
        RowOutcome::Done(EntryOutcome { event: Some(Outcome::Duplicate { .. }), .. }) => {
            AttemptOutcome::Duplicate
        }
        other => other.word(),
    }
}

fn problem(row: &Row, outcome: &RowOutcome) -> Option<Problem> {
    match (&row.content, outcome) {
        (RowContent::Rejected { rejection, .. }, _) => Some(rejection.clone().into()),
        (_, RowOutcome::Refused(conflict)) => Some((*conflict).into()),
        (_, RowOutcome::Done(outcome)) if outcome.is_refused() => Some(refund_id_required()),
        _ => None,
    }
}

fn text(answer: &impl Serialize) -> String {
    // Plain structs of texts and numbers: there is nothing in them that JSON cannot say.
    serde_json::to_string(answer).unwrap_or_default()
}
