//! The canonical dialect (contract 4.1).

use serde_json::{Map, Value, json};

use super::{Member, about, absent, any_text, component, object};
use crate::domain::event::EventName;
use crate::http::openapi::values::{Amount, Currency, ExternalId, Instant, Metadata, nullable, reference};

/// The dialect's five kinds, and what they are together.
pub fn schemas() -> Vec<(&'static str, Value)> {
    let mut schemas: Vec<(&'static str, Value)> =
        EventName::ALL.into_iter().filter_map(|name| Some((schema_name(name)?, kind(name)))).collect();
    let reported = || EventName::ALL.into_iter().filter_map(|name| Some((name, schema_name(name)?)));
    let mapping: Map<String, Value> = reported()
        .map(|(name, schema)| (name.as_str().to_owned(), format!("#/components/schemas/{schema}").into()))
        .collect();
    schemas.push((
        "CanonicalEvent",
        json!({
            "description": "An event in the canonical dialect.",
            "oneOf": reported().map(|(_, schema)| component(schema)).collect::<Vec<_>>(),
            "discriminator": { "propertyName": "event_name", "mapping": mapping },
        }),
    ));
    schemas
}

/// The schema of a kind that is reported as such.
const fn schema_name(name: EventName) -> Option<&'static str> {
    match name {
        EventName::Lead => Some("LeadEvent"),
        EventName::Sale => Some("SaleEvent"),
        EventName::Refund => Some("RefundEvent"),
        EventName::Cancellation => Some("CancellationEvent"),
        EventName::Reversal => Some("ReversalEvent"),
        EventName::StatusRefund => None,
    }
}

fn kind(name: EventName) -> Value {
    let description = match name {
        EventName::Lead => {
            "Somebody showed interest. Identified by `external_id`, else `custom_data.order_id`."
        }
        EventName::Sale => {
            "Somebody bought. Identified by `custom_data.order_id`, else `external_id`, whatever else the body says."
        }
        EventName::Refund => {
            "Money went back: so much, or without `value` everything. Identified by its order and its \
             `external_id`. Give each refund an `external_id`: without one, a second refund of an order that \
             says something else is refused as `refund_id_required`, never dropped as a duplicate."
        }
        EventName::Cancellation => "The order was called off. One per order.",
        EventName::Reversal => "The whole sale was taken back (a chargeback). One per order.",
        EventName::StatusRefund => "Never reported as such.",
    };
    let money = match name {
        EventName::Sale => Money::Required,
        EventName::Lead | EventName::Refund => Money::BothOrNeither,
        EventName::Cancellation | EventName::Reversal | EventName::StatusRefund => Money::No,
    };
    let of_an_order = !matches!(name, EventName::Lead | EventName::Sale);
    let custom_required: &[&str] = match (name, of_an_order) {
        (EventName::Sale, _) => &["value", "currency"],
        (_, true) => &["related_order_id"],
        _ => &[],
    };
    let mut custom = custom_data(custom_required, money, of_an_order);
    if name == EventName::Lead {
        custom = json!({ "anyOf": [custom, { "type": "null" }] });
    }
    let required: &[&str] =
        if name == EventName::Lead { &["event_name"] } else { &["event_name", "custom_data"] };
    let mut properties = common(name);
    properties.push(("custom_data", custom));
    let mut schema = object(description, required, properties);
    if let (Some(schema), false) = (schema.as_object_mut(), of_an_order) {
        schema.insert("anyOf".to_owned(), own_or_order_id());
    }
    schema
}

/// Whether money is spoken of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Money {
    Required,
    BothOrNeither,
    No,
}

fn custom_data(required: &[&str], money: Money, of_an_order: bool) -> Value {
    let amounts = match money {
        Money::Required => [reference::<Amount>(), reference::<Currency>()],
        Money::BothOrNeither => [nullable::<Amount>(), nullable::<Currency>()],
        Money::No => [(); 2].map(|()| absent("Not allowed here: to give back a part, send a refund.")),
    };
    let [value, currency] = amounts;
    let related = if of_an_order { reference::<ExternalId>() } else { nullable::<ExternalId>() };
    let mut custom = object(
        "What it is about.",
        required,
        [
            ("order_id", about(nullable::<ExternalId>(), "The order that was placed.")),
            (
                "related_order_id",
                about(related, "The order that a refund, cancellation or reversal is about."),
            ),
            ("value", value),
            ("currency", currency),
        ],
    );
    if let (Some(custom), Money::BothOrNeither) = (custom.as_object_mut(), money) {
        let none = || json!({ "type": "null" });
        custom.insert(
            "anyOf".to_owned(),
            json!([
                {
                    "required": ["value", "currency"],
                    "properties": { "value": reference::<Amount>(), "currency": reference::<Currency>() },
                },
                { "properties": { "value": none(), "currency": none() } },
            ]),
        );
    }
    custom
}

fn common(name: EventName) -> Vec<Member> {
    vec![
        ("event_name", json!({ "const": name.as_str() })),
        ("external_id", about(nullable::<ExternalId>(), "The event's own id in the merchant's system.")),
        (
            "event_time",
            about(
                nullable::<Instant>(),
                "When it happened; unless given, when it is received. At most 5 minutes in the future.",
            ),
        ),
        (
            "nim_ct",
            about(
                any_text(),
                "The click token, as it stood in the landing page's URL. One that is of no use loses no event.",
            ),
        ),
        ("click_id", about(any_text(), "Another name for `nim_ct`, which wins over it.")),
        ("metadata", nullable::<Metadata>()),
        ("externalOrderId", absent("Of the order dialect: not beside `event_name`.")),
    ]
}

/// One of the two ids that a lead or a sale can be identified by.
fn own_or_order_id() -> Value {
    json!([
        { "required": ["external_id"], "properties": { "external_id": reference::<ExternalId>() } },
        {
            "required": ["custom_data"],
            "properties": { "custom_data": {
                "type": "object",
                "required": ["order_id"],
                "properties": { "order_id": reference::<ExternalId>() },
            } },
        },
    ])
}
