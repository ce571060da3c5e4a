//! Examples of orders.

use serde_json::{Value, json};

use super::answers::attributed;
use super::{Example, example};

fn order() -> Value {
    let event = |id: &str, name: &str, value: &str, at: &str| {
        json!({
            "type": "event",
            "event_id": id,
            "event_name": name,
            "external_id": null,
            "value": value,
            "currency": "USD",
            "occurred_at": at,
            "received_at": "2026-01-20T09:00:00.482913Z",
            "times_received": 1,
            "times_differed": 0,
        })
    };
    json!({
        "order_id": "ORD-1001",
        "mode": "live",
        "currency": "USD",
        "sold": "129.90",
        "refunded": "29.90",
        "net": "100.00",
        "other_refunds": [],
        "state": "partially_refunded",
        "flags": [],
        "attribution": attributed(),
        "timeline": [
            event("evt_01kf0w8s5kfyh8z0rff08k4yyf", "sale", "129.90", "2026-01-15T10:30:00Z"),
            {
                "type": "order_status",
                "order_status": "delivered",
                "status_updated_at": "2026-01-18T11:00:00Z",
                "reason": null,
                "received_at": "2026-01-18T11:00:02.104Z",
                "event_id": null,
            },
            event("evt_01kft3m0x2e86btrzkxeedq4gg", "refund", "29.90", "2026-01-20T08:59:58Z"),
        ],
        "timeline_truncated": false,
    })
}

fn awaiting_sale() -> Value {
    json!({
        "order_id": "ORD-1002",
        "mode": "live",
        "currency": null,
        "sold": null,
        "refunded": null,
        "net": null,
        "other_refunds": [{ "value": "5.00", "currency": "EUR" }],
        "state": "awaiting_sale",
        "flags": [],
        "attribution": null,
        "timeline": [],
        "timeline_truncated": false,
    })
}

/// One.
pub fn one() -> Vec<Example> {
    vec![
        example("partially_refunded", "A sale of which some was given back", order()),
        example("awaiting_sale", "A refund that came before its sale", awaiting_sale()),
    ]
}

/// Many.
pub fn pages() -> Vec<Example> {
    vec![
        example(
            "page",
            "A page, and where the next one begins",
            json!({ "data": [order()], "next_cursor": "q8u0V0x9mZcBmqgAjntyDL1j8-uc25IQ" }),
        ),
        example("nothing", "Nothing fits the query", json!({ "data": [], "next_cursor": null })),
    ]
}
