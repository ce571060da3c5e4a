//! `/api/v1/attempts`

use serde_json::{Value, json};

use crate::http::api::{AttemptBody, LIMIT_DEFAULT, LIMIT_MAX, List};
use crate::http::openapi::examples::answers;
use crate::http::openapi::headers::{REQUEST_ID, parameter};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::values::{AttemptWord, Cursor, ExternalId, Instant, reference};
use crate::http::routes;

/// `GET`
pub fn list() -> Operation {
    Operation {
        path: routes::ATTEMPTS,
        method: "get",
        id: "listAttempts",
        tag: Tag::Reading,
        summary: "List attempts",
        description: "A page of the requests to writing endpoints that named one of the merchant's keys in this \
                      mode, newest first, whatever became of them; those that were not authentic are among them. A page looks at a bounded number of \
                      attempts: it may hold fewer than `limit`, also none, while `next_cursor` is there."
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
                schema: reference::<List<AttemptBody<'_>>>(),
                examples: answers::attempts(),
            }),
        }],
    }
}

fn parameters() -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    vec![
        query(
            "reason",
            "Attempts that ended for this exact reason.",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_]{1,64}$" }),
        ),
        query("outcome", "Attempts that ended so.", reference::<AttemptWord>()),
        query(
            "authenticated",
            "Attempts whose signature was right, or those that anybody may have made.",
            json!({ "type": "boolean" }),
        ),
        query("order_id", "Attempts about this order, where one could be read.", reference::<ExternalId>()),
        query("from", "Attempts that began at this instant or after it.", reference::<Instant>()),
        query("to", "Attempts that began before this instant.", reference::<Instant>()),
        query(
            "limit",
            "How many attempts the page may have.",
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
