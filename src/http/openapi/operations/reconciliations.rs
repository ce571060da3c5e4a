//! `/api/v1/reconciliations`

use serde_json::{Value, json};

use super::body_limit;
use crate::domain::reconciliation::ROWS_MAX;
use crate::http::api::ReconciliationBody;
use crate::http::openapi::examples::reconciliations as examples;
use crate::http::openapi::headers::{REQUEST_ID, parameter};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::values::{Amount, Currency, ExternalId, Instant, OrderState, nullable, reference};
use crate::http::routes;
use crate::http::state::HttpLimits;

/// `POST`
pub fn reconcile(limits: &HttpLimits) -> Operation {
    Operation {
        path: routes::RECONCILIATIONS,
        method: "post",
        id: "reconcile",
        tag: Tag::Reading,
        summary: "Hold one's own books against what is recorded",
        description: format!(
            "Compares up to {ROWS_MAX} orders, whose sale happened within a period, with what is recorded: `value` with \
             `sold`, `net` with `net`, and the currency and the state where they are given. Nothing is written. A row \
             that cannot be read is told, the rest is compared. The period is half-open and stands in the body, or in \
             the query beside NDJSON and CSV. {}",
            body_limit(limits.reconciliation_body_bytes_max)
        ),
        causes: &[Cause::Request, Cause::Signed, Cause::Body],
        parameters: parameters(),
        bodies: bodies(),
        answers: vec![Answer {
            status: 200,
            description: "What differs.",
            headers: &[],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<ReconciliationBody<'_>>(),
                examples: examples::answers(),
            }),
        }],
    }
}

fn parameters() -> Vec<Value> {
    let period = |name: &str, description: &str| json!({ "name": name, "in": "query", "description": description, "schema": reference::<Instant>() });
    vec![
        period("from", "Where the period begins; with NDJSON and CSV, and required there."),
        period("to", "Where it ends; likewise."),
        parameter(REQUEST_ID),
    ]
}

fn bodies() -> Vec<Content> {
    let row = json!({
        "type": "object",
        "required": ["order_id"],
        "properties": {
            "order_id": reference::<ExternalId>(),
            "value": nullable::<Amount>(),
            "net": nullable::<Amount>(),
            "currency": nullable::<Currency>(),
            "state": nullable::<OrderState>(),
        },
    });
    vec![
        Content {
            media_type: "application/json",
            schema: json!({
                "type": "object",
                "required": ["from", "to", "rows"],
                "properties": {
                    "from": reference::<Instant>(),
                    "to": reference::<Instant>(),
                    "rows": { "type": "array", "maxItems": ROWS_MAX, "items": row },
                },
            }),
            examples: examples::json(),
        },
        Content {
            media_type: "application/x-ndjson",
            schema: json!({
                "type": "string", "pattern": "[^ \\t\\r\\n\\f]",
                "description": "One row a line; empty lines are skipped.",
                "x-line-schema": row,
            }),
            examples: examples::ndjson(),
        },
        Content {
            media_type: "text/csv",
            schema: json!({
                "type": "string", "pattern": "[^ \\t\\r\\n\\f]",
                "description": "RFC 4180. The first line names the columns: `order_id`, and of `value`, `net`, \
                                `currency` and `state` those that are to be compared; others are skipped, and so \
                                are empty cells.",
            }),
            examples: examples::csv(),
        },
    ]
}
