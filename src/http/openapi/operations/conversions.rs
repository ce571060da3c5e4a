//! `/api/v1/conversions`

use serde_json::{Value, json};

use super::body_limit;
use crate::http::api::answer::{EventBody, Receipt};
use crate::http::api::{LIMIT_DEFAULT, LIMIT_MAX, List};
use crate::http::openapi::examples::{answers, requests};
use crate::http::openapi::headers::{
    EXTERNAL_EVENT_ID, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_ALIAS, REQUEST_ID, parameter,
};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::requests::component;
use crate::http::openapi::values::{
    AttributionStatus, Cursor, EventName, ExternalId, Instant, LinkId, reference,
};
use crate::http::routes;
use crate::http::state::HttpLimits;

/// `POST`
pub fn create(limits: &HttpLimits) -> Operation {
    Operation {
        path: routes::CONVERSIONS,
        method: "post",
        id: "createConversion",
        tag: Tag::Reporting,
        summary: "Report one event",
        description: format!(
            "Records a lead, sale, refund, cancellation or reversal. A 202 is sent only when the event is on disk. The \
             same event again is `DUPLICATE` with the original's answer, so a request whose answer was lost can always \
             be sent again. {}",
            body_limit(limits.body_bytes_max)
        ),
        causes: &[Cause::Request, Cause::Signed, Cause::Writes, Cause::Refund],
        parameters: [REQUEST_ID, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_ALIAS, EXTERNAL_EVENT_ID]
            .map(parameter)
            .into(),
        bodies: vec![Content {
            media_type: "application/json",
            schema: component("Event"),
            examples: requests::events(),
        }],
        answers: vec![Answer {
            status: 202,
            description: "The event is recorded, durably, once: now, or before.",
            headers: &["Idempotent-Replayed"],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<Receipt<'_>>(),
                examples: answers::receipts(),
            }),
        }],
    }
}

/// `GET`
pub fn list() -> Operation {
    Operation {
        path: routes::CONVERSIONS,
        method: "get",
        id: "listConversions",
        tag: Tag::Reading,
        summary: "List events",
        description:
            "A page of events, newest first, stable under inserts. A page looks at a bounded number of events: it may \
                      hold fewer than `limit`, also none, while `next_cursor` is there. An unknown parameter, or one given twice, \
                      is an error. Sign with v2, query included."
                .to_owned(),
        causes: &[Cause::Request, Cause::Signed, Cause::Query],
        parameters: parameters(),
        bodies: Vec::new(),
        answers: vec![Answer {
            status: 200,
            description: "A page.",
            headers: &[],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<List<EventBody<'_>>>(),
                examples: answers::lists(),
            }),
        }],
    }
}

fn parameters() -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    vec![
        query("event_name", "Events of this kind.", reference::<EventName>()),
        query("order_id", "Events that belong to this order.", reference::<ExternalId>()),
        query("external_id", "Events of this own id.", reference::<ExternalId>()),
        query("url_id", "Events credited to this short link.", reference::<LinkId>()),
        query("attribution", "Events of this attribution.", reference::<AttributionStatus>()),
        query("occurred_from", "Events that occurred at this instant or after it.", reference::<Instant>()),
        query("occurred_to", "Events that occurred before this instant.", reference::<Instant>()),
        query("received_from", "Events received at this instant or after it.", reference::<Instant>()),
        query("received_to", "Events received before this instant.", reference::<Instant>()),
        query(
            "limit",
            "How many events the page may have.",
            json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT }),
        ),
        query(
            "cursor",
            "The `next_cursor` of the page before, all other parameters as they were but `limit`.",
            reference::<Cursor>(),
        ),
        parameter(REQUEST_ID),
    ]
}
