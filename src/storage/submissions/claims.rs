//! Claiming idempotency keys: who runs, who is answered from the store, who must not run.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::WriteContext;
use super::units::{Fate, Part, Unit};
use crate::domain::submission::{Claim, Conflict, Content, StoredAnswer, Submission};
use crate::storage::error::Failure;
use crate::storage::idempotency::{self, ClaimRow, Holder, KeyScope};
use crate::storage::time_column::TimeColumn;
use crate::storage::{AnyConnection, StoreError};

/// Who has a key in this transaction.
enum Owner {
    /// A unit of this batch.
    Unit(usize),
    /// A request of before.
    Before(Holder),
}

/// Whose keys are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Those of requests.
    Requests,
    /// Those of bulk requests' rows.
    Rows,
}

impl Round {
    fn has(self, part: Part) -> bool {
        (part == Part::Row) == (self == Self::Rows)
    }

    /// Somebody's open transaction has a key. If it is the request's, the same request is still
    /// running (409); if it is a row's, the whole request has to wait, as for any row (503).
    fn blocked(self, error: StoreError) -> StoreError {
        match (self, error) {
            (Self::Requests, StoreError::Failed(Failure::Blocked, why)) => {
                StoreError::Failed(Failure::KeyBlocked, why)
            }
            (_, other) => other,
        }
    }
}

/// Decides the units' fates. Requests claim before rows: a bulk request that is answered from the
/// store leaves its rows' keys alone.
pub fn claim<'a>(
    connection: &mut AnyConnection,
    batch: &'a [Submission],
    units: &mut [Unit<'a>],
    context: &WriteContext,
) -> Result<(), StoreError> {
    if units.iter().all(|unit| unit.claim.is_none()) {
        return Ok(());
    }
    unbound_keys_yield(batch, units);
    let mut owners = HashMap::new();
    round(connection, batch, units, context, &mut owners, Round::Requests)?;
    let mut whole_runs = true;
    for unit in units.iter_mut() {
        match unit.part {
            Part::Bulk => whole_runs = unit.runs(),
            Part::Row if !whole_runs => unit.fate = Fate::Skip,
            Part::Row | Part::One | Part::Click => {}
        }
    }
    round(connection, batch, units, context, &mut owners, Round::Rows)
}

/// A key on a captured request may be a guess at a key that its merchant uses at this very moment. Where a
/// request or a row of the merchant's own has it in the same batch, the captured one runs without: a key only
/// saves work.
fn unbound_keys_yield<'a>(batch: &'a [Submission], units: &mut [Unit<'a>]) {
    let is_bound = |unit: &Unit<'_>| unit.claim.is_some_and(|claim| claim.bound);
    if !units.iter().any(|unit| unit.claim.is_some_and(|claim| !claim.bound)) {
        return;
    }
    let bound: HashSet<KeyScope<'a>> =
        units.iter().filter(|unit| is_bound(unit)).filter_map(|unit| scope(batch, unit)).collect();
    for unit in units {
        if !is_bound(unit) && scope(batch, unit).is_some_and(|scope| bound.contains(&scope)) {
            unit.claim = None;
        }
    }
}

fn round<'a>(
    connection: &mut AnyConnection,
    batch: &'a [Submission],
    units: &mut [Unit<'a>],
    context: &WriteContext,
    owners: &mut HashMap<KeyScope<'a>, Owner>,
    which: Round,
) -> Result<(), StoreError> {
    let mut fresh: BTreeMap<KeyScope<'a>, usize> = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        if let Some(scope) = scope(batch, unit)
            && unit.runs()
            && which.has(unit.part)
            && !owners.contains_key(&scope)
        {
            fresh.entry(scope).or_insert(index);
        }
    }
    let mut rows = Vec::with_capacity(fresh.len());
    for (scope, index) in &fresh {
        let Some((unit, claim)) =
            units.get_mut(*index).and_then(|unit| unit.claim.map(|claim| (unit, claim)))
        else {
            continue;
        };
        let answer = proposal(batch, unit, context);
        rows.push(row(scope, claim, &answer, context));
        unit.proposed = Some(answer);
    }
    let holders = idempotency::claim(connection, &rows).map_err(|error| which.blocked(error))?;
    for ((scope, index), holder) in fresh.into_iter().zip(holders) {
        let ours = units.get(index).and_then(|unit| unit.claim).is_some_and(|c| c.id == holder.claimed_by);
        owners.insert(scope, if ours { Owner::Unit(index) } else { Owner::Before(holder) });
    }
    for (index, unit) in units.iter_mut().enumerate() {
        if let Some(scope) = scope(batch, unit)
            && unit.runs()
            && which.has(unit.part)
            && let (Some(claim), Some(owner)) = (unit.claim, owners.get(&scope))
        {
            unit.fate = fate(index, claim, owner);
        }
    }
    Ok(())
}

fn fate(index: usize, claim: &Claim, owner: &Owner) -> Fate {
    match owner {
        Owner::Unit(owner) if *owner == index => Fate::Run,
        Owner::Unit(owner) => Fate::Follow(*owner),
        Owner::Before(holder) if holder.fingerprint == claim.fingerprint.to_string() => {
            Fate::Replay(holder.answer.clone())
        }
        Owner::Before(_) => Fate::Refuse(Conflict::KeyMismatch),
    }
}

/// Where a unit's key belongs.
pub fn scope<'a>(batch: &'a [Submission], unit: &Unit<'a>) -> Option<KeyScope<'a>> {
    let submission = batch.get(unit.submission)?;
    let key = unit.claim?.key.as_str();
    Some(KeyScope { merchant_id: submission.merchant, mode: submission.mode, key })
}

/// The answer if everything is new, which is nearly always right: it is stored with the claim, and
/// only the others need a second statement.
fn proposal(batch: &[Submission], unit: &Unit<'_>, context: &WriteContext) -> StoredAnswer {
    let submission = batch.get(unit.submission);
    if let Some(Content::Click(click)) = submission.map(|submission| submission.content.as_ref()) {
        return click.answer.clone();
    }
    submission
        .zip(unit.entry)
        .and_then(|(submission, entry)| submission.render.entry(entry, &entry.if_new(context.received_at)))
        .unwrap_or(StoredAnswer { status: 200, body: String::new() })
}

fn row<'a>(
    scope: &KeyScope<'a>,
    claim: &'a Claim,
    answer: &StoredAnswer,
    context: &WriteContext,
) -> ClaimRow<'a> {
    ClaimRow {
        merchant_id: scope.merchant_id.to_string(),
        mode: scope.mode.as_str(),
        idempotency_key: scope.key,
        claimed_by: &claim.id,
        fingerprint: claim.fingerprint.to_string(),
        status: answer.status.into(),
        body: answer.body.clone(),
        created_at: TimeColumn::of(context.received_at),
        expires_at: TimeColumn::of(context.received_at + context.key_ttl),
        times_seen: 1,
    }
}
