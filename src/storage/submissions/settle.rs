//! Keys get the answers that their requests came to, and requests the answers of their keys.

use super::claims::scope;
use super::outcome::rows_of;
use super::units::{Fate, Part, Unit};
use crate::domain::attempt::AttemptOutcome;
use crate::domain::submission::{Conflict, Content, EntryOutcome, StoredAnswer, Submission};
use crate::storage::{AnyConnection, StoreError, idempotency};

/// Settles the keys of requests and rows, then those of bulk requests, whose answers hold the rows'.
pub fn settle(
    connection: &mut AnyConnection,
    batch: &[Submission],
    units: &mut [Unit<'_>],
) -> Result<(), StoreError> {
    if units.iter().all(|unit| unit.claim.is_none()) {
        return Ok(());
    }
    answer_keys(connection, batch, units, |part| part != Part::Bulk)?;
    // A row that uses the key of a bulk request must not wait for that request's answer, which holds the row's.
    follow_owners(units, |part, owner| part == Part::Row || owner != Part::Bulk);
    answer_keys(connection, batch, units, |part| part == Part::Bulk)?;
    follow_owners(units, |_, _| true);
    Ok(())
}

/// Stores the final answers of the parts that run under a key of their own.
fn answer_keys(
    connection: &mut AnyConnection,
    batch: &[Submission],
    units: &mut [Unit<'_>],
    takes_part: impl Fn(Part) -> bool,
) -> Result<(), StoreError> {
    let (mut released, mut corrected) = (Vec::new(), Vec::new());
    for index in 0..units.len() {
        let Some(unit) = units.get(index).filter(|unit| unit.proposed.is_some() && takes_part(unit.part))
        else {
            continue;
        };
        // Who found the key taken proposed an answer too; it is not to be stored.
        if !matches!(unit.fate, Fate::Run | Fate::Refuse(Conflict::DeliveryReused)) {
            continue;
        }
        let answer = if unit.runs() { answer(batch, units, unit) } else { None };
        let answer = answer.filter(|_| stays(units, unit));
        if let Some(scope) = scope(batch, unit) {
            match &answer {
                None => released.push(scope),
                Some(answer) if unit.proposed.as_ref() != Some(answer) => {
                    corrected.push((scope, answer.clone()));
                }
                Some(_) => {}
            }
        }
        if let Some(unit) = units.get_mut(index) {
            unit.answer = answer;
        }
    }
    idempotency::release(connection, &released)?;
    idempotency::store(connection, &corrected)
}

/// Settles the units whose key another unit of the batch has; `settled` says whose owner is, by both parts.
fn follow_owners(units: &mut [Unit<'_>], settled: impl Fn(Part, Part) -> bool) {
    for index in 0..units.len() {
        let Some(unit) = units.get(index) else { continue };
        if let Fate::Follow(owner) = unit.fate
            && units.get(owner).is_none_or(|owner| settled(unit.part, owner.part))
        {
            let (fate, outcome) = follow(units, unit, owner);
            let as_its_owner = unit.part == Part::Bulk && fate == Fate::Run;
            if let Some(unit) = units.get_mut(index) {
                (unit.fate, unit.outcome) = (fate, outcome);
            }
            if as_its_owner {
                rows_follow(units, index, owner);
            }
        }
    }
}

/// Gives the rows of a bulk request the outcomes of its owner's rows, which are the same rows.
fn rows_follow(units: &mut [Unit<'_>], follower: usize, owner: usize) {
    let submission = |index: usize| units.get(index).map(|unit| unit.submission);
    let (follower, owner) = (submission(follower), submission(owner));
    let is_row_of = |unit: &Unit<'_>, of| unit.part == Part::Row && Some(unit.submission) == of;
    let outcomes: Vec<_> = units
        .iter()
        .filter(|unit| is_row_of(unit, owner))
        .map(|unit| (unit.fate.clone(), unit.outcome.clone()))
        .collect();
    let rows = units.iter_mut().filter(|unit| is_row_of(unit, follower));
    for (row, outcome) in rows.zip(outcomes) {
        (row.fate, row.outcome) = outcome;
    }
}

/// Whether an answer stays under its key.
///
/// A bulk answer in which every row was rejected does not: the request can be mended, and sent again under
/// the same key. Under a key that is not its signer's only something new stays: whoever captured a request can
/// repeat it under any key, but what it reports is known by then.
fn stays(units: &[Unit<'_>], unit: &Unit<'_>) -> bool {
    let bound = unit.claim.is_none_or(|claim| claim.bound);
    match unit.part {
        Part::Click => true,
        Part::One | Part::Row => bound || unit.outcome.as_ref().is_some_and(is_new),
        Part::Bulk => {
            let mut rows =
                units.iter().filter(|row| row.submission == unit.submission && row.part == Part::Row);
            rows.any(|row| match (&row.fate, &row.outcome) {
                (Fate::Run, Some(outcome)) if bound => !outcome.is_refused(),
                (Fate::Run, Some(outcome)) => is_new(outcome),
                (Fate::Replay(_), _) => bound,
                _ => false,
            })
        }
    }
}

fn is_new(outcome: &EntryOutcome) -> bool {
    outcome.word() == AttemptOutcome::Accepted
}

fn answer(batch: &[Submission], units: &[Unit<'_>], unit: &Unit<'_>) -> Option<StoredAnswer> {
    let submission = batch.get(unit.submission)?;
    match unit.part {
        Part::Bulk => {
            let Content::Bulk(rows) = submission.content.as_ref() else { return None };
            let outcomes = rows_of(submission, unit.submission, units);
            Some(submission.render.bulk(&submission.attempt.request_id, rows, &outcomes))
        }
        Part::Click => match submission.content.as_ref() {
            Content::Click(click) => Some(click.answer.clone()),
            Content::One(_) | Content::Bulk(_) => None,
        },
        Part::One | Part::Row => submission.render.entry(unit.entry?, unit.outcome.as_ref()?),
    }
}

/// What becomes of a unit whose key another one of this batch has.
fn follow(units: &[Unit<'_>], unit: &Unit<'_>, owner: usize) -> (Fate, Option<EntryOutcome>) {
    let Some(owner) = units.get(owner) else { return (Fate::Refuse(Conflict::KeyInUse), None) };
    let same = owner.claim.map(|claim| claim.fingerprint) == unit.claim.map(|claim| claim.fingerprint);
    match (&owner.answer, unit.part) {
        (Some(answer), _) if same => (Fate::Replay(answer.clone()), None),
        (Some(_), _) => (Fate::Refuse(Conflict::KeyMismatch), None),
        // The owner's outcome holds for the same request, whether the owner was refused or its answer does
        // not stay under the key.
        (None, _) if same => (owner.fate.clone(), owner.outcome.clone()),
        // The owner has left nothing. After it, this one may fare better.
        (None, Part::One | Part::Bulk | Part::Click) => (Fate::Refuse(Conflict::KeyInUse), None),
        // A row is not to be sent again for a reason that goes away.
        (None, Part::Row) => (Fate::Refuse(Conflict::KeyMismatch), None),
    }
}
