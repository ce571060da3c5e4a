//! An event on its way into the store, and as it lies there.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Callback, EventName, Part};
use crate::domain::attribution::{Attribution, TokenVerdict};
use crate::domain::ids::{AttemptId, EventId, ExternalId, KeyId, MerchantId};
use crate::domain::merchant::{Merchant, Mode};
use crate::domain::money::Money;
use crate::domain::signature::{Form, IdempotencyKey};

/// What makes two callbacks the same event (contract 4.3), in the store's sort order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity<'a> {
    /// Whose event.
    pub merchant_id: MerchantId,
    /// Real or test.
    pub mode: Mode,
    /// The order, or what stands for it.
    pub order: &'a str,
    /// The kind.
    pub name: EventName,
    /// Tells refunds of one order apart; empty = not given.
    pub own_id: &'a str,
}

/// An authentic, parsed event and all that its recording depends on.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The id it will have if it is the first.
    pub event_id: EventId,
    /// The request that brought it.
    pub attempt_id: AttemptId,
    /// Whose event, and the settings in force at its receipt.
    pub merchant: Arc<Merchant>,
    /// Real or test.
    pub mode: Mode,
    /// The key that signed it.
    pub key_id: KeyId,
    /// The form of the signature that fitted.
    pub form: Form,
    /// The key of the logical operation it came under.
    pub idempotency_key: Option<IdempotencyKey>,
    /// What became of its token.
    pub token: TokenVerdict,
    /// What it says.
    pub callback: Callback,
    /// The body as received: it is kept.
    pub body: String,
}

impl Recording {
    /// What makes it the same event as another.
    pub fn identity(&self) -> Identity<'_> {
        let event = &self.callback.event;
        Identity {
            merchant_id: self.merchant.id,
            mode: self.mode,
            order: event.order().as_str(),
            name: event.name(),
            own_id: event.own_id(),
        }
    }

    /// About how much memory it holds, in bytes.
    pub fn weight(&self) -> usize {
        512 + 2 * self.body.len()
    }
}

/// An event as it lies in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its id.
    pub event_id: EventId,
    /// Its kind.
    pub name: EventName,
    /// Real or test.
    pub mode: Mode,
    /// The order it belongs to.
    pub order_id: ExternalId,
    /// Its own id in the merchant's system.
    pub external_id: Option<ExternalId>,
    /// The money it is about.
    pub value: Option<Money>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// Whether the merchant said when (else it is the receipt).
    pub occurred_given: bool,
    /// When the transaction that recorded it was opened.
    pub received_at: DateTime<Utc>,
    /// The click it is credited to.
    pub attribution: Attribution,
    /// The merchant's object, as sent.
    pub metadata: Option<String>,
    /// The product sold.
    pub product_id: Option<ExternalId>,
    /// The coupon used.
    pub coupon_code: Option<ExternalId>,
    /// The idempotency key it came under.
    pub idempotency_key: Option<String>,
    /// How often it was received.
    pub times_received: i64,
    /// How often it was received with other content.
    pub times_differed: i64,
    /// When its metadata and body were erased on request (contract section 12).
    pub erased_at: Option<DateTime<Utc>>,
}

impl Recorded {
    /// What the store holds of an event that it did not know before.
    pub fn new(recording: &Recording, received_at: DateTime<Utc>) -> Self {
        let Callback { event, event_time, metadata, .. } = &recording.callback;
        let occurred_at = event_time.unwrap_or(received_at);
        Self {
            event_id: recording.event_id,
            name: event.name(),
            mode: recording.mode,
            order_id: event.order().clone(),
            external_id: event.external_id().cloned(),
            value: event.value(),
            occurred_at,
            occurred_given: event_time.is_some(),
            received_at,
            attribution: recording.attribution_at(occurred_at),
            metadata: metadata.clone(),
            product_id: event.product_id().cloned(),
            coupon_code: event.coupon_code().cloned(),
            idempotency_key: recording.idempotency_key.as_ref().map(|key| key.as_str().to_owned()),
            times_received: 1,
            times_differed: 0,
            erased_at: None,
        }
    }
}

impl Recording {
    fn attribution_at(&self, occurred_at: DateTime<Utc>) -> Attribution {
        match self.callback.event.name() {
            EventName::Lead | EventName::Sale => crate::domain::attribution::decide(
                &self.token,
                self.merchant.id,
                self.merchant.attribution_window,
                occurred_at,
            ),
            EventName::Refund | EventName::Cancellation | EventName::Reversal | EventName::StatusRefund => {
                Attribution::Inherited
            }
        }
    }
}

/// What became of a recording, once it is on disk.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was not known before.
    Accepted(Recorded),
    /// It was recorded before: a success.
    Duplicate {
        /// What is recorded.
        original: Recorded,
        /// In what this delivery differs from it.
        differs: Vec<Part>,
    },
    /// A refund that cannot be told from one recorded: nothing was written.
    RefundIdRequired,
}
