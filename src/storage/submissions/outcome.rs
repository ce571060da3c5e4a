//! From units back to submissions.

use super::units::{Fate, Part, Unit};
use crate::domain::submission::{
    Conflict, Content, ContentOutcome, Row, RowOutcome, Submission, SubmissionOutcome,
};
use crate::storage::StoreError;

/// The outcomes in the batch's order.
pub fn of(batch: &[Submission], units: Vec<Unit<'_>>) -> Result<Vec<SubmissionOutcome>, StoreError> {
    let mut outcomes: Vec<Option<SubmissionOutcome>> = batch.iter().map(|_| None).collect();
    let mut rows: Vec<Vec<RowOutcome>> = batch.iter().map(|_| Vec::new()).collect();
    for unit in units {
        let submission = unit.submission;
        if unit.part == Part::Row {
            if let Some(rows) = rows.get_mut(submission) {
                rows.push(row(unit.fate, unit.outcome));
            }
            continue;
        }
        let outcome = match (unit.fate, unit.outcome) {
            (Fate::Replay(answer), _) => SubmissionOutcome::Replayed(answer),
            (Fate::Refuse(conflict), _) => SubmissionOutcome::Refused(conflict),
            (Fate::Run, Some(outcome)) => SubmissionOutcome::Done(ContentOutcome::One(outcome), unit.answer),
            (Fate::Run, None) if unit.part == Part::Bulk => {
                SubmissionOutcome::Done(ContentOutcome::Bulk(Vec::new()), unit.answer)
            }
            (Fate::Run, None) if unit.part == Part::Click => {
                SubmissionOutcome::Done(ContentOutcome::Click, unit.answer)
            }
            (Fate::Run | Fate::Follow(_) | Fate::Skip, _) => {
                return Err(StoreError::Refused("a submission without an outcome".to_owned()));
            }
        };
        if let Some(slot) = outcomes.get_mut(submission) {
            *slot = Some(outcome);
        }
    }
    let all = batch.iter().zip(outcomes).zip(rows);
    all.map(|((submission, outcome), run)| match outcome {
        Some(SubmissionOutcome::Done(ContentOutcome::Bulk(_), answer)) => {
            Ok(SubmissionOutcome::Done(ContentOutcome::Bulk(with_rejected(submission, run)), answer))
        }
        Some(outcome) => Ok(outcome),
        None => Err(StoreError::Refused("a submission without an outcome".to_owned())),
    })
    .collect()
}

/// The outcomes of a bulk request's rows, which stand behind it among the units.
pub fn rows_of(submission: &Submission, index: usize, units: &[Unit<'_>]) -> Vec<RowOutcome> {
    let run = units.iter().filter(|unit| unit.submission == index && unit.part == Part::Row);
    with_rejected(submission, run.map(|unit| row(unit.fate.clone(), unit.outcome.clone())).collect())
}

fn row(fate: Fate, outcome: Option<crate::domain::submission::EntryOutcome>) -> RowOutcome {
    match (fate, outcome) {
        (Fate::Replay(answer), _) => RowOutcome::Replayed(answer),
        (Fate::Run, Some(outcome)) => RowOutcome::Done(outcome),
        (Fate::Refuse(conflict), _) => RowOutcome::Refused(conflict),
        (Fate::Run | Fate::Follow(_) | Fate::Skip, _) => RowOutcome::Refused(Conflict::KeyInUse),
    }
}

/// The outcomes of the rows that went on, and between them those of the rows that did not.
fn with_rejected(submission: &Submission, run: Vec<RowOutcome>) -> Vec<RowOutcome> {
    let Content::Bulk(rows) = submission.content.as_ref() else { return run };
    let mut run = run.into_iter();
    let one = |row: &Row| row.entry().and_then(|_| run.next()).unwrap_or(RowOutcome::Rejected);
    rows.iter().map(one).collect()
}
