//! `/api/v1/exports/events`

use serde_json::{Value, json};

use crate::http::api::answer::{COLUMNS, EventBody};
use crate::http::exports::Format;
use crate::http::openapi::examples::answers;
use crate::http::openapi::headers::{REQUEST_ID, parameter};
use crate::http::openapi::operation::{Answer, Content, Operation, Tag};
use crate::http::openapi::problems::Cause;
use crate::http::openapi::values::{Cursor, Instant, reference};
use crate::http::routes;

/// `GET`
pub fn events() -> Operation {
    Operation {
        path: routes::EXPORT,
        method: "get",
        id: "exportEvents",
        tag: Tag::Reading,
        summary: "Export events",
        description: "Every event, oldest first, as a stream whose last line has the cursor at which the next export \
                      goes on: whoever keeps it gets each event exactly once, and never misses one. The newest minutes \
                      are left out until nothing older can come any more. A body without its last line was cut: export \
                      again from the cursor before. Its last line also says whether it is complete: nothing received before `to` can come \
                      any more, so the next export is one from that instant on, without a cursor. An export without `to` \
                      never is. Sign with v2, query included."
            .to_owned(),
        causes: &[Cause::Request, Cause::Signed, Cause::Query],
        parameters: parameters(),
        bodies: Vec::new(),
        answers: vec![
            Answer {
                status: 200,
                description: "The events, and at the end the cursor.",
                headers: &["Content-Disposition"],
                content: Some(Content {
                    media_type: "application/x-ndjson",
                    schema: json!({
                        "type": "string", "pattern": "\"next_cursor\":\"[A-Za-z0-9_-]+\",\"complete\":(true|false)\\}\\n$",
                        "description": "An event (`RecordedEvent`) a line; the last line is \
                                        `{\"next_cursor\":\"…\",\"complete\":…}`.",
                        "x-line-schema": { "anyOf": [reference::<EventBody<'_>>(), end()] },
                    }),
                    examples: answers::ndjson(),
                }),
            },
            Answer {
                status: 200,
                description: "The same.",
                headers: &["Content-Disposition"],
                content: Some(Content {
                    media_type: "text/csv",
                    schema: json!({
                        "type": "string", "pattern": "^event_id,[\\s\\S]*\\n#next_cursor,[A-Za-z0-9_-]+,(in)?complete\\n$",
                        "description": format!(
                            "A line of names, then an event a line ({}); what is not there is empty, `metadata` is JSON. \
                             The last line is `#next_cursor,…,complete` or `#next_cursor,…,incomplete`.",
                            COLUMNS.join(", ")
                        ),
                    }),
                    examples: answers::csv(),
                }),
            },
        ],
    }
}

fn end() -> Value {
    json!({
        "type": "object", "required": ["next_cursor", "complete"],
        "properties": {
            "next_cursor": reference::<Cursor>(),
            "complete": {
                "type": "boolean",
                "description": "Whether nothing received before `to` can come any more; without `to` always `false`.",
            },
        },
        "additionalProperties": false,
    })
}

fn parameters() -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    vec![
        query(
            "format",
            "How the events are written.",
            json!({
                "type": "string", "enum": Format::ALL.map(Format::as_str), "default": Format::default().as_str(),
            }),
        ),
        query("from", "Events received at this instant or after it.", reference::<Instant>()),
        query(
            "to",
            "Events received before this instant. Where it lies less than `export.behind_s` and a minute back, more may \
             still come: the last line says so.",
            reference::<Instant>(),
        ),
        query(
            "cursor",
            "The `next_cursor` of the export before, `from` and `to` as they were.",
            reference::<Cursor>(),
        ),
        query(
            "safe",
            "Of CSV: whether text that a spreadsheet would take for a formula has an apostrophe before it. Without it the \
             text is exact.",
            json!({ "type": "boolean", "default": false }),
        ),
        parameter(REQUEST_ID),
    ]
}
