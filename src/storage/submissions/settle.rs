//! Keys get the answers that their requests came to, and requests the answers of their keys.

use super::claims::scope;
use super::outcome::rows_of;
use super::units::{Fate, Part, Unit};
use crate::domain::submission::{Conflict, Content, StoredAnswer, Submission};
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
    round(connection, batch, units, |part| part != Part::Bulk)?;
    round(connection, batch, units, |part| part == Part::Bulk)
}

fn round(
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
    idempotency::store(connection, &corrected)?;
    for index in 0..units.len() {
        let Some(unit) = units.get(index).filter(|unit| takes_part(unit.part)) else { continue };
        if let Fate::Follow(owner) = unit.fate {
            let (fate, outcome) = follow(units, unit, owner);
            if let Some(unit) = units.get_mut(index) {
                (unit.fate, unit.outcome) = (fate, outcome);
            }
        }
    }
    Ok(())
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
fn follow(
    units: &[Unit<'_>],
    unit: &Unit<'_>,
    owner: usize,
) -> (Fate, Option<crate::domain::submission::EntryOutcome>) {
    let Some(owner) = units.get(owner) else { return (Fate::Refuse(Conflict::KeyInUse), None) };
    let same = owner.claim.map(|claim| claim.fingerprint) == unit.claim.map(|claim| claim.fingerprint);
    match (&owner.answer, unit.part) {
        (Some(answer), _) if same => (Fate::Replay(answer.clone()), None),
        (Some(_), _) => (Fate::Refuse(Conflict::KeyMismatch), None),
        // A bulk request stands for itself: only its own repeat could have had its answer.
        _ if owner.part == Part::Bulk && !same => (Fate::Refuse(Conflict::KeyMismatch), None),
        // The owner was refused, and so would the same request be.
        (None, _) if same => (owner.fate.clone(), owner.outcome.clone()),
        // The owner has left nothing. After it, this one may fare better.
        (None, Part::One | Part::Bulk | Part::Click) => (Fate::Refuse(Conflict::KeyInUse), None),
        // A row is not to be sent again for a reason that goes away.
        (None, Part::Row) => (Fate::Refuse(Conflict::KeyMismatch), None),
    }
}
