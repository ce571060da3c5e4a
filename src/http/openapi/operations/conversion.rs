//! `/api/v1/conversions/{event_id}`

use serde_json::json;

use crate::http::api::answer::EventBody;
use crate::http::openapi::examples::answers;
use crate::http::openapi::headers::{REQUEST_ID, parameter};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::values::{EventId, reference};
use crate::http::routes;

/// `GET`
pub fn get() -> Operation {
    Operation {
        path: routes::CONVERSION,
        method: "get",
        id: "getConversion",
        tag: Tag::Reading,
        summary: "Read one event",
        description: "The event as it is recorded. Sign with v2.".to_owned(),
        causes: &[Cause::Request, Cause::Signed, Cause::Named],
        parameters: vec![
            json!({
                "name": "event_id", "in": "path", "required": true, "description": "The event.",
                "schema": reference::<EventId>(),
            }),
            parameter(REQUEST_ID),
        ],
        bodies: Vec::new(),
        answers: vec![Answer {
            status: 200,
            description: "The event.",
            headers: &[],
            content: Some(Content {
                media_type: "application/json",
                schema: reference::<EventBody<'_>>(),
                examples: answers::events(),
            }),
        }],
    }
}
