//! The document as a whole.

use std::collections::BTreeMap;

use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::operation::{Operation, OperationObject, Tag};
use super::{headers, operations, problems, requests, security, values};
use crate::http::api::answer::{EventBody, Receipt, StatusReceipt};
use crate::http::api::bulk_answer::BulkAnswer;
use crate::http::api::click_answer::ClickReceipt;
use crate::http::api::report::ReportBody;
use crate::http::api::{AttemptBody, List, OrderBody, ReconciliationBody};
use crate::http::problem_response::ProblemBody;
use crate::http::state::HttpLimits;

/// An OpenAPI 3.1 document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    openapi: &'static str,
    info: Value,
    servers: Value,
    tags: Value,
    paths: Paths,
    components: Components,
}

type Paths = BTreeMap<&'static str, BTreeMap<&'static str, OperationObject>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Components {
    schemas: Map<String, Value>,
    responses: Map<String, Value>,
    parameters: Map<String, Value>,
    headers: Map<String, Value>,
    security_schemes: Value,
}

/// The prose at its beginning.
const GUIDE: &str = include_str!("guide.md");

impl Document {
    /// The document of a service with these limits.
    pub fn new(limits: &HttpLimits) -> Self {
        let operations = operations::all(limits);
        let tag = |tag: Tag| json!({ "name": tag.name(), "description": tag.description() });
        Self {
            openapi: "3.1.1",
            info: json!({
                "title": "conversiond",
                "version": env!("CARGO_PKG_VERSION"),
                "description": guide(limits),
                "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            }),
            servers: json!([{ "url": "/", "description": "Where this document was read." }]),
            tags: Tag::ALL.map(tag).into(),
            components: Components {
                schemas: schemas(limits),
                responses: problems::shared(operations.iter().map(|operation| operation.causes)),
                parameters: named(headers::of_requests()),
                headers: named(headers::of_answers()),
                security_schemes: security::schemes(limits.tolerance_s),
            },
            paths: paths(operations),
        }
    }

    /// The document's text, as it is served and as it lies at the repository's top.
    pub fn text(&self) -> String {
        // Texts, numbers and maps of them: there is nothing in it that JSON cannot say.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn guide(limits: &HttpLimits) -> String {
    GUIDE
        .replace("{tolerance_s}", &limits.tolerance_s.to_string())
        .replace("{headers_bytes_max}", &limits.headers_bytes_max.to_string())
        .replace("{body_bytes_max}", &limits.body_bytes_max.to_string())
        .replace("{bulk_body_bytes_max}", &limits.bulk_body_bytes_max.to_string())
        .replace("{body_timeout_s}", &limits.body_timeout.as_secs().to_string())
}

fn paths(operations: Vec<Operation>) -> Paths {
    let mut paths = Paths::new();
    for operation in operations {
        paths.entry(operation.path).or_default().insert(operation.method, operation.into_object());
    }
    paths
}

/// The schemas of answers, derived from what is serialised, and those of requests.
fn schemas(limits: &HttpLimits) -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    declare_answers(&mut generator);
    values::declare(&mut generator);
    let mut schemas = generator.take_definitions(true);
    let mut transform = RecursiveTransform(forget_widths);
    for schema in schemas.values_mut() {
        if let Ok(schema) = schema.try_into() {
            transform.transform(schema);
        }
    }
    schemas.extend(named(requests::schemas(limits)));
    schemas
}

/// **A new answer is a line here.**
fn declare_answers(generator: &mut SchemaGenerator) {
    generator.subschema_for::<Receipt<'_>>();
    generator.subschema_for::<StatusReceipt<'_>>();
    generator.subschema_for::<BulkAnswer<'_>>();
    generator.subschema_for::<ClickReceipt<'_>>();
    generator.subschema_for::<EventBody<'_>>();
    generator.subschema_for::<List<EventBody<'_>>>();
    generator.subschema_for::<OrderBody<'_>>();
    generator.subschema_for::<List<OrderBody<'_>>>();
    generator.subschema_for::<ReconciliationBody<'_>>();
    generator.subschema_for::<List<AttemptBody<'_>>>();
    generator.subschema_for::<ReportBody>();
    generator.subschema_for::<ProblemBody<'_>>();
}

/// How many bits an integer has here is nobody else's affair.
fn forget_widths(schema: &mut Schema) {
    if schema.get("type").is_some_and(|kind| kind != "string") {
        schema.remove("format");
    }
}

fn named(items: Vec<(&'static str, Value)>) -> Map<String, Value> {
    items.into_iter().map(|(name, item)| (name.to_owned(), item)).collect()
}
