//! Examples of what the service answers, problems aside: those are made of the table of codes.

use serde_json::{Value, json};

use super::{Example, TOKEN, example};
use crate::http::api::answer::COLUMNS;
use crate::http::error::{Code, Problem};

const EVENT: &str = "evt_01kf0w8s5kfyh8z0rff08k4yyf";

/// An attribution to a click.
pub fn attributed() -> Value {
    json!({
        "status": "attributed",
        "click_id": "clk_01kam013kve86btrzkxeedq4gg",
        "url_id": "5894e3c0-4c60-468a-8b29-93495f1f9dcb",
        "domain_id": "3c7c83e0-0d94-4b41-afd2-a3b42a743fa3",
        "clicked_at": "2025-12-21T20:00:00.123Z",
    })
}

fn receipt(status: &str) -> Value {
    json!({
        "status": status,
        "event_id": EVENT,
        "event_name": "sale",
        "mode": "live",
        "order_id": "ORD-1001",
        "received_at": "2026-01-15T10:30:00.482913Z",
        "attribution": attributed(),
    })
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    if let Some(body) = body.as_object_mut() {
        body.insert(member.to_owned(), value);
    }
    body
}

/// Answers to one event.
pub fn receipts() -> Vec<Example> {
    vec![
        example("accepted", "Recorded now, and credited to a click", receipt("ACCEPTED")),
        example("duplicate", "Was recorded before: the original's answer", receipt("DUPLICATE")),
        example(
            "differs",
            "Was recorded before, with another amount: the first one stands",
            with(receipt("DUPLICATE"), "differs", json!(["/custom_data/value"])),
        ),
        example(
            "unattributed",
            "Recorded without a click, and why",
            with(
                receipt("ACCEPTED"),
                "attribution",
                json!({ "status": "unattributed", "reason": "no_token" }),
            ),
        ),
        example(
            "order_with_status",
            "The sale was known, the order's new status was not",
            with(receipt("DUPLICATE"), "order_status", json!({ "status": "ACCEPTED" })),
        ),
    ]
}

/// Answers to statuses.
pub fn statuses() -> Vec<Example> {
    let receipt = json!({ "status": "ACCEPTED", "order_id": "ORD-1001", "order_status": "delivered" });
    vec![
        example("delivered", "Recorded in the order's timeline", receipt),
        example(
            "returned",
            "Recorded, with the status refund that it is",
            json!({
                "status": "ACCEPTED",
                "order_id": "ORD-1005",
                "order_status": "returned",
                "event_id": "evt_01kft3m0x2e86btrzkxeedq4gg",
            }),
        ),
    ]
}

/// Answers to webhooks.
pub fn deliveries() -> Vec<Example> {
    vec![
        example("order-created", "A sale", receipt("ACCEPTED")),
        example(
            "order-paid",
            "A status",
            json!({ "status": "ACCEPTED", "order_id": "ORD-1010", "order_status": "paid" }),
        ),
    ]
}

/// The answer to a bulk request.
pub fn bulk() -> Vec<Example> {
    let row = |index: usize, idempotent: bool, body: Value| {
        with(with(body, "index", index.into()), "idempotent", idempotent.into())
    };
    let problem = serde_json::to_value(
        Problem::new(Code::MalformedJson, "the member name \"order_id\" appears twice in one object")
            .body("019a65f1c2a37b3e9d6a4f0e8c7b5a21"),
    );
    let rejected =
        json!({ "client_row_id": "r4", "status": "REJECTED", "problem": problem.unwrap_or_default() });
    vec![example(
        "results",
        "A row of each result",
        json!({
            "summary": { "accepted": 1, "duplicate": 1, "replayed": 1, "rejected": 1 },
            "results": [
                row(0, false, with(receipt("ACCEPTED"), "client_row_id", "r1".into())),
                row(1, false, with(receipt("DUPLICATE"), "client_row_id", "r2".into())),
                row(2, true, with(receipt("ACCEPTED"), "client_row_id", "r3".into())),
                row(3, false, rejected),
            ],
        }),
    )]
}

/// Answers to clicks.
pub fn clicks() -> Vec<Example> {
    let click = |members: Value| {
        let receipt = json!({ "click_id": "clk_01kam013kve86btrzkxeedq4gg", "nim_ct": TOKEN });
        let members = members.as_object().cloned().unwrap_or_default();
        members.into_iter().fold(receipt, |receipt, (member, value)| with(receipt, &member, value))
    };
    let landing = format!("https://shop.example/shoes?colour=red&nim_ct={TOKEN}#reviews");
    vec![
        example(
            "appended",
            "The token is in the landing URL",
            click(json!({ "landing_url": landing, "appended": true })),
        ),
        example(
            "left_alone",
            "One more parameter would break the landing URL: it is as it was",
            click(json!({
                "landing_url": "https://shop.example/file?X-Amz-Signature=3f2a9c0d",
                "appended": false,
                "reason": "signed_query",
            })),
        ),
        example("token", "No landing URL was given", click(json!({ "appended": false }))),
    ]
}

/// An event as it is read back.
pub fn events() -> Vec<Example> {
    vec![example("sale", "A sale that was delivered twice", event())]
}

fn event() -> Value {
    json!({
        "event_id": EVENT,
        "event_name": "sale",
        "mode": "live",
        "order_id": "ORD-1001",
        "received_at": "2026-01-15T10:30:00.482913Z",
        "attribution": attributed(),
        "external_id": null,
        "value": "129.90",
        "currency": "USD",
        "occurred_at": "2026-01-15T10:30:00Z",
        "times_received": 2,
        "times_differed": 0,
        "metadata": { "channel": "web" },
    })
}

/// Pages.
pub fn lists() -> Vec<Example> {
    vec![
        example(
            "page",
            "A page, and where the next one begins",
            json!({ "data": [event()], "next_cursor": "q8u0V0x9mZcBmqgAjntyDL1j8-uc25IQ" }),
        ),
        example("nothing", "Nothing fits the query", json!({ "data": [], "next_cursor": null })),
    ]
}

/// Exports as NDJSON.
pub fn ndjson() -> Vec<Example> {
    let end = |complete: bool| {
        format!(r#"{{"next_cursor":"q8u0V0x9mZcBmqgAjntyDL1j8-uc25IQ","complete":{complete}}}"#)
    };
    vec![
        example(
            "events",
            "An event, and where the next export begins",
            format!("{}\n{}\n", event(), end(false)).into(),
        ),
        example("nothing", "Nothing before `to` is left", format!("{}\n", end(true)).into()),
    ]
}

/// Exports as CSV.
pub fn csv() -> Vec<Example> {
    let event = format!(
        "{EVENT},sale,live,ORD-1001,2026-01-15T10:30:00.482913Z,unattributed,no_token,,,,,,129.90,USD,\
         2026-01-15T10:30:00Z,2,0,\"{{\"\"channel\"\":\"\"web\"\"}}\""
    );
    let lines =
        [COLUMNS.join(","), event, "#next_cursor,q8u0V0x9mZcBmqgAjntyDL1j8-uc25IQ,incomplete\n".to_owned()];
    vec![example("events", "An event, and where the next export begins", lines.join("\n").into())]
}

/// Pages of the journal.
pub fn attempts() -> Vec<Example> {
    let refused = json!({
        "attempt_id": "att_01k86r3hkvfyh8z0rff08k4yyf",
        "started_at": "2026-01-15T10:30:00.482913Z",
        "endpoint": "conversions",
        "peer": "198.51.100.7",
        "key_id": "ak_live_0123456789abcdefghijklmn",
        "request_id": "01a2015d2afb7c7e832ef814cb1f0d3f",
        "body_sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "body_bytes": 131,
        "outcome": "refused",
        "status": 401,
        "reason": "SIG_BAD_SIGNATURE",
        "error_pointer": null,
        "order_id": null,
        "event_id": null,
        "elapsed_us": 412,
        "authenticated": false,
    });
    vec![example(
        "page",
        "A request that was not signed rightly",
        json!({ "data": [refused], "next_cursor": null }),
    )]
}

/// The document, in short.
pub fn document() -> Vec<Example> {
    vec![example(
        "document",
        "Its outline",
        json!({ "openapi": "3.1.1", "info": {}, "paths": {}, "components": {} }),
    )]
}
