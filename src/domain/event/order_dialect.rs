//! The order dialect (contract 4.2): it reports a sale.

use super::fields::{Errors, Fields};
use super::parse::ParseContext;
use super::{Callback, Dialect, Event, Sale};
use crate::domain::json::Object;
use crate::domain::money::Money;
use crate::domain::order_status::OrderStatus;

/// Reads the object, or notes what is wrong with it.
pub fn read(object: &Object<'_>, context: &ParseContext, errors: &Errors) -> Option<Callback> {
    let top = Fields::new(Some(object), "", errors);
    let order = top.id("externalOrderId");
    let value = money(&top, context);
    let alias = top.text("nim_ct");
    let token = top.text("clickId").or(alias).map(str::to_owned);
    let event_time = top.event_time("orderedAt", context.now);
    let product_id = top.id("externalProductId");
    let coupon_code = top.id("couponCode");
    let metadata = top.metadata("metadata");
    let order_status = status(&top);
    let sale = Sale { order: order?, external_id: None, value: value?, product_id, coupon_code };
    Some(Callback {
        event: Event::Sale(sale),
        dialect: Dialect::Order,
        token,
        event_time,
        metadata,
        order_status,
    })
}

/// `orderStatus`, or its alias `status`: `/order-status` reads `status`, so a body means the same there and
/// here, wherever somebody else sends it.
fn status(top: &Fields<'_, '_>) -> Option<OrderStatus> {
    let (own, alias) = (top.order_status("orderStatus"), top.order_status("status"));
    if own.zip(alias).is_some_and(|(own, alias)| own != alias) {
        top.error("status", "conflict", "differs from orderStatus");
    }
    own.or(alias)
}

fn money(top: &Fields<'_, '_>, context: &ParseContext) -> Option<Money> {
    let name = if top.has("orderAmount") { "orderAmount" } else { "amount" };
    if !top.has(name) {
        top.required("orderAmount", "is required (or amount)");
    }
    let decimal = top.decimal(name);
    let alias = if name == "orderAmount" { top.decimal("amount") } else { None };
    if let (Some(amount), Some(alias)) = (decimal, alias)
        && !amount.same_number(alias)
    {
        top.error("amount", "conflict", "differs from orderAmount");
    }
    let currency = if top.has("currency") {
        top.currency("currency")
    } else {
        if context.default_currency.is_none() {
            top.required("currency", "is required: the merchant has no default currency");
        }
        context.default_currency
    };
    // The alias is an amount like any other, even where it says the same.
    if let (Some(alias), Some(currency)) = (alias, currency) {
        top.money("amount", alias, currency);
    }
    top.money(name, decimal?, currency?)
}
