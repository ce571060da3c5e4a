//! Events as callers read them (contract sections 4.4 and 9).
//!
//! The schemas in `/openapi.json` are derived from these structs, and their comments are read there.

mod columns;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::attribution::Attribution;
use crate::domain::event::Recorded;
use crate::domain::ids::ExternalId;
use crate::domain::instant;
use crate::domain::submission::StatusOutcome;
use crate::http::openapi::values;

pub use columns::{COLUMNS, NUMBERS};

/// An event is recorded, durably, once.
#[derive(Serialize, JsonSchema)]
pub struct Receipt<'a> {
    #[schemars(with = "values::RecordedWord")]
    status: &'static str,
    #[serde(flatten)]
    event: Summary<'a>,
    /// In what a `DUPLICATE` differs from the event recorded: pointers (RFC 6901) into its body. The
    /// first one stands. Absent where it differs in nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<values::Pointer>", length(min = 1))]
    differs: Option<Vec<&'static str>>,
    /// What became of the `orderStatus` that came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "StatusWord")]
    order_status: Option<StatusWord>,
}

/// What became of a status that an event told.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct StatusWord {
    #[schemars(with = "values::RecordedWord")]
    status: &'static str,
}

/// An order's status is recorded, durably, once.
#[derive(Serialize, JsonSchema)]
pub struct StatusReceipt<'a> {
    #[schemars(with = "values::RecordedWord")]
    status: &'static str,
    /// The order.
    #[schemars(with = "values::ExternalId")]
    order_id: &'a str,
    #[schemars(with = "values::OrderStatus")]
    order_status: &'static str,
    /// The cancellation or status refund that the status is. Absent where it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "values::EventId")]
    event_id: Option<String>,
}

/// What receipts and events have in common.
#[derive(Serialize, JsonSchema)]
pub struct Summary<'a> {
    #[schemars(with = "values::EventId")]
    event_id: Cow<'a, str>,
    #[schemars(with = "values::EventName")]
    event_name: &'a str,
    #[schemars(with = "values::Mode")]
    mode: &'static str,
    /// The order that the event belongs to; of a lead its `external_id`, else its `order_id`.
    #[schemars(with = "values::ExternalId")]
    order_id: &'a str,
    /// When the transaction that recorded it was opened.
    #[schemars(with = "values::UtcInstant")]
    received_at: String,
    attribution: AttributionBody<'a>,
}

/// An event as it is read back.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RecordedEvent")]
pub struct EventBody<'a> {
    #[serde(flatten)]
    event: Summary<'a>,
    /// The event's own id in the merchant's system, where one was given.
    #[schemars(with = "Option<values::ExternalId>")]
    external_id: Option<&'a str>,
    /// The money it is about, where it is about any. Of a refund `null` means everything.
    #[schemars(with = "Option<values::Decimal>")]
    value: Option<String>,
    /// The currency of `value`.
    #[schemars(with = "Option<values::CurrencyCode>")]
    currency: Option<&'static str>,
    /// When the merchant says it happened; without its word, when it was received.
    #[schemars(with = "values::UtcInstant")]
    occurred_at: String,
    /// How often it was delivered, the first time included.
    #[schemars(range(min = 1))]
    times_received: i64,
    /// How often it was delivered with other content.
    #[schemars(range(min = 0))]
    times_differed: i64,
    /// The merchant's own object, as it was sent, unless it was erased.
    #[schemars(with = "Option<values::Metadata>")]
    metadata: Option<&'a RawValue>,
}

/// Which click the event is credited to.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "lowercase")]
#[schemars(rename = "Attribution")]
pub enum AttributionBody<'a> {
    /// Credited to a click.
    Attributed(LinkBody<'a>),
    /// Recorded without a click, and why.
    Unattributed {
        #[schemars(with = "values::UnattributedReason")]
        reason: &'a str,
    },
    /// A refund, cancellation or reversal: always its order's sale's.
    Inherited,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct LinkBody<'a> {
    /// The click.
    #[schemars(with = "values::ClickId")]
    click_id: Cow<'a, str>,
    /// The short link that was clicked.
    #[schemars(with = "values::LinkId")]
    url_id: Cow<'a, str>,
    /// Its domain.
    #[schemars(with = "values::LinkId")]
    domain_id: Cow<'a, str>,
    /// When it was clicked.
    #[schemars(with = "values::UtcInstant")]
    clicked_at: String,
}

impl<'a> Receipt<'a> {
    /// The answer to the first delivery.
    pub fn accepted(event: &'a Recorded, status: Option<&StatusOutcome>) -> Self {
        let order_status = status.map(StatusWord::of);
        Self { status: ACCEPTED, event: Summary::of(event), differs: None, order_status }
    }

    /// The answer to a repeat: the original's, and in what this one differs from it.
    pub fn duplicate(
        original: &'a Recorded,
        differs: Vec<&'static str>,
        status: Option<&StatusOutcome>,
    ) -> Self {
        let differs = (!differs.is_empty()).then_some(differs);
        let order_status = status.map(StatusWord::of);
        Self { status: DUPLICATE, event: Summary::of(original), differs, order_status }
    }
}

/// Recorded now.
pub const ACCEPTED: &str = "ACCEPTED";
/// Recorded before.
pub const DUPLICATE: &str = "DUPLICATE";

impl StatusWord {
    const fn of(outcome: &StatusOutcome) -> Self {
        Self { status: if outcome.accepted { ACCEPTED } else { DUPLICATE } }
    }
}

impl<'a> StatusReceipt<'a> {
    /// The answer to a status, new or known.
    pub fn of(outcome: &'a StatusOutcome) -> Self {
        Self {
            status: StatusWord::of(outcome).status,
            order_id: outcome.order.as_str(),
            order_status: outcome.status.as_str(),
            event_id: outcome.event.map(|event| event.to_string()),
        }
    }
}

impl<'a> Summary<'a> {
    fn of(event: &'a Recorded) -> Self {
        Self {
            event_id: event.event_id.to_string().into(),
            event_name: event.name.as_str(),
            mode: event.mode.as_str(),
            order_id: event.order_id.as_str(),
            received_at: instant::format(event.received_at),
            attribution: AttributionBody::of(&event.attribution),
        }
    }
}

impl<'a> EventBody<'a> {
    /// The whole event.
    pub fn of(event: &'a Recorded) -> Self {
        Self {
            event: Summary::of(event),
            external_id: event.external_id.as_ref().map(ExternalId::as_str),
            value: event.value.map(|value| value.to_string()),
            currency: event.value.map(|value| value.currency().code()),
            occurred_at: instant::format(event.occurred_at),
            times_received: event.times_received,
            times_differed: event.times_differed,
            metadata: event.metadata.as_deref().and_then(raw),
        }
    }
}

/// A merchant's object, as it was sent.
fn raw(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

impl AttributionBody<'_> {
    /// What was decided.
    pub fn of(attribution: &Attribution) -> Self {
        match attribution {
            Attribution::Attributed(link) => Self::Attributed(LinkBody {
                click_id: link.click_id.to_string().into(),
                url_id: link.url_id.to_string().into(),
                domain_id: link.domain_id.to_string().into(),
                clicked_at: instant::format(link.clicked_at),
            }),
            Attribution::Unattributed(reason) => Self::Unattributed { reason: reason.as_str() },
            Attribution::Inherited => Self::Inherited,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::attribution::{Link, Unattributed};
    use crate::domain::ids::ClickId;

    #[test]
    fn an_attribution_is_called_the_same_in_answers_and_in_the_store() {
        let (click_id, id) = (ClickId::from_uuid(Uuid::nil()), Uuid::nil());
        let link = Link { click_id, url_id: id, domain_id: id, clicked_at: Default::default() };
        let every = [
            Attribution::Attributed(link),
            Attribution::Unattributed(Unattributed::NoToken),
            Attribution::Inherited,
        ];
        for (attribution, name) in every.into_iter().zip(Attribution::STATUSES) {
            let body = serde_json::to_value(AttributionBody::of(&attribution)).unwrap();
            assert_eq!((body["status"].as_str(), attribution.status()), (Some(name), name));
        }
    }
}
