//! One operation of the document: a method on a path.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::examples::Example;
use super::headers;
use super::problems::{self, Cause};
use crate::http::routes::{Endpoint, Signed};

/// An operation, as its file in `operations/` tells it.
pub struct Operation {
    /// Its path, from `routes.rs`.
    pub path: &'static str,
    /// Its method, in lower case.
    pub method: &'static str,
    /// Its name in generated clients.
    pub id: &'static str,
    /// The group it stands in.
    pub tag: Tag,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What a caller must know.
    pub description: String,
    /// What can go wrong.
    pub causes: &'static [Cause],
    /// What it takes besides its body.
    pub parameters: Vec<Value>,
    /// Its body by media type; empty = none.
    pub bodies: Vec<Content>,
    /// Its answers that are no problems. One of several media types stands here once for each.
    pub answers: Vec<Answer>,
}

/// A group of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Reporting.
    Reporting,
    /// Reading back.
    Reading,
    /// The link shortener's.
    Clicks,
    /// The document itself.
    Description,
}

/// A body of one media type.
pub struct Content {
    /// The type.
    pub media_type: &'static str,
    /// Its schema.
    pub schema: Value,
    /// What it may look like.
    pub examples: Vec<Example>,
}

/// An answer that is no problem.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What it means.
    pub description: &'static str,
    /// The headers it may carry besides the request's id and the rate limit's.
    pub headers: &'static [&'static str],
    /// Its body, if it has one.
    pub content: Option<Content>,
}

/// An operation as it stands in the document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationObject {
    tags: [&'static str; 1],
    operation_id: &'static str,
    summary: &'static str,
    description: String,
    security: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_body: Option<Value>,
    responses: Map<String, Value>,
}

impl Tag {
    /// Every group.
    pub const ALL: [Self; 4] = [Self::Reporting, Self::Reading, Self::Clicks, Self::Description];

    /// The group's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reporting => "Reporting",
            Self::Reading => "Reading",
            Self::Clicks => "Clicks",
            Self::Description => "Description",
        }
    }

    /// What is in it.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Reporting => {
                "What merchants' systems tell: leads, sales, refunds, and what orders come to."
            }
            Self::Reading => {
                "What was recorded. Only the key's merchant and mode are seen; anybody else's id is 404."
            }
            Self::Clicks => "What the operator's link shortener asks for, with a key of the operator's.",
            Self::Description => "This document.",
        }
    }
}

impl Operation {
    /// The operation as an object of the document.
    pub fn into_object(self) -> OperationObject {
        // The bound form of an unknown endpoint: none is, tests compare the two tables.
        let signed =
            Endpoint::of(&self.method.to_uppercase(), self.path).map_or(Signed::Bound, |row| row.signed);
        let mut responses = problems::responses(self.causes);
        for answer in &self.answers {
            let object = answer.object(signed.is_limited());
            match responses.get_mut(&answer.status.to_string()).and_then(|there| there.get_mut("content")) {
                Some(Value::Object(there)) => there.extend(answer.contents()),
                _ => drop(responses.insert(answer.status.to_string(), object)),
            }
        }
        let bodies = contents(&self.bodies);
        OperationObject {
            tags: [self.tag.name()],
            operation_id: self.id,
            summary: self.summary,
            description: self.description,
            security: signed.requirements(),
            parameters: self.parameters,
            request_body: (!self.bodies.is_empty()).then(|| json!({ "required": true, "content": bodies })),
            responses,
        }
    }
}

impl Answer {
    fn object(&self, limited: bool) -> Value {
        let own = self.headers.iter().copied();
        let limits = headers::RATE_LIMIT.into_iter().filter(|_| limited);
        let mut object = json!({
            "description": self.description,
            "headers": headers::references(headers::ALWAYS.into_iter().chain(own).chain(limits)),
        });
        if let (Some(object), true) = (object.as_object_mut(), self.content.is_some()) {
            object.insert("content".to_owned(), self.contents().into());
        }
        object
    }

    fn contents(&self) -> Map<String, Value> {
        contents(self.content.as_slice())
    }
}

fn contents(contents: &[Content]) -> Map<String, Value> {
    contents
        .iter()
        .map(|content| {
            let examples: Map<String, Value> = content
                .examples
                .iter()
                .map(|example| {
                    (example.name.to_owned(), json!({ "summary": example.summary, "value": example.value }))
                })
                .collect();
            (content.media_type.to_owned(), json!({ "schema": content.schema, "examples": examples }))
        })
        .collect()
}
