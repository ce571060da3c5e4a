//! Which order a refused body seems to be about: for the attempt journal.

use crate::domain::ids::ExternalId;
use crate::domain::json::{self, Json, Object};

/// The order that a body names, if one can be read: nothing else of it need be right.
pub fn order_hint(body: &[u8]) -> Option<ExternalId> {
    match json::parse(body).ok()? {
        Json::Object(object) => order_hint_of(&object),
        _ => None,
    }
}

/// The same of an object already read.
pub fn order_hint_of(object: &Object<'_>) -> Option<ExternalId> {
    let custom = match object.get("custom_data") {
        Some(Json::Object(custom)) => Some(custom),
        _ => None,
    };
    let id = |object: Option<&Object<'_>>, name: &str| match object?.get(name)? {
        Json::String(text) => ExternalId::parse(text).ok(),
        _ => None,
    };
    let is_lead = matches!(object.get("event_name"), Some(Json::String(name)) if name == "lead");
    // What identifies a lead is its external_id first (contract 4.3).
    let of_lead = if is_lead { id(Some(object), "external_id") } else { None };
    of_lead
        .or_else(|| id(custom, "related_order_id"))
        .or_else(|| id(custom, "order_id"))
        .or_else(|| id(Some(object), "externalOrderId"))
        .or_else(|| id(Some(object), "external_id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_found_whatever_else_is_wrong() {
        let hint = |body: &str| order_hint(body.as_bytes()).map(|id| id.as_str().to_owned());
        assert_eq!(
            hint(r#"{"event_name":"sale","custom_data":{"order_id":"A","value":true}}"#),
            Some("A".into())
        );
        assert_eq!(hint(r#"{"custom_data":{"order_id":"A","related_order_id":"B"}}"#), Some("B".into()));
        assert_eq!(hint(r#"{"externalOrderId":"C","amount":-1}"#), Some("C".into()));
        assert_eq!(hint(r#"{"external_id":"D"}"#), Some("D".into()));
        assert_eq!(
            hint(r#"{"event_name":"lead","external_id":"L","custom_data":{"order_id":"A","value":true}}"#),
            Some("L".into())
        );
        assert_eq!(hint(r#"{"event_name":"lead","custom_data":{"order_id":"A"}}"#), Some("A".into()));
        for nothing in ["", "[]", "{", r#"{"custom_data":{"order_id":7}}"#, r#"{"externalOrderId":""}"#] {
            assert_eq!(hint(nothing), None, "{nothing}");
        }
    }
}
