//! `/api/v1/webhooks/{topic}` and its alias

use serde_json::json;

use super::body_limit;
use crate::http::api::answer::{Receipt, StatusReceipt};
use crate::http::openapi::examples::{answers, requests};
use crate::http::openapi::headers::{
    DELIVERY_ID, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_ALIAS, REQUEST_ID, parameter,
};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::requests::component;
use crate::http::openapi::values::reference;
use crate::http::routes;
use crate::http::state::HttpLimits;
use crate::http::webhooks::{Kind, Topic};

/// `POST`
pub fn receive(limits: &HttpLimits) -> Operation {
    let description = format!(
        "Takes the webhooks that a shop's platform sends.\n\n{}\n\nThe same delivery (`X-External-Event-Id`, topic and \
         body) again is a `DUPLICATE`. Where the signature does not bind the path (v1, Standard Webhooks), the topics of \
         cancelled, returned and refunded orders need a `status` in the body equal to the topic's: no captured request can \
         be turned into a refund by sending it to another path. {}",
        topics(),
        body_limit(limits.body_bytes_max)
    );
    Operation {
        path: routes::WEBHOOK,
        method: "post",
        id: "receiveWebhook",
        tag: Tag::Reporting,
        summary: "Take a merchant's webhook",
        description,
        causes: &[Cause::Request, Cause::Signed, Cause::Writes, Cause::Named, Cause::Delivery],
        parameters: vec![
            json!({
                "name": "topic", "in": "path", "required": true, "description": "What happened.",
                "schema": { "type": "string", "enum": Topic::ALL.map(|topic| topic.name) },
            }),
            parameter(DELIVERY_ID),
            parameter(REQUEST_ID),
            parameter(IDEMPOTENCY_KEY),
            parameter(IDEMPOTENCY_KEY_ALIAS),
        ],
        bodies: vec![Content {
            media_type: "application/json",
            schema: json!({
                "description": "An `OrderEvent` for `order-created`, a `TopicStatusReport` for the other topics.",
                "anyOf": [component("OrderEvent"), component("TopicStatusReport")],
            }),
            examples: requests::deliveries(),
        }],
        answers: vec![Answer {
            status: 202,
            description: "What the webhook tells is recorded, durably, once: now, or before.",
            headers: &["Idempotent-Replayed"],
            content: Some(Content {
                media_type: "application/json",
                schema: json!({
                    "description": "A `Receipt` for `order-created`, a `StatusReceipt` for the other topics.",
                    "oneOf": [reference::<Receipt<'_>>(), reference::<StatusReceipt<'_>>()],
                }),
                examples: answers::deliveries(),
            }),
        }],
    }
}

/// `POST` on the alias
pub fn receive_alias(limits: &HttpLimits) -> Operation {
    Operation {
        path: routes::WEBHOOK_ALIAS,
        id: "receiveWebhookAlias",
        summary: "Take a merchant's webhook (another path)",
        ..receive(limits)
    }
}

/// The topics as a table.
fn topics() -> String {
    let rows = Topic::ALL.map(|topic| match topic.kind {
        Kind::Created => format!("| `{}` | a sale in the order dialect |", topic.name),
        Kind::Status(status) => format!("| `{}` | the order's status: `{status}` |", topic.name),
    });
    format!("| topic | tells |\n|---|---|\n{}", rows.join("\n"))
}
