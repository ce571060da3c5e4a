//! The click token that a body kept with its event was sent with: for explanations.

use crate::domain::json::{self, Json};

/// The token, by the names and in the order of the body's dialect.
pub fn token_hint(body: &str) -> Option<String> {
    let Ok(Json::Object(object)) = json::parse(body.as_bytes()) else { return None };
    let names =
        if object.get("externalOrderId").is_some() { ["clickId", "nim_ct"] } else { ["nim_ct", "click_id"] };
    names.into_iter().find_map(|name| match object.get(name)? {
        Json::String(text) => Some(text.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialects_own_name_counts() {
        for (body, token) in [
            (r#"{"event_name":"sale","nim_ct":"a","click_id":"b"}"#, Some("a")),
            (r#"{"event_name":"sale","click_id":"b","clickId":"c"}"#, Some("b")),
            (r#"{"externalOrderId":"O","nim_ct":"a","clickId":"c"}"#, Some("c")),
            (r#"{"externalOrderId":"O","nim_ct":"a","clickId":null}"#, Some("a")),
            (r#"{"event_name":"sale"}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(token_hint(body).as_deref(), token, "{body}");
        }
    }
}
