//! Schemas of what callers send. Requests are read by the domain's own strict parser, so these are
//! written out here, with the domain's limits; tests hold both against each other.

mod bulk;
mod canonical;
mod click;
mod order;

use serde_json::{Map, Value, json};

use crate::http::state::HttpLimits;

/// Every schema of a request, by its name among the components.
pub fn schemas(limits: &HttpLimits) -> Vec<(&'static str, Value)> {
    let mut schemas = canonical::schemas();
    schemas.extend(order::schemas());
    schemas.extend(bulk::schemas(limits));
    schemas.extend(click::schemas());
    schemas.push((
        "Event",
        json!({
            "description": "One event, in either dialect: `event_name` says it is the canonical one, \
                `externalOrderId` the order dialect; both or neither is an error. Unknown members are kept \
                in the stored body and otherwise ignored; `null` counts as absent; a known member of a \
                wrong type is an error. A member name twice in one object, nesting deeper than 16, U+0000 \
                and lone surrogates are refused.",
            "oneOf": [component("CanonicalEvent"), component("OrderEvent")],
        }),
    ));
    schemas
}

/// A reference to a schema of this module's.
pub fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object with these members, of which some must be there.
fn object(description: &str, required: &[&str], properties: impl IntoIterator<Item = Member>) -> Value {
    let properties: Map<String, Value> =
        properties.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    let mut object = json!({ "type": "object", "description": description, "properties": properties });
    if let (Some(object), false) = (object.as_object_mut(), required.is_empty()) {
        object.insert("required".to_owned(), required.into());
    }
    object
}

/// A member's name and schema.
type Member = (&'static str, Value);

/// The same schema, and what this member means.
fn about(mut schema: Value, description: &str) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), description.into());
    }
    schema
}

/// Text of any kind, or `null`.
fn any_text() -> Value {
    json!({ "type": ["string", "null"] })
}

/// A member that must not be there.
fn absent(description: &str) -> Value {
    json!({ "type": "null", "description": description })
}
