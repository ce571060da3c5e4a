//! The `Idempotency-Key` header (contract section 6.1).

use sfv::{BareItem, Item, Parser};

/// One logical operation's name, chosen by the caller: 1–255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// The header's value is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to 255 visible ASCII characters")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// The longest key, in characters.
    pub const CHARS_MAX: usize = 255;

    /// Reads a header's value: a quoted sf-string (RFC 9651) and its bare form are one key.
    pub fn parse(value: &str) -> Result<Self, InvalidIdempotencyKey> {
        let value = value.trim();
        let key = if value.starts_with('"') {
            let item: Item = Parser::new(value).parse().map_err(|_| InvalidIdempotencyKey)?;
            match item.bare_item {
                BareItem::String(text) => text.as_str().to_owned(),
                _ => return Err(InvalidIdempotencyKey),
            }
        } else {
            value.to_owned()
        };
        Self::from_text(key)
    }

    /// Takes a `webhook-id`, which is never quoted.
    pub fn from_webhook_id(id: &str) -> Result<Self, InvalidIdempotencyKey> {
        Self::from_text(id.to_owned())
    }

    /// The key under which a click's answer is kept, beside the merchant's own: no key that a merchant
    /// can send holds a space.
    pub fn of_click(&self) -> Self {
        Self(format!("clicks {}", self.0))
    }

    fn from_text(key: String) -> Result<Self, InvalidIdempotencyKey> {
        let fits = (1..=Self::CHARS_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Self(key)) } else { Err(InvalidIdempotencyKey) }
    }

    /// The key without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_bare_are_one_key() {
        let bare = IdempotencyKey::parse("ORD-1001-conversion").unwrap();
        assert_eq!(IdempotencyKey::parse("\"ORD-1001-conversion\""), Ok(bare));
        assert_eq!(IdempotencyKey::parse(r#""a\"b""#).unwrap().as_str(), "a\"b");
    }

    #[test]
    fn the_key_of_a_click_is_none_that_can_be_sent() {
        let key = IdempotencyKey::parse("k").unwrap().of_click();
        assert_eq!(key.as_str(), "clicks k");
        for text in ["clicks k", "\"clicks k\""] {
            assert!(IdempotencyKey::parse(text).is_err(), "{text}");
        }
        assert!(IdempotencyKey::from_webhook_id("clicks k").is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for value in ["", "\"\"", "a b", "\"a b\"", "\"open", "é", "\u{7f}", &"k".repeat(256)] {
            assert!(IdempotencyKey::parse(value).is_err(), "{value:?}");
        }
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_ok());
    }
}
