//! `/api/v1/order-status`

use super::body_limit;
use crate::http::api::answer::StatusReceipt;
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
pub fn report(limits: &HttpLimits) -> Operation {
    Operation {
        path: routes::ORDER_STATUS,
        method: "post",
        id: "reportOrderStatus",
        tag: Tag::Reporting,
        summary: "Report what an order has come to",
        description: format!(
            "Adds to the order's timeline, once per order, status and `statusUpdatedAt`. `cancelled` is also recorded as \
             the order's cancellation, `returned` and `refunded` as one status refund per order. The sale need not have been \
             reported before. {}",
            body_limit(limits.body_bytes_max)
        ),
        causes: &[Cause::Request, Cause::Signed, Cause::Writes],
        parameters: [REQUEST_ID, IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_ALIAS, EXTERNAL_EVENT_ID]
            .map(parameter)
            .into(),
        bodies: vec![Content {
            media_type: "application/json",
            schema: component("StatusReport"),
            examples: requests::statuses(),
        }],
        answers: vec![Answer {
            status: 202,
            description: "The status is recorded, durably, once: now, or before.",
            headers: &["Idempotent-Replayed"],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<StatusReceipt<'_>>(),
                examples: answers::statuses(),
            }),
        }],
    }
}
