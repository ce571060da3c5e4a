//! `/api/v1/clicks`

use super::body_limit;
use crate::http::api::click_answer::ClickReceipt;
use crate::http::openapi::examples::{answers, requests};
use crate::http::openapi::headers::{CLICK_KEY, EXTERNAL_EVENT_ID, REQUEST_ID, parameter};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::requests::component;
use crate::http::openapi::values::reference;
use crate::http::routes;
use crate::http::state::HttpLimits;

/// `POST`
pub fn create(limits: &HttpLimits) -> Operation {
    Operation {
        path: routes::CLICKS,
        method: "post",
        id: "createClick",
        tag: Tag::Clicks,
        summary: "Record a click and get its token",
        description: format!(
            "For the link shortener. Makes the click's id and token, appends the token to the landing URL where that is \
             safe, and records the click; the 201 is sent only when it is on disk. Clicks are live, and there is no rate \
             limit. It needs an `Idempotency-Key`: sent again with the same one it is the same click. A key belongs to the \
             merchant of the click and never meets the merchant's own. Conversions do not depend on the record: a visitor whose click was answered \
             by a problem can be sent on without a token. {}",
            body_limit(limits.body_bytes_max)
        ),
        causes: &[Cause::Request, Cause::Signed, Cause::Writes],
        parameters: [REQUEST_ID, CLICK_KEY, EXTERNAL_EVENT_ID].map(parameter).into(),
        bodies: vec![Content {
            media_type: "application/json",
            schema: component("Click"),
            examples: requests::clicks(),
        }],
        answers: vec![Answer {
            status: 201,
            description: "The click is recorded, durably.",
            headers: &["Idempotent-Replayed"],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<ClickReceipt<'_>>(),
                examples: answers::clicks(),
            }),
        }],
    }
}
