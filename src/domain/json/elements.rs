//! Reading parts of a text without judging the rest of it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{JsonError, RawMembers, check_names, string, syntax};

/// The elements of an array inside an object, each unread: `None` where the member is not there.
///
/// # Errors
/// The text as a whole is no JSON, or the object has a name twice. What is wrong inside an element
/// is its own affair.
pub fn elements_of<'a>(bytes: &'a [u8], member: &str) -> Result<Elements<'a>, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError::Syntax(e.to_string()))?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|e| syntax(&e))?;
    if !whole.get().starts_with('{') {
        return Ok(Elements::NoObject);
    }
    let RawMembers(members) = serde_json::from_str(whole.get()).map_err(|e| syntax(&e))?;
    check_names(&members)?;
    match members.into_iter().find(|(name, _)| name == member) {
        None => Ok(Elements::Absent),
        Some((_, raw)) if raw.get().starts_with('[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|e| syntax(&e))?;
            Ok(Elements::Found(elements.into_iter().map(RawValue::get).collect()))
        }
        Some(_) => Ok(Elements::NoArray),
    }
}

/// A text inside an object that may be refused for something else: the first of this name.
pub fn text_in<'a>(bytes: &'a [u8], member: &str) -> Option<Cow<'a, str>> {
    let RawMembers(members) = serde_json::from_str(std::str::from_utf8(bytes).ok()?).ok()?;
    let (_, raw) = members.into_iter().find(|(name, _)| name == member)?;
    string(raw.get()).ok()
}

/// What [`elements_of`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elements<'a> {
    /// The elements' texts.
    Found(Vec<&'a str>),
    /// The member is not there.
    Absent,
    /// The member is something else.
    NoArray,
    /// The text is something else than an object.
    NoObject,
}
