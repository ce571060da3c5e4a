//! Orders as callers read them (contract sections 9 and 10).

use schemars::JsonSchema;
use serde::Serialize;

use super::answer::AttributionBody;
use crate::domain::ids::ExternalId;
use crate::domain::instant;
use crate::domain::money::Total;
use crate::domain::order::{Flag, Moment, Order};
use crate::http::openapi::values;

/// An order, by its events alone: any order of their arrival and any repetition gives the same.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Order")]
pub struct OrderBody<'a> {
    /// The order.
    #[schemars(with = "values::ExternalId")]
    order_id: &'a str,
    #[schemars(with = "values::Mode")]
    mode: &'static str,
    /// The sale's currency, which `sold`, `refunded` and `net` are in. `null` without a sale.
    #[schemars(with = "Option<values::CurrencyCode>")]
    currency: Option<&'static str>,
    /// The sale's value; `null` without a sale.
    #[schemars(with = "Option<values::Sum>")]
    sold: Option<String>,
    /// What was given back; `null` without a sale.
    #[schemars(with = "Option<values::Sum>")]
    refunded: Option<String>,
    /// What remains: 0 if cancelled or reversed; `null` without a sale.
    #[schemars(with = "Option<values::Sum>")]
    net: Option<String>,
    /// Refunds that enter no figure: in another currency than the sale's, or without a sale. One sum per
    /// currency.
    other_refunds: Vec<RefundSum>,
    #[schemars(with = "values::OrderState")]
    state: &'static str,
    /// What somebody should look at.
    #[schemars(with = "Vec<values::OrderFlag>")]
    flags: Vec<&'static str>,
    /// The sale's attribution, which everything that takes the sale back inherits; `null` without a sale.
    attribution: Option<AttributionBody<'a>>,
    /// What happened, the earliest first: up to 1,000 moments, in lists up to 100.
    timeline: Vec<MomentBody<'a>>,
    /// Whether there is more than the timeline holds; the figures are of everything.
    timeline_truncated: bool,
}

/// Refunds of one currency, added up.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct RefundSum {
    #[schemars(with = "values::Sum")]
    value: String,
    #[schemars(with = "values::CurrencyCode")]
    currency: &'static str,
}

/// Something that happened to an order.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(rename = "OrderMoment")]
enum MomentBody<'a> {
    /// An event was recorded.
    Event(EventMoment<'a>),
    /// The merchant reported a state.
    OrderStatus(StatusMoment<'a>),
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct EventMoment<'a> {
    #[schemars(with = "values::EventId")]
    event_id: String,
    #[schemars(with = "values::EventName")]
    event_name: &'static str,
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
    /// When it was recorded.
    #[schemars(with = "values::UtcInstant")]
    received_at: String,
    /// How often it was delivered, the first time included.
    #[schemars(range(min = 1))]
    times_received: i64,
    /// How often it was delivered with other content.
    #[schemars(range(min = 0))]
    times_differed: i64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct StatusMoment<'a> {
    #[schemars(with = "values::OrderStatus")]
    order_status: &'static str,
    /// Since when, by the merchant.
    #[schemars(with = "Option<values::UtcInstant>")]
    status_updated_at: Option<String>,
    /// Why, in the merchant's words.
    reason: Option<&'a str>,
    /// When it was recorded.
    #[schemars(with = "values::UtcInstant")]
    received_at: String,
    /// The cancellation or status refund that the state is; `null` where it is none.
    #[schemars(with = "Option<values::EventId>")]
    event_id: Option<String>,
}

impl<'a> OrderBody<'a> {
    /// The whole order.
    pub fn of(order: &'a Order) -> Self {
        let figures = &order.figures;
        let text = |total: &Option<Total>| total.map(|total| total.to_string());
        Self {
            order_id: order.id.as_str(),
            mode: order.mode.as_str(),
            currency: figures.currency.map(|currency| currency.code()),
            sold: text(&figures.sold),
            refunded: text(&figures.refunded),
            net: text(&figures.net),
            other_refunds: figures.other_refunds.iter().map(RefundSum::of).collect(),
            state: figures.state.as_str(),
            flags: figures.flags.iter().copied().map(Flag::as_str).collect(),
            attribution: order.attribution.as_ref().map(AttributionBody::of),
            timeline: order.timeline.moments.iter().map(MomentBody::of).collect(),
            timeline_truncated: order.timeline.truncated,
        }
    }
}

impl RefundSum {
    fn of(total: &Total) -> Self {
        Self { value: total.to_string(), currency: total.currency.code() }
    }
}

impl<'a> MomentBody<'a> {
    fn of(moment: &'a Moment) -> Self {
        match moment {
            Moment::Event {
                event_id,
                name,
                external_id,
                value,
                occurred_at,
                received_at,
                times_received,
                times_differed,
            } => Self::Event(EventMoment {
                event_id: event_id.to_string(),
                event_name: name.as_str(),
                external_id: external_id.as_ref().map(ExternalId::as_str),
                value: value.map(|value| value.to_string()),
                currency: value.map(|value| value.currency().code()),
                occurred_at: instant::format(*occurred_at),
                received_at: instant::format(*received_at),
                times_received: *times_received,
                times_differed: *times_differed,
            }),
            Moment::Status { status, updated_at, reason, received_at, event_id } => {
                Self::OrderStatus(StatusMoment {
                    order_status: status.as_str(),
                    status_updated_at: updated_at.map(instant::format),
                    reason: reason.as_deref(),
                    received_at: instant::format(*received_at),
                    event_id: event_id.map(|event| event.to_string()),
                })
            }
        }
    }
}
