//! Examples of books, and of what comes out of them.

use serde_json::json;

use super::{Example, example};

/// As JSON.
pub fn json() -> Vec<Example> {
    vec![example(
        "november",
        "What was sold in November",
        json!({
            "from": "2026-11-01T00:00:00Z",
            "to": "2026-12-01T00:00:00Z",
            "rows": [
                { "order_id": "ORD-1001", "value": "129.90", "net": "100.00", "currency": "USD" },
                { "order_id": "ORD-1002", "value": "19.00", "currency": "USD", "state": "open" },
            ],
        }),
    )]
}

/// A row a line.
pub fn ndjson() -> Vec<Example> {
    let lines = "{\"order_id\":\"ORD-1001\",\"value\":\"129.90\"}\n{\"order_id\":\"ORD-1002\"}\n";
    vec![example("rows", "Two orders", lines.into())]
}

/// As CSV.
pub fn csv() -> Vec<Example> {
    let lines = "order_id,value,currency\nORD-1001,129.90,USD\nORD-1002,19.00,USD\n";
    vec![example("rows", "Two orders", lines.into())]
}

/// What comes out.
pub fn answers() -> Vec<Example> {
    let summary = |matched: u64, missing: u64, amounts: u64| {
        json!({
            "compared": 2, "matched": matched, "missing_here": missing, "missing_there": 0,
            "amount_differs": amounts, "currency_differs": 0, "state_differs": 0, "unreadable": 0,
        })
    };
    vec![
        example(
            "agrees",
            "The books agree",
            json!({ "summary": summary(2, 0, 0), "differences": [], "differences_omitted": 0, "unreadable": [] }),
        ),
        example(
            "differs",
            "An order is missing here, and why; an amount differs",
            json!({
                "summary": summary(0, 1, 1),
                "differences": [
                    {
                        "order_id": "ORD-1001", "kind": "amount_differs", "field": "net",
                        "here": "129.90", "there": "100.00",
                    },
                    {
                        "order_id": "ORD-1002", "kind": "missing_here",
                        "reason": "attempt att_01k86r3hkvfyh8z0rff08k4yyf was refused 422 validation_failed \
                                   /custom_data/value at 2026-11-03T10:00:00Z",
                    },
                ],
                "differences_omitted": 0,
                "unreadable": [],
            }),
        ),
    ]
}
