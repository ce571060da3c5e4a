//! `/openapi.json`

use serde_json::json;

use crate::http::openapi::examples::answers;
use crate::http::openapi::headers::{DOCUMENT_CACHE_CONTROL, REQUEST_ID, parameter};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::routes;

/// `GET`
pub fn get() -> Operation {
    Operation {
        path: routes::OPENAPI,
        method: "get",
        id: "getOpenApi",
        tag: Tag::Description,
        summary: "Read this document",
        description: "The description of this API, made from the service's own code. It needs no signature."
            .to_owned(),
        causes: &[Cause::Request, Cause::Document],
        parameters: vec![
            json!({
                "name": "If-None-Match", "in": "header", "schema": { "type": "string" },
                "description": "The `ETag` of the copy that the caller has.",
            }),
            parameter(REQUEST_ID),
        ],
        bodies: Vec::new(),
        answers: vec![
            Answer {
                status: 200,
                description: "The document.",
                headers: &["ETag", DOCUMENT_CACHE_CONTROL],
                content: Some(Content {
                    media_type: "application/json",
                    schema: json!({
                        "type": "object",
                        "description": "An OpenAPI 3.1 document.",
                        "required": ["openapi", "info", "paths", "components"],
                        "properties": { "openapi": { "type": "string", "pattern": "^3\\.1\\." } },
                    }),
                    examples: answers::document(),
                }),
            },
            Answer {
                status: 304,
                description: "The caller's copy is the document.",
                headers: &["ETag", DOCUMENT_CACHE_CONTROL],
                content: None,
            },
        ],
    }
}
