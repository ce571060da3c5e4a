//! Recording a batch of events in one transaction (contract 4.3, ARCHITECTURE.md).

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::count::{self, Count};
use super::row::{AttributionColumns, NewRow, column};
use super::{insert, originals};
use crate::domain::attribution::Attribution;
use crate::domain::event::{Identity, Outcome, Recorded, Recording};
use crate::domain::repeat::{self, Repeat};
use crate::domain::time::cut_to_micros;
use crate::storage::schema::events;
use crate::storage::{AnyConnection, StoreError};

/// Records events inside the caller's transaction; outcomes stand in the batch's order. None of
/// them is true before the transaction has committed.
///
/// Deliveries of one event within the batch are folded: the first stands for all, the others are
/// judged as its repeats. Events go in sorted by identity, so that two instances that write the
/// same events wait for each other and never deadlock.
pub fn record(
    connection: &mut AnyConnection,
    batch: &[&Recording],
    received_at: DateTime<Utc>,
) -> Result<Vec<Outcome>, StoreError> {
    // Of replays, statuses and clicks alone.
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let received_at = cut_to_micros(received_at);
    let deliveries = fold(batch);
    let firsts: Vec<(&Identity<'_>, &Recording, Recorded)> = deliveries
        .iter()
        .filter_map(|(identity, all)| all.first().map(|(_, first)| (identity, *first)))
        .map(|(identity, first)| (identity, first, Recorded::new(first, received_at)))
        .collect();
    let rows: Vec<NewRow<'_>> =
        firsts.iter().map(|(_, first, recorded)| NewRow::new(first, recorded)).collect();
    let found = insert::insert(connection, &rows)?;
    if let Some(oldest) = firsts.iter().map(|(.., recorded)| recorded.event_id).min() {
        found.check_age(column(oldest.made_at()))?;
    }
    let inserted: Vec<bool> = rows.iter().map(|row| found.ids.contains(&row.event_id)).collect();
    let known: Vec<Identity<'_>> = firsts
        .iter()
        .zip(&inserted)
        .filter(|(_, inserted)| !**inserted)
        .map(|((identity, ..), _)| (*identity).clone())
        .collect();
    let mut known = originals::originals(connection, &known)?;

    let mut outcomes: Vec<Option<Outcome>> = batch.iter().map(|_| None).collect();
    let mut counts = Vec::new();
    for ((identity, _, recorded), inserted) in firsts.iter().zip(inserted) {
        let all = deliveries.get(*identity).map(Vec::as_slice).unwrap_or_default();
        let settled = settle(recorded, inserted, &mut known, identity, all)?;
        settled.attribute(connection, identity, received_at)?;
        counts.extend(settled.count(identity));
        for (position, outcome) in settled.outcomes {
            if let Some(slot) = outcomes.get_mut(position) {
                *slot = Some(outcome);
            }
        }
    }
    count::count(connection, &counts)?;
    outcomes
        .into_iter()
        .map(|outcome| outcome.ok_or_else(|| StoreError::Refused("a delivery without an outcome".to_owned())))
        .collect()
}

type Deliveries<'a> = BTreeMap<Identity<'a>, Vec<(usize, &'a Recording)>>;

/// The batch by identity, sorted; each delivery with its position in the batch.
fn fold<'a>(batch: &[&'a Recording]) -> Deliveries<'a> {
    let mut deliveries = Deliveries::new();
    for (position, recording) in batch.iter().copied().enumerate() {
        deliveries.entry(recording.identity()).or_default().push((position, recording));
    }
    deliveries
}

/// What became of all deliveries of one event, and what the insert alone did not write.
struct Settled {
    event: Recorded,
    outcomes: Vec<(usize, Outcome)>,
    /// To be added to `times_received`: the insert counted one delivery.
    received: i64,
    differed: i64,
    late_attribution: Option<Attribution>,
}

fn settle<'a>(
    proposed: &Recorded,
    inserted: bool,
    known: &mut HashMap<Identity<'a>, Recorded>,
    identity: &Identity<'a>,
    deliveries: &[(usize, &Recording)],
) -> Result<Settled, StoreError> {
    let event = if inserted {
        proposed.clone()
    } else {
        known
            .remove(identity)
            .ok_or_else(|| StoreError::Refused("an event that was there is not there".to_owned()))?
    };
    let mut settled =
        Settled { event, outcomes: Vec::new(), received: -1, differed: 0, late_attribution: None };
    let mut repeats = deliveries;
    if inserted && let Some(((position, _), rest)) = deliveries.split_first() {
        settled.received += 1;
        settled.outcomes.push((*position, Outcome::Accepted(settled.event.clone())));
        repeats = rest;
    }
    for (position, delivery) in repeats {
        let outcome = settled.repeat(delivery);
        settled.outcomes.push((*position, outcome));
    }
    Ok(settled)
}

impl Settled {
    fn repeat(&mut self, delivery: &Recording) -> Outcome {
        match repeat::judge(&self.event, delivery) {
            Repeat::RefundIdRequired => Outcome::RefundIdRequired,
            Repeat::Duplicate { differs, late_attribution } => {
                self.received += 1;
                if !differs.is_empty() {
                    self.differed += 1;
                }
                if let Some(attribution) = late_attribution {
                    self.event.attribution = attribution;
                    self.late_attribution = Some(attribution);
                }
                Outcome::Duplicate { original: self.event.clone(), differs }
            }
        }
    }

    /// What the insert did not count.
    fn count(&self, identity: &Identity<'_>) -> Option<Count> {
        let Self { received, differed, .. } = *self;
        (received != 0 || differed != 0).then(|| Count {
            merchant_id: identity.merchant_id.to_string(),
            mode: identity.mode,
            event_id: self.event.event_id.to_string(),
            received,
            differed,
        })
    }

    /// Writes a late attribution. The row is locked by the insert, so nobody comes between.
    fn attribute(
        &self,
        connection: &mut AnyConnection,
        identity: &Identity<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        if let Some(attribution) = &self.late_attribution {
            let id =
                (identity.merchant_id.to_string(), identity.mode.as_str(), self.event.event_id.to_string());
            diesel::update(events::table.find(id))
                .set((AttributionColumns::of(attribution), events::late_attribution_at.eq(column(now))))
                .execute(connection)?;
        }
        Ok(())
    }
}
