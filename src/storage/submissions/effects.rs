//! What units that run leave behind: delivery ids, events, statuses, clicks.

use std::collections::BTreeMap;

use super::WriteContext;
use super::units::{Fate, Part, Unit};
use crate::domain::attempt::AttemptOutcome;
use crate::domain::event::{Outcome, Recording};
use crate::domain::ids::{EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::domain::submission::{
    Conflict, Content, EntryOutcome, StatusOutcome, StatusRecording, Submission,
};
use crate::storage::clicks::{self, ClickRow};
use crate::storage::deliveries::{self, DeliveryRow};
use crate::storage::order_statuses::{self, StatusIdentity, StatusRow};
use crate::storage::time_column::TimeColumn;
use crate::storage::{AnyConnection, StoreError, events};

/// Records what the units report and sets their outcomes.
pub fn record(
    connection: &mut AnyConnection,
    batch: &[Submission],
    units: &mut [Unit<'_>],
    context: &WriteContext,
) -> Result<(), StoreError> {
    take_deliveries(connection, batch, units, context)?;
    let recordings: Vec<&Recording> = running(units).flat_map(|(_, entry)| entry.events()).collect();
    let mut outcomes =
        events::record(connection, &recordings, (context.received_at, context.begun_at))?.into_iter();
    let mut statuses = Vec::new();
    for (index, unit) in units.iter_mut().enumerate() {
        let Some(entry) = unit.entry.filter(|_| unit.fate == Fate::Run) else { continue };
        let event = entry.event.as_ref().and_then(|_| outcomes.next());
        if let Some(status) = entry.status.as_deref() {
            let event = status.event.as_ref().and_then(|_| outcomes.next());
            statuses.push((index, status, event.as_ref().and_then(event_id)));
        }
        unit.outcome = Some(EntryOutcome { event, status: None });
    }
    record_statuses(connection, batch, units, &statuses, context)?;
    give_back_deliveries(connection, batch, units)?;
    record_clicks(connection, batch, units, context)
}

fn running<'u, 'a>(
    units: &'u [Unit<'a>],
) -> impl Iterator<Item = (usize, &'a crate::domain::submission::Entry)> + use<'u, 'a> {
    units
        .iter()
        .filter(|unit| unit.runs())
        .filter_map(|unit| unit.entry.map(|entry| (unit.submission, entry)))
}

fn event_id(outcome: &Outcome) -> Option<EventId> {
    match outcome {
        Outcome::Accepted(event) | Outcome::Duplicate { original: event, .. } => Some(event.event_id),
        Outcome::RefundIdRequired => None,
    }
}

/// A delivery id stands for one topic and body for ever; the same delivery again goes on, and its
/// event or status is then known.
fn take_deliveries(
    connection: &mut AnyConnection,
    batch: &[Submission],
    units: &mut [Unit<'_>],
    context: &WriteContext,
) -> Result<(), StoreError> {
    let mut wanted: BTreeMap<(MerchantId, Mode, &str), Vec<usize>> = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        if let Some(submission) = batch.get(unit.submission)
            && let Some(delivery) = submission.delivery.as_ref().filter(|_| unit.runs())
        {
            let scope = (submission.merchant, submission.mode, delivery.id.as_str());
            wanted.entry(scope).or_default().push(index);
        }
    }
    let mut rows = Vec::with_capacity(wanted.len());
    for ((merchant, mode, id), takers) in &wanted {
        // A captured delivery under the id of the merchant's own one does not take it from that one.
        let is_bound = |index: &&usize| {
            let submission = units.get(**index).and_then(|unit| batch.get(unit.submission));
            submission.and_then(|submission| submission.delivery.as_ref()).is_some_and(|one| one.bound)
        };
        let first = takers.iter().find(is_bound).or(takers.first()).and_then(|index| units.get(*index));
        let submission = first.and_then(|unit| batch.get(unit.submission));
        let Some((submission, delivery)) = submission.and_then(|s| s.delivery.as_ref().map(|d| (s, d)))
        else {
            return Err(StoreError::Refused("a delivery that nobody takes".to_owned()));
        };
        rows.push(DeliveryRow {
            merchant_id: merchant.to_string(),
            mode: mode.as_str(),
            external_event_id: id,
            attempt_id: submission.attempt.id.to_string(),
            topic: delivery.topic,
            fingerprint: delivery.fingerprint.to_string(),
            order_id: first.and_then(|unit| unit.entry?.order()).map_or("", |order| order.as_str()),
            received_at: TimeColumn::of(context.received_at),
            times_received: i64::try_from(takers.len()).unwrap_or(1),
        });
    }
    let fingerprints = deliveries::take(connection, &rows)?;
    for (takers, fingerprint) in wanted.into_values().zip(fingerprints) {
        for index in takers {
            if let Some(unit) = units.get_mut(index) {
                let delivery = batch.get(unit.submission).and_then(|submission| submission.delivery.as_ref());
                if delivery.is_none_or(|delivery| delivery.fingerprint.to_string() != fingerprint) {
                    unit.fate = Fate::Refuse(Conflict::DeliveryReused);
                }
            }
        }
    }
    Ok(())
}

/// Gives back the delivery ids that are not their signers' and brought nothing new: whoever captured a delivery
/// could repeat it under an id that its merchant is yet to use.
fn give_back_deliveries(
    connection: &mut AnyConnection,
    batch: &[Submission],
    units: &[Unit<'_>],
) -> Result<(), StoreError> {
    let mut kept: BTreeMap<(MerchantId, Mode, &str), (bool, Vec<String>)> = BTreeMap::new();
    for unit in units.iter().filter(|unit| unit.runs()) {
        let Some(submission) = batch.get(unit.submission) else { continue };
        if let Some(delivery) = &submission.delivery {
            let is_new = unit.outcome.as_ref().is_some_and(|o| o.word() == AttemptOutcome::Accepted);
            let scope = (submission.merchant, submission.mode, delivery.id.as_str());
            let (kept, takers) = kept.entry(scope).or_default();
            *kept |= delivery.bound || is_new;
            takers.push(submission.attempt.id.to_string());
        }
    }
    for ((merchant, mode, id), (_, takers)) in kept.into_iter().filter(|(_, (kept, _))| !kept) {
        deliveries::give_back(connection, &merchant.to_string(), mode, id, &takers)?;
    }
    Ok(())
}

/// Reports of one status of one order within the batch are folded: the first is recorded.
fn record_statuses(
    connection: &mut AnyConnection,
    batch: &[Submission],
    units: &mut [Unit<'_>],
    statuses: &[(usize, &StatusRecording, Option<EventId>)],
    context: &WriteContext,
) -> Result<(), StoreError> {
    let mut folded: BTreeMap<StatusIdentity<'_>, Vec<usize>> = BTreeMap::new();
    for (position, (index, recording, _)) in statuses.iter().enumerate() {
        if let Some(submission) = units.get(*index).and_then(|unit| batch.get(unit.submission)) {
            let identity = StatusIdentity::of(submission.merchant, submission.mode, recording);
            folded.entry(identity).or_default().push(position);
        }
    }
    let mut rows = Vec::with_capacity(folded.len());
    for (identity, positions) in &folded {
        let first = positions.first().and_then(|position| statuses.get(*position));
        let submission =
            first.and_then(|(index, ..)| units.get(*index)).and_then(|u| batch.get(u.submission));
        let Some(((_, recording, event), submission)) = first.zip(submission) else {
            return Err(StoreError::Refused("a status that nobody reports".to_owned()));
        };
        let times = i64::try_from(positions.len()).unwrap_or(1);
        let received = (context.received_at, times);
        rows.push(StatusRow::new(identity, recording, submission.attempt.id, *event, received));
    }
    let new = order_statuses::record(connection, &rows)?;
    for (positions, new) in folded.into_values().zip(new) {
        for (nth, position) in positions.into_iter().enumerate() {
            let Some((index, recording, event)) = statuses.get(position) else { continue };
            let Some(outcome) = units.get_mut(*index).and_then(|unit| unit.outcome.as_mut()) else {
                continue;
            };
            outcome.status = Some(StatusOutcome {
                accepted: new && nth == 0,
                order: recording.report.order.clone(),
                status: recording.report.status,
                event: *event,
            });
        }
    }
    Ok(())
}

fn record_clicks(
    connection: &mut AnyConnection,
    batch: &[Submission],
    units: &[Unit<'_>],
    context: &WriteContext,
) -> Result<(), StoreError> {
    let running = units.iter().filter(|unit| unit.part == Part::Click && unit.runs());
    let rows = running.filter_map(|unit| {
        let submission = batch.get(unit.submission)?;
        match submission.content.as_ref() {
            Content::Click(click) => Some(ClickRow::new(submission, click, context)),
            Content::One(_) | Content::Bulk(_) => None,
        }
    });
    clicks::record(connection, rows.collect())
}
