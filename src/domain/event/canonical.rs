//! The canonical dialect (contract 4.1).

use super::fields::{Errors, Fields};
use super::parse::ParseContext;
use super::{Callback, Dialect, Event, EventName, Lead, Refund, Reversing, Sale};
use crate::domain::ids::ExternalId;
use crate::domain::json::Object;
use crate::domain::money::Money;

/// Reads the object, or notes what is wrong with it.
pub fn read(object: &Object<'_>, context: &ParseContext, errors: &Errors) -> Option<Callback> {
    let top = Fields::new(Some(object), "", errors);
    let name = event_name(&top);
    let alias = top.text("click_id");
    let token = top.text("nim_ct").or(alias).map(str::to_owned);
    let event_time = top.event_time("event_time", context.now);
    let metadata = top.metadata("metadata");
    let custom = Fields::new(top.object("custom_data"), "/custom_data", errors);
    let ids = Ids {
        external_id: top.id("external_id"),
        order_id: custom.id("order_id"),
        related_order_id: custom.id("related_order_id"),
    };
    let event = match name? {
        EventName::Lead => lead(&top, &custom, ids).map(Event::Lead),
        EventName::Sale => sale(&top, &custom, ids).map(Event::Sale),
        EventName::Refund => refund(&custom, ids).map(Event::Refund),
        EventName::Cancellation => reversing(&custom, ids).map(Event::Cancellation),
        EventName::Reversal => reversing(&custom, ids).map(Event::Reversal),
        EventName::StatusRefund => None,
    };
    let dialect = Dialect::Canonical;
    Some(Callback { event: event?, dialect, token, event_time, metadata, order_status: None })
}

struct Ids {
    external_id: Option<ExternalId>,
    order_id: Option<ExternalId>,
    related_order_id: Option<ExternalId>,
}

fn event_name(top: &Fields<'_, '_>) -> Option<EventName> {
    let parsed = top.text("event_name")?.parse().ok().filter(|name| *name != EventName::StatusRefund);
    if parsed.is_none() {
        let wanted = "must be one of lead, sale, refund, cancellation, reversal";
        top.error("event_name", "unknown_value", wanted);
    }
    parsed
}

fn lead(top: &Fields<'_, '_>, custom: &Fields<'_, '_>, ids: Ids) -> Option<Lead> {
    let value = optional_money(custom);
    let id = ids.external_id.clone().or(ids.order_id);
    if id.is_none() && !custom.has("order_id") {
        top.required("external_id", "is required for a lead (or custom_data.order_id)");
    }
    Some(Lead { id: id?, external_id: ids.external_id, value })
}

fn sale(top: &Fields<'_, '_>, custom: &Fields<'_, '_>, ids: Ids) -> Option<Sale> {
    custom.required("value", "is required for a sale");
    custom.required("currency", "is required for a sale");
    let value = money(custom);
    let order = ids.order_id.or_else(|| ids.external_id.clone());
    if order.is_none() && !top.has("external_id") {
        custom.required("order_id", "is required for a sale (or external_id)");
    }
    Some(Sale {
        order: order?,
        external_id: ids.external_id,
        value: value?,
        product_id: None,
        coupon_code: None,
    })
}

fn refund(custom: &Fields<'_, '_>, ids: Ids) -> Option<Refund> {
    let value = optional_money(custom);
    Some(Refund { order: related(custom, ids.related_order_id)?, external_id: ids.external_id, value })
}

fn reversing(custom: &Fields<'_, '_>, ids: Ids) -> Option<Reversing> {
    for name in ["value", "currency"] {
        if custom.has(name) {
            custom.error(name, "not_allowed", "is not allowed here: to give back a part, send a refund");
        }
    }
    Some(Reversing { order: related(custom, ids.related_order_id)?, external_id: ids.external_id })
}

fn related(custom: &Fields<'_, '_>, order: Option<ExternalId>) -> Option<ExternalId> {
    let hint =
        if custom.has("order_id") { ": order_id names a sale, send it as related_order_id" } else { "" };
    custom.required("related_order_id", &format!("is required: the order that this event is about{hint}"));
    order
}

/// Both or neither.
fn optional_money(custom: &Fields<'_, '_>) -> Option<Money> {
    if custom.has("value") {
        custom.required("currency", "is required beside value");
    }
    if custom.has("currency") {
        custom.required("value", "is required beside currency");
    }
    money(custom)
}

fn money(custom: &Fields<'_, '_>) -> Option<Money> {
    let (decimal, currency) = (custom.decimal("value"), custom.currency("currency"));
    custom.money("value", decimal?, currency?)
}
