//! `/api/v1/conversions/bulk`

use serde_json::json;

use super::body_limit;
use crate::http::api::bulk_answer::BulkAnswer;
use crate::http::openapi::examples::{answers, requests};
use crate::http::openapi::headers::{
    EXTERNAL_EVENT_ID, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_ALIAS, REQUEST_ID, parameter,
};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::requests::component;
use crate::http::openapi::values::reference;
use crate::http::routes;
use crate::http::state::HttpLimits;

/// `POST`
pub fn create(limits: &HttpLimits) -> Operation {
    Operation {
        path: routes::BULK,
        method: "post",
        id: "createConversions",
        tag: Tag::Reporting,
        summary: "Report many events",
        description: format!(
            "Records 1 to {} events, one row each, in one transaction. Each row has a result of its own: a row that is \
             refused does not keep the others back. If the transaction cannot commit, the whole answer is 503 and nothing \
             was recorded; so a 200 holds no row that could be sent again unchanged. It costs one request of the rate \
             limit. {}",
            limits.bulk_rows_max,
            body_limit(limits.bulk_body_bytes_max)
        ),
        causes: &[Cause::Request, Cause::Signed, Cause::Writes],
        parameters: [REQUEST_ID, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_ALIAS, EXTERNAL_EVENT_ID]
            .map(parameter)
            .into(),
        bodies: vec![
            Content {
                media_type: "application/json",
                schema: component("BulkRequest"),
                examples: requests::bulk(),
            },
            Content {
                media_type: "application/x-ndjson",
                schema: json!({
                    "type": "string", "pattern": "[^ \\t\\r\\n\\f]",
                    "description": "One row (`BulkRow`) a line, at least one; empty lines are skipped.",
                    "x-line-schema": component("BulkRow"),
                }),
                examples: requests::ndjson(),
            },
        ],
        answers: vec![Answer {
            status: 200,
            description: "Each row's result, in order. Rows called `ACCEPTED` or `DUPLICATE` are recorded, durably, once.",
            headers: &["Idempotent-Replayed"],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<BulkAnswer<'_>>(),
                examples: answers::bulk(),
            }),
        }],
    }
}
