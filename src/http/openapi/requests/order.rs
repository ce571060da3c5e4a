//! The order dialect and reports of orders' statuses (contract 4.2, 6.3, 6.4).

use serde_json::{Value, json};

use super::{Member, about, absent, any_text, object};
use crate::domain::order_status::REASON_CHARS_MAX;
use crate::http::openapi::values::{
    Amount, Currency, ExternalId, Instant, Metadata, PROSE, ReportedStatus, nullable, reference,
};

/// The three bodies that name an `externalOrderId`.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("OrderEvent", order_event()),
        ("StatusReport", status("What an order has come to.", true)),
        (
            "TopicStatusReport",
            status(
                "What an order has come to. The topic tells the status; if the body does too, it must be the same.",
                false,
            ),
        ),
    ]
}

fn order_event() -> Value {
    let amount = |name: &str| json!({ "required": [name], "properties": { name: reference::<Amount>() } });
    let mut schema = object(
        "A sale in the order dialect. Identified by `externalOrderId`.",
        &["externalOrderId"],
        [
            ("externalOrderId", about(reference::<ExternalId>(), "The order, in the merchant's system.")),
            ("orderAmount", about(nullable::<Amount>(), "What was sold for.")),
            (
                "amount",
                about(nullable::<Amount>(), "Another name for `orderAmount`. Both must be the same number."),
            ),
            (
                "currency",
                about(
                    nullable::<Currency>(),
                    "The merchant's default currency unless given; required where it has none.",
                ),
            ),
            (
                "orderedAt",
                about(
                    nullable::<Instant>(),
                    "When it was ordered; unless given, when it is received. At most 5 minutes in the future.",
                ),
            ),
            (
                "orderStatus",
                about(
                    nullable::<ReportedStatus>(),
                    "What the order has come to, recorded as by `POST /api/v1/order-status` whatever becomes of the sale: \
                     the call may be repeated with a new one.",
                ),
            ),
            ("status", about(nullable::<ReportedStatus>(), "Another name for `orderStatus`.")),
            ("externalProductId", about(nullable::<ExternalId>(), "The product sold.")),
            ("couponCode", about(nullable::<ExternalId>(), "The coupon used.")),
            ("clickId", about(any_text(), "The click token. One that is of no use loses no event.")),
            ("nim_ct", about(any_text(), "Another name for `clickId`, which wins over it.")),
            ("metadata", nullable::<Metadata>()),
            ("event_name", absent("Of the canonical dialect: not beside `externalOrderId`.")),
        ],
    );
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("anyOf".to_owned(), json!([amount("orderAmount"), amount("amount")]));
    }
    schema
}

fn status(description: &str, must_tell: bool) -> Value {
    let (required, status): (&[&str], Value) = if must_tell {
        (&["externalOrderId", "status"], reference::<ReportedStatus>())
    } else {
        (&["externalOrderId"], nullable::<ReportedStatus>())
    };
    let properties: [Member; 7] = [
        ("externalOrderId", about(reference::<ExternalId>(), "The order, in the merchant's system.")),
        ("status", status),
        (
            "statusUpdatedAt",
            about(
                nullable::<Instant>(),
                "When it came to that, at most 5 minutes in the future. The same order and status at another instant is another report.",
            ),
        ),
        ("clickId", about(any_text(), "A click token: stored with the body, never used.")),
        ("nim_ct", about(any_text(), "Another name for `clickId`, which wins over it.")),
        (
            "reason",
            json!({
                "type": ["string", "null"], "maxLength": REASON_CHARS_MAX, "pattern": PROSE,
                "description": "Why, in the merchant's words: no control characters but tabs and line breaks.",
            }),
        ),
        ("metadata", nullable::<Metadata>()),
    ];
    object(description, required, properties)
}
