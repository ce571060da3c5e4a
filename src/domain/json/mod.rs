//! Strict JSON: what two parsers could read differently is refused (contract section 4.1).
//!
//! Duplicate member names at any depth, nesting deeper than [`DEPTH_MAX`], NUL and lone surrogates
//! are errors, and so is an object of more than [`MEMBERS_MAX`] members. Numbers keep their literal digits, so that money never goes through a float.

mod elements;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use elements::{Elements, elements_of, text_in};

/// The deepest nesting taken: the outermost value is at depth 1.
pub const DEPTH_MAX: usize = 16;

/// The most members of one object: each takes several times its text in memory.
pub const MEMBERS_MAX: usize = 100_000;

/// A JSON value that borrows from the text it was read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The literal digits.
    Number(&'a str),
    /// The decoded text.
    String(Cow<'a, str>),
    /// The elements in order.
    Array(Vec<Json<'a>>),
    /// An object and its members.
    Object(Object<'a>),
}

/// The members of an object in the order sent, and the text that they were read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Json<'a>)>,
    text: &'a str,
}

/// Why a text was refused. What it says is safe to tell the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON (RFC 8259), or not UTF-8.
    #[error("not valid JSON: {0}")]
    Syntax(String),
    /// The same name twice in one object.
    #[error("the member name {0:?} appears twice in one object")]
    DuplicateMember(String),
    /// Deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// U+0000 in a text: PostgreSQL cannot store it.
    #[error("a text holds the character U+0000")]
    Nul,
}

impl<'a> Object<'a> {
    /// The member of this name; `null` counts as absent.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.members
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| value)
            .filter(|value| **value != Json::Null)
    }

    /// Every member in the order sent, `null` ones included.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The object as it was sent.
    pub const fn text(&self) -> &'a str {
        self.text
    }
}

impl Json<'_> {
    fn same_as(&self, other: &Json<'_>) -> bool {
        match (self, other) {
            (Self::Array(left), Json::Array(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(l, r)| l.same_as(r))
            }
            (Self::Object(left), Json::Object(right)) => {
                let right: HashMap<&str, &Json<'_>> =
                    right.members.iter().map(|(name, value)| (name.as_ref(), value)).collect();
                left.members.len() == right.len()
                    && left
                        .members
                        .iter()
                        .all(|(name, value)| right.get(name.as_ref()).is_some_and(|r| value.same_as(r)))
            }
            (left, right) => left == right,
        }
    }

    fn write_canonical(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(digits) => out.push_str(digits),
            Self::String(text) => write_string(text, out),
            Self::Array(elements) => {
                let mut separator = '[';
                for element in elements {
                    out.push(separator);
                    element.write_canonical(out);
                    separator = ',';
                }
                out.push_str(if elements.is_empty() { "[]" } else { "]" });
            }
            Self::Object(object) => {
                let mut members: Vec<_> = object.members.iter().collect();
                members.sort_by(|(left, _), (right, _)| left.cmp(right));
                let mut separator = '{';
                for (name, value) in &members {
                    out.push(separator);
                    write_string(name, out);
                    out.push(':');
                    value.write_canonical(out);
                    separator = ',';
                }
                out.push_str(if members.is_empty() { "{}" } else { "}" });
            }
        }
    }

    /// The name of the value's type, for error messages.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Whether two texts say the same, whatever their white space and the order of their members.
///
/// Numbers are compared as written. A text that is no JSON equals only itself.
pub fn same_value(left: &str, right: &str) -> bool {
    left == right
        || matches!((parse(left.as_bytes()), parse(right.as_bytes())), (Ok(l), Ok(r)) if l.same_as(&r))
}

/// A text that is the same for all texts of [`same_value`]: members sorted by name, no white space.
/// A text that is no JSON stays as it is.
pub fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    match parse(text.as_bytes()) {
        Ok(json) => json.write_canonical(&mut out),
        Err(_) => out.push_str(text),
    }
    out
}

/// Reads one JSON text.
pub fn parse(bytes: &[u8]) -> Result<Json<'_>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError::Syntax(e.to_string()))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| syntax(&e))?;
    value(raw, 1)
}

fn syntax(error: &serde_json::Error) -> JsonError {
    JsonError::Syntax(error.to_string())
}

/// Reads one value. Its inner values are still raw, so each level is scanned once more: at most
/// [`DEPTH_MAX`] times, and nothing recurses deeper than that.
fn value(raw: &RawValue, depth: usize) -> Result<Json<'_>, JsonError> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{' | b'[') if depth > DEPTH_MAX => Err(JsonError::TooDeep),
        Some(b'{') => object(text, depth),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| syntax(&e))?;
            elements.into_iter().map(|raw| value(raw, depth + 1)).collect::<Result<_, _>>().map(Json::Array)
        }
        Some(b'"') => string(text).map(Json::String),
        Some(b't') => Ok(Json::Bool(true)),
        Some(b'f') => Ok(Json::Bool(false)),
        Some(b'n') => Ok(Json::Null),
        _ => Ok(Json::Number(text)),
    }
}

fn object(text: &str, depth: usize) -> Result<Json<'_>, JsonError> {
    let RawMembers(raw) = serde_json::from_str(text).map_err(|e| syntax(&e))?;
    check_names(&raw)?;
    let mut members = Vec::with_capacity(raw.len());
    for (name, raw) in raw {
        members.push((name, value(raw, depth + 1)?));
    }
    Ok(Json::Object(Object { members, text }))
}

fn check_names(members: &[(Cow<'_, str>, &RawValue)]) -> Result<(), JsonError> {
    let mut names = HashSet::with_capacity(members.len());
    for (name, _) in members {
        if !names.insert(name.as_ref()) {
            return Err(JsonError::DuplicateMember(name.chars().take(64).collect()));
        }
        if name.contains('\0') {
            return Err(JsonError::Nul);
        }
    }
    Ok(())
}

fn string(text: &str) -> Result<Cow<'_, str>, JsonError> {
    let Text(decoded) = serde_json::from_str(text).map_err(|e| syntax(&e))?;
    if decoded.contains('\0') { Err(JsonError::Nul) } else { Ok(decoded) }
}

fn write_string(text: &str, out: &mut String) {
    // Writing a string into a string cannot fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A string that borrows where no escape had to be decoded.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// All members of an object, duplicates included; more than [`MEMBERS_MAX`] are an error.
struct RawMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if members.len() == MEMBERS_MAX {
                        return Err(A::Error::custom(format_args!(
                            "an object may hold {MEMBERS_MAX} members"
                        )));
                    }
                    members.push((name, raw));
                }
                Ok(RawMembers(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_null_is_absent() {
        let Json::Object(object) = parse(br#"{"a":129.90,"b":null,"c":"\u00e9"}"#).unwrap() else { panic!() };
        assert_eq!(object.get("a"), Some(&Json::Number("129.90")));
        assert_eq!(object.get("b"), None);
        assert_eq!(object.get("c"), Some(&Json::String("é".into())));
    }

    #[test]
    fn what_parsers_read_differently_is_refused() {
        let duplicate = |text: &str| matches!(parse(text.as_bytes()), Err(JsonError::DuplicateMember(_)));
        assert!(duplicate(r#"{"a":1,"a":2}"#));
        assert!(duplicate(r#"{"a":1,"\u0061":2}"#));
        assert!(duplicate(r#"{"x":[{"y":{"a":1,"a":1}}]}"#));
        assert_eq!(parse(br#"{"a":"\u0000"}"#), Err(JsonError::Nul));
        assert_eq!(parse(br#"{"\u0000":1}"#), Err(JsonError::Nul));
        for text in
            [r#"{"a":"\ud800"}"#, "{} {}", "{,}", "", "NaN", "{\"a\":01}", "[1,]", "\u{feff}{}", "{'a':1}"]
        {
            assert!(matches!(parse(text.as_bytes()), Err(JsonError::Syntax(_))), "{text}");
        }
        assert!(matches!(parse(b"\"\xff\""), Err(JsonError::Syntax(_))));
    }

    #[test]
    fn sameness_ignores_white_space_and_the_order_of_members() {
        assert!(same_value(r#"{"a":1,"b":[{"c":"\u00e9"}]}"#, r#"{ "b":[{"c":"é"}], "a":1 }"#));
        assert!(!same_value(r#"{"a":1}"#, r#"{"a":1,"b":2}"#));
        assert!(!same_value(r#"{"a":1}"#, r#"{"a":"1"}"#));
    }

    #[test]
    fn the_canonical_text_is_equal_for_the_same_values_alone() {
        let texts = [
            r#"{"a":1,"b":[{"c":"é"}, true,null]}"#,
            r#"{ "b":[{"c":"\u00e9"},true,null], "a":1 }"#,
            r#"{"a":1,"b":[{"c":"é"},true]}"#,
            r#"{"a":1.0,"b":[{"c":"é"},true,null]}"#,
            r#"{}"#,
            r#"{"a":[]}"#,
        ];
        for left in texts {
            for right in texts {
                assert_eq!(canonical(left) == canonical(right), same_value(left, right), "{left} {right}");
            }
        }
        assert_eq!(canonical(texts[1]), r#"{"a":1,"b":[{"c":"é"},true,null]}"#);
    }

    #[test]
    fn sixteen_levels_are_taken_and_seventeen_refused() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(parse(nested(DEPTH_MAX + 1).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(parse(nested(30_000).as_bytes()), Err(JsonError::TooDeep));
    }
}
