//! Examples of what callers send.

use serde_json::{Value, json};

use super::{Example, TOKEN, example};

/// One event, of each kind and dialect.
pub fn events() -> Vec<Example> {
    vec![
        example("sale", "A sale with its click token", sale("ORD-1001")),
        example(
            "lead",
            "A lead",
            json!({
                "event_name": "lead",
                "external_id": "LEAD-2001",
                "event_time": "2026-01-15T09:12:00Z",
                "nim_ct": TOKEN,
                "metadata": { "form": "newsletter" },
            }),
        ),
        example("refund", "A part of the money went back", refund("ORD-1001", "REF-3001")),
        example(
            "refund_everything",
            "All the money went back",
            json!({
                "event_name": "refund",
                "external_id": "REF-3002",
                "event_time": "2026-01-20T16:45:00Z",
                "custom_data": { "related_order_id": "ORD-1002" },
            }),
        ),
        example(
            "cancellation",
            "The order was called off",
            json!({
                "event_name": "cancellation",
                "event_time": "2026-01-16T08:00:00Z",
                "custom_data": { "related_order_id": "ORD-1003" },
            }),
        ),
        example(
            "reversal",
            "The whole sale was taken back (a chargeback)",
            json!({
                "event_name": "reversal",
                "event_time": "2026-02-27T11:00:00+01:00",
                "custom_data": { "related_order_id": "ORD-1004" },
            }),
        ),
        example("order", "A sale in the order dialect", order("ORD-1005")),
        example(
            "order_with_status",
            "A sale in the order dialect, and what the order has come to",
            json!({
                "externalOrderId": "ORD-1006",
                "orderAmount": 1580,
                "currency": "JPY",
                "orderedAt": "2026-01-15T19:30:00+09:00",
                "orderStatus": "paid",
            }),
        ),
    ]
}

/// A sale in the canonical dialect.
fn sale(order: &str) -> Value {
    json!({
        "event_name": "sale",
        "nim_ct": TOKEN,
        "event_time": "2026-01-15T10:30:00Z",
        "custom_data": { "order_id": order, "value": "129.90", "currency": "USD" },
        "metadata": { "channel": "web" },
    })
}

fn refund(order: &str, id: &str) -> Value {
    json!({
        "event_name": "refund",
        "external_id": id,
        "event_time": "2026-01-20T16:45:00Z",
        "custom_data": { "related_order_id": order, "value": "29.90", "currency": "USD" },
    })
}

/// A sale in the order dialect.
fn order(id: &str) -> Value {
    json!({
        "externalOrderId": id,
        "orderAmount": "129.90",
        "currency": "USD",
        "clickId": TOKEN,
        "orderedAt": "2026-01-15T10:30:00Z",
        "externalProductId": "SKU-77",
        "couponCode": "WINTER",
    })
}

/// What orders have come to.
pub fn statuses() -> Vec<Example> {
    vec![
        example(
            "delivered",
            "The order was delivered",
            json!({
                "externalOrderId": "ORD-1001",
                "status": "delivered",
                "statusUpdatedAt": "2026-01-18T14:05:00Z",
            }),
        ),
        example(
            "returned",
            "The goods came back: also a status refund",
            json!({
                "externalOrderId": "ORD-1005",
                "status": "returned",
                "statusUpdatedAt": "2026-01-25T09:00:00Z",
                "reason": "wrong size",
                "metadata": { "rma": "RMA-17" },
            }),
        ),
    ]
}

/// Clicks. A merchant is known only where it was made.
pub fn clicks() -> Vec<Example> {
    let click = json!({
        "merchant_id": "mer_01kam013kve86btrzkxeedq4gg",
        "domain_id": "3c7c83e0-0d94-4b41-afd2-a3b42a743fa3",
        "url_id": "5894e3c0-4c60-468a-8b29-93495f1f9dcb",
    });
    let with = |members: Value| {
        let mut click = click.clone();
        if let (Some(click), Value::Object(members)) = (click.as_object_mut(), members) {
            click.extend(members);
        }
        click
    };
    vec![
        example(
            "click",
            "A click now, and where the visitor is to land",
            with(json!({ "destination": "https://shop.example/shoes?colour=red#reviews" })),
        ),
        example(
            "signed_url",
            "A landing URL that one more parameter would break",
            with(json!({ "destination": "https://shop.example/file?X-Amz-Signature=3f2a9c0d" })),
        ),
        example(
            "earlier",
            "A click of before, without a landing URL",
            with(json!({ "clicked_at": "2025-12-21T20:00:00.123Z" })),
        ),
    ]
}

/// Webhooks; each example is named as its topic.
pub fn deliveries() -> Vec<Example> {
    let status = |order: &str, status: &str| json!({ "externalOrderId": order, "status": status, "statusUpdatedAt": "2026-01-18T14:05:00Z" });
    vec![
        example("order-created", "A sale", order("ORD-1010")),
        example(
            "order-paid",
            "The order was paid; the topic tells so",
            json!({ "externalOrderId": "ORD-1010" }),
        ),
        example("order-delivered", "The order was delivered", status("ORD-1010", "delivered")),
        example("order-cancelled", "The order was called off", status("ORD-1011", "cancelled")),
        example("order-returned", "The goods came back", status("ORD-1012", "returned")),
        example("order-refunded", "The money went back", status("ORD-1013", "refunded")),
    ]
}

/// The rows of both bulk examples: one of each result.
fn rows() -> [Value; 4] {
    let row = |mut event: Value, id: &str, key: Option<&str>| {
        if let Some(event) = event.as_object_mut() {
            event.insert("client_row_id".to_owned(), id.into());
            if let Some(key) = key {
                event.insert("idempotency_key".to_owned(), key.into());
            }
        }
        event
    };
    [
        row(sale("ORD-1020"), "r1", Some("ORD-1020-sale")),
        row(refund("ORD-1020", "REF-3020"), "r2", None),
        row(order("ORD-1020"), "r3", None),
        row(sale("ORD-1020"), "r4", Some("ORD-1020-sale")),
    ]
}

/// Many events as JSON.
pub fn bulk() -> Vec<Example> {
    vec![example("rows", "A sale, its refund, and the sale twice more", json!({ "rows": rows() }))]
}

/// Many events, one a line.
pub fn ndjson() -> Vec<Example> {
    let lines: String = rows().iter().map(|row| format!("{row}\n")).collect();
    vec![example("lines", "The same, one row a line", lines.into())]
}
