//! Business events: what a callback reports, whatever the dialect it is written in (contract
//! section 4).

mod canonical;
mod fields;
mod order_dialect;
mod order_hint;
mod parse;
mod recording;
mod token_hint;

pub use fields::{Errors, FUTURE_MAX, FieldError, Fields, METADATA_BYTES_MAX};
pub use order_hint::{order_hint, order_hint_of};
pub use parse::{ParseContext, Rejection, object, parse, read};
pub use recording::{Identity, Outcome, Recorded, Recording};
pub use token_hint::token_hint;

use chrono::{DateTime, Utc};

use super::ids::{ExternalId, InvalidId};
use super::money::Money;
use super::order_status::OrderStatus;

/// A callback's content, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Callback {
    /// What happened.
    pub event: Event,
    /// How it was written, for pointers in answers.
    pub dialect: Dialect,
    /// The click token as sent.
    pub token: Option<String>,
    /// When the merchant says it happened.
    pub event_time: Option<DateTime<Utc>>,
    /// The merchant's object, as sent.
    pub metadata: Option<String>,
    /// What the order has come to, where the order dialect tells it (contract 4.2).
    pub order_status: Option<OrderStatus>,
}

/// What happened, each kind with its own fields only.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Somebody showed interest.
    Lead(Lead),
    /// Somebody bought.
    Sale(Sale),
    /// Money went back, all of it or a part.
    Refund(Refund),
    /// The order was called off.
    Cancellation(Reversing),
    /// The whole sale was taken back (a chargeback).
    Reversal(Reversing),
    /// What a returned or refunded order says of itself; made of its status alone (contract 6.3).
    StatusRefund(Reversing),
}

/// A lead.
#[derive(Debug, Clone, PartialEq)]
pub struct Lead {
    /// What identifies it: the merchant's `external_id`, else `order_id`.
    pub id: ExternalId,
    /// The event's own id, where one was given.
    pub external_id: Option<ExternalId>,
    /// What it is worth to the merchant.
    pub value: Option<Money>,
}

/// A sale.
#[derive(Debug, Clone, PartialEq)]
pub struct Sale {
    /// The order: `order_id`, else `external_id`.
    pub order: ExternalId,
    /// The event's own id, where one was given.
    pub external_id: Option<ExternalId>,
    /// What was sold for.
    pub value: Money,
    /// `externalProductId` of the order dialect.
    pub product_id: Option<ExternalId>,
    /// `couponCode` of the order dialect.
    pub coupon_code: Option<ExternalId>,
}

/// A refund.
#[derive(Debug, Clone, PartialEq)]
pub struct Refund {
    /// The order refunded.
    pub order: ExternalId,
    /// Tells several refunds of an order apart.
    pub external_id: Option<ExternalId>,
    /// How much; `None` = everything.
    pub value: Option<Money>,
}

/// A cancellation or reversal.
#[derive(Debug, Clone, PartialEq)]
pub struct Reversing {
    /// The order called off or taken back.
    pub order: ExternalId,
    /// The event's own id, where one was given.
    pub external_id: Option<ExternalId>,
}

impl Event {
    /// The event's kind.
    pub const fn name(&self) -> EventName {
        match self {
            Self::Lead(_) => EventName::Lead,
            Self::Sale(_) => EventName::Sale,
            Self::Refund(_) => EventName::Refund,
            Self::Cancellation(_) => EventName::Cancellation,
            Self::Reversal(_) => EventName::Reversal,
            Self::StatusRefund(_) => EventName::StatusRefund,
        }
    }

    /// The order that the event belongs to (contract 4.3).
    pub fn order(&self) -> &ExternalId {
        match self {
            Self::Lead(lead) => &lead.id,
            Self::Sale(sale) => &sale.order,
            Self::Refund(refund) => &refund.order,
            Self::Cancellation(event) | Self::Reversal(event) | Self::StatusRefund(event) => &event.order,
        }
    }

    /// What tells several events of one kind and order apart; empty = there is only one.
    pub fn own_id(&self) -> &str {
        match self {
            Self::Refund(refund) => refund.external_id.as_ref().map_or("", ExternalId::as_str),
            Self::Lead(_)
            | Self::Sale(_)
            | Self::Cancellation(_)
            | Self::Reversal(_)
            | Self::StatusRefund(_) => "",
        }
    }

    /// The event's own id in the merchant's system.
    pub fn external_id(&self) -> Option<&ExternalId> {
        match self {
            Self::Lead(lead) => lead.external_id.as_ref(),
            Self::Sale(sale) => sale.external_id.as_ref(),
            Self::Refund(refund) => refund.external_id.as_ref(),
            Self::Cancellation(event) | Self::Reversal(event) | Self::StatusRefund(event) => {
                event.external_id.as_ref()
            }
        }
    }

    /// The money it is about.
    pub fn value(&self) -> Option<Money> {
        match self {
            Self::Lead(lead) => lead.value,
            Self::Sale(sale) => Some(sale.value),
            Self::Refund(refund) => refund.value,
            Self::Cancellation(_) | Self::Reversal(_) | Self::StatusRefund(_) => None,
        }
    }

    /// The product sold, where the dialect tells it.
    pub fn product_id(&self) -> Option<&ExternalId> {
        if let Self::Sale(sale) = self { sale.product_id.as_ref() } else { None }
    }

    /// The coupon used, where the dialect tells it.
    pub fn coupon_code(&self) -> Option<&ExternalId> {
        if let Self::Sale(sale) = self { sale.coupon_code.as_ref() } else { None }
    }
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventName {
    /// `lead`
    Lead,
    /// `sale`
    Sale,
    /// `refund`
    Refund,
    /// `cancellation`
    Cancellation,
    /// `reversal`
    Reversal,
    /// `status_refund`: never reported as such.
    StatusRefund,
}

impl EventName {
    /// Every kind, in the contract's order.
    pub const ALL: [Self; 6] =
        [Self::Lead, Self::Sale, Self::Refund, Self::Cancellation, Self::Reversal, Self::StatusRefund];

    /// What comes first of several that happened at one instant (contract section 12, `basis`).
    pub const fn rank(self) -> u8 {
        match self {
            Self::Lead => 0,
            Self::Sale => 1,
            Self::Refund => 2,
            Self::StatusRefund => 3,
            Self::Cancellation => 4,
            Self::Reversal => 5,
        }
    }

    /// The kind's name in callbacks, answers and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Sale => "sale",
            Self::Refund => "refund",
            Self::Cancellation => "cancellation",
            Self::Reversal => "reversal",
            Self::StatusRefund => "status_refund",
        }
    }
}

impl std::str::FromStr for EventName {
    type Err = InvalidId;

    fn from_str(name: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|event| event.as_str() == name)
            .ok_or(InvalidId("one of lead, sale, refund, cancellation, reversal, status_refund"))
    }
}

/// The two ways of writing a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `event_name` and `custom_data` (contract 4.1).
    Canonical,
    /// `externalOrderId` and `orderAmount` (contract 4.2).
    Order,
}

/// A part of a callback that a repeat may differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The amount.
    Value,
    /// Its currency.
    Currency,
    /// When it happened.
    EventTime,
    /// The event's own id.
    ExternalId,
    /// The click.
    Token,
    /// The product sold.
    ProductId,
    /// The coupon used.
    CouponCode,
    /// The merchant's object.
    Metadata,
}

impl Part {
    /// Where the part stands in a callback of this dialect (RFC 6901).
    pub const fn pointer(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Value, Dialect::Canonical) => "/custom_data/value",
            (Self::Value, Dialect::Order) => "/orderAmount",
            (Self::Currency, Dialect::Canonical) => "/custom_data/currency",
            (Self::Currency, Dialect::Order) => "/currency",
            (Self::EventTime, Dialect::Canonical) => "/event_time",
            (Self::EventTime, Dialect::Order) => "/orderedAt",
            (Self::ExternalId, _) => "/external_id",
            (Self::Token, Dialect::Canonical) => "/nim_ct",
            (Self::Token, Dialect::Order) => "/clickId",
            (Self::ProductId, _) => "/externalProductId",
            (Self::CouponCode, _) => "/couponCode",
            (Self::Metadata, _) => "/metadata",
        }
    }
}
