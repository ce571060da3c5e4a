//! Reading parts of a text without judging the rest of it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{JsonError, RawMembers, check_names, string, syntax};

/// The elements of an array inside an object, each unread. Of more than `max` none is kept: they are
/// only counted.
///
/// # Errors
/// The text as a whole is no JSON, or the object has a name twice. What is wrong inside an element
/// is its own affair.
pub fn elements_of<'a>(bytes: &'a [u8], member: &str, max: usize) -> Result<Elements<'a>, JsonError> {
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
            let mut array = serde_json::Deserializer::from_str(raw.get());
            AtMost(max).deserialize(&mut array).map_err(|e| syntax(&e))
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
    /// There are more than were asked for: so many.
    TooMany(usize),
    /// The member is not there.
    Absent,
    /// The member is something else.
    NoArray,
    /// The text is something else than an object.
    NoObject,
}

/// Reads an array, keeping so many elements and no more.
struct AtMost(usize);

impl<'de> DeserializeSeed<'de> for AtMost {
    type Value = Elements<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AtMost {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.0 {
            match elements.next_element::<&RawValue>()? {
                Some(element) => kept.push(element.get()),
                None => return Ok(Elements::Found(kept)),
            }
        }
        let mut count = kept.len();
        while elements.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(if count > self.0 { Elements::TooMany(count) } else { Elements::Found(kept) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::MEMBERS_MAX;
    use super::*;

    #[test]
    fn no_more_elements_are_kept_than_asked_for_and_all_are_counted() {
        let body = br#"{"other":1,"rows":[ {"a":[1,2]} ,"x", 3 ]}"#;
        let found = || Ok(Elements::Found(vec![r#"{"a":[1,2]}"#, r#""x""#, "3"]));
        assert_eq!(elements_of(body, "rows", 4), found());
        assert_eq!(elements_of(body, "rows", 3), found());
        assert_eq!(elements_of(body, "rows", 2), Ok(Elements::TooMany(3)));
        assert_eq!(elements_of(br#"{"rows":[]}"#, "rows", 0), Ok(Elements::Found(Vec::new())));
        assert_eq!(elements_of(body, "other", 4), Ok(Elements::NoArray));
    }

    #[test]
    fn an_object_of_too_many_members_is_refused_before_its_names_are_compared() {
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!(r#""{n}":0"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(super::super::parse(object(MEMBERS_MAX).as_bytes()).is_ok());
        let large = object(MEMBERS_MAX + 1);
        assert!(matches!(super::super::parse(large.as_bytes()), Err(JsonError::Syntax(_))));
        assert!(matches!(elements_of(large.as_bytes(), "rows", 1), Err(JsonError::Syntax(_))));
        assert_eq!(text_in(large.as_bytes(), "0"), None);
    }
}
