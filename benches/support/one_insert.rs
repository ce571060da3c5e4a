//! The baseline: every event is inserted by a statement of its own, which is its own transaction, on a
//! connection of an r2d2 pool, from a blocking thread.
//!
//! The service before it is the same, with the same checks and the same answers. The store does less
//! than the real one: no journal, no idempotency keys, no look at what a repeat says. So whatever is
//! measured here is more than a service written like that would reach.

use conversiond::domain::attribution::Attribution;
use conversiond::domain::event::{Outcome, Recorded, Recording};
use conversiond::domain::money::Money;
use conversiond::domain::submission::{Content, ContentOutcome, EntryOutcome, Submission, SubmissionOutcome};
use conversiond::storage::StoreError;
use conversiond::storage::submissions::WriteContext;
use conversiond::storage::writer::{BatchFailure, BatchStore, Stores};
use diesel::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};

diesel::table! {
    events (merchant_id, mode, event_id) {
        merchant_id -> Text,
        mode -> Text,
        event_id -> Text,
        event_name -> Text,
        order_id -> Text,
        own_id -> Text,
        occurred_at -> Timestamp,
        occurred_given -> Bool,
        received_at -> Timestamp,
        value_minor -> Nullable<BigInt>,
        currency -> Nullable<Text>,
        attribution -> Text,
        click_id -> Nullable<Text>,
        url_id -> Nullable<Text>,
        domain_id -> Nullable<Text>,
        clicked_at -> Nullable<Timestamp>,
        body -> Nullable<Text>,
        key_id -> Text,
        signature_form -> Text,
        times_received -> BigInt,
        times_differed -> BigInt,
        attempt_id -> Nullable<Text>,
    }
}

/// Blocking threads: more than connections, so that the pool is what is waited for.
const THREADS: u32 = 128;

/// Connections of the pool: more do not make it faster on two cores.
pub const POOL: u32 = 32;

/// A blocking thread's hold on the pool.
pub struct OneInsert(Pool<ConnectionManager<PgConnection>>);

impl OneInsert {
    /// The threads' stores, on one pool.
    pub fn stores(url: &str) -> Result<Stores<Self>, StoreError> {
        let pool = Pool::builder()
            .max_size(POOL)
            // The usual check would cost every event another round trip.
            .test_on_check_out(false)
            .build(ConnectionManager::new(url))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Stores { lanes: (0..THREADS).map(|_| Self(pool.clone())).collect(), rescue: None })
    }

    fn insert(&self, recording: &Recording, context: &WriteContext) -> Result<Outcome, BatchFailure> {
        let lost = |error: String| BatchFailure::Lost(error);
        let mut connection = self.0.get().map_err(|error| lost(error.to_string()))?;
        let recorded = Recorded::new(recording, context.received_at);
        let link = match &recorded.attribution {
            Attribution::Attributed(link) => Some(link),
            _ => None,
        };
        let row = (
            events::merchant_id.eq(recording.merchant.id.to_string()),
            events::mode.eq(recorded.mode.as_str()),
            events::event_id.eq(recorded.event_id.to_string()),
            events::event_name.eq(recorded.name.as_str()),
            events::order_id.eq(recorded.order_id.as_str()),
            events::own_id.eq(recording.callback.event.own_id()),
            events::occurred_at.eq(recorded.occurred_at.naive_utc()),
            events::occurred_given.eq(recorded.occurred_given),
            events::received_at.eq(recorded.received_at.naive_utc()),
            events::value_minor.eq(recorded.value.map(Money::minor)),
            events::currency.eq(recorded.value.map(|value| value.currency().code())),
            events::attribution.eq(recorded.attribution.status()),
            events::click_id.eq(link.map(|link| link.click_id.to_string())),
            events::url_id.eq(link.map(|link| link.url_id.to_string())),
            events::domain_id.eq(link.map(|link| link.domain_id.to_string())),
            events::clicked_at.eq(link.map(|link| link.clicked_at.naive_utc())),
            events::body.eq(Some(recording.body.as_str())),
            events::key_id.eq(recording.key_id.as_str()),
            events::signature_form.eq(recording.form.as_str()),
            events::times_received.eq(1),
            events::times_differed.eq(0),
            events::attempt_id.eq(Some(recording.attempt_id.to_string())),
        );
        let id: String = diesel::insert_into(events::table)
            .values(row)
            .on_conflict((
                events::merchant_id,
                events::mode,
                events::order_id,
                events::event_name,
                events::own_id,
            ))
            .do_update()
            .set(events::times_received.eq(events::times_received + 1))
            .returning(events::event_id)
            .get_result(&mut connection)
            .map_err(|error| lost(error.to_string()))?;
        Ok(match id == recorded.event_id.to_string() {
            true => Outcome::Accepted(recorded),
            false => Outcome::Duplicate { original: recorded, differs: Vec::new() },
        })
    }
}

impl BatchStore for OneInsert {
    fn commit(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure> {
        let one = |submission: &Submission| {
            let Content::One(entry) = submission.content.as_ref() else { panic!("only single events") };
            let event = entry.event.as_ref().map(|recording| self.insert(recording, context)).transpose()?;
            let outcome = EntryOutcome { event, status: None };
            Ok(SubmissionOutcome::Done(ContentOutcome::One(outcome), None))
        };
        batch.iter().map(one).collect()
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
