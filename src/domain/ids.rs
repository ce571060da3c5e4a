//! Identifiers: ours (TypeIDs), the merchants' own, and those of API keys (contract section 2).

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use super::time::Entropy;

/// The text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct InvalidId(pub &'static str);

macro_rules! type_id {
    ($(#[$doc:meta])* $name:ident, $tag:ident, $prefix:literal) => {
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        struct $tag;

        impl StaticType for $tag {
            const TYPE: &'static str = $prefix;
        }

        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id: a UUIDv7 of the instant given and random bits.
            pub fn generate(at: DateTime<Utc>, entropy: &dyn Entropy) -> Self {
                Self(uuid_v7(at, entropy))
            }

            /// The smallest id that one of this millisecond can have: ids stand in the order of time.
            pub fn first_at(at: DateTime<Utc>) -> Self {
                let millis = u128::try_from(at.timestamp_millis()).unwrap_or(0);
                Self(Uuid::from_u128(millis << 80))
            }

            /// The millisecond in which an id was generated.
            pub fn made_at(self) -> DateTime<Utc> {
                let millis = i64::try_from(self.0.as_u128() >> 80).unwrap_or(i64::MAX);
                DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
            }

            /// The id that stands for this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID behind the prefix.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                TypeSafeId::<$tag>::from_uuid(self.0).fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.parse::<TypeSafeId<$tag>>()
                    .map(|id| Self(id.uuid()))
                    .map_err(|_| InvalidId(concat!("an id of the form ", $prefix, "_…")))
            }
        }
    };
}

type_id!(
    /// A merchant: the owner of keys, events and orders.
    MerchantId, MerchantTag, "mer"
);
type_id!(
    /// One recorded business event.
    EventId, EventTag, "evt"
);
type_id!(
    /// One click on a short link.
    ClickId, ClickTag, "clk"
);
type_id!(
    /// One request to a writing endpoint, whatever became of it.
    AttemptId, AttemptTag, "att"
);

impl ClickId {
    /// The instant of the click: the millisecond time inside the UUIDv7.
    ///
    /// `None` when the id is no version 7 UUID, which a click's always is.
    pub fn clicked_at(self) -> Option<DateTime<Utc>> {
        if self.0.get_version_num() != 7 {
            return None;
        }
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }
}

/// A version 7 UUID (RFC 9562) of the given millisecond and 74 random bits.
pub fn uuid_v7(at: DateTime<Utc>, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0u8; 10];
    entropy.fill(&mut random);
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// An identifier made by the merchant (order, refund, lead): opaque text, compared byte for byte.
///
/// 1–160 characters, no control characters (contract section 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalId(String);

impl ExternalId {
    /// The longest id taken, in characters.
    pub const CHARS_MAX: usize = 160;

    /// Takes the text as it is: nothing is trimmed, folded or normalised.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let fits = !text.is_empty()
            && text.chars().count() <= Self::CHARS_MAX
            && !text.chars().any(char::is_control);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId("1 to 160 characters without control characters"))
        }
    }

    /// The text as the merchant sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whose side a key is on, told by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// `ak_live_`: a merchant's, real business.
    Live,
    /// `ak_test_`: a merchant's, kept apart from real business end to end.
    Test,
    /// `ak_op_`: the operator's, for the link shortener.
    Operator,
}

impl KeyKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Live => "ak_live_",
            Self::Test => "ak_test_",
            Self::Operator => "ak_op_",
        }
    }
}

/// The public name of an API key: prefix and 24 characters of `[0-9a-z]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    text: String,
    kind: KeyKind,
}

impl KeyId {
    const RANDOM_CHARS: usize = 24;

    /// A fresh key id.
    pub fn generate(kind: KeyKind, entropy: &dyn Entropy) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
        let mut random = [0u8; Self::RANDOM_CHARS];
        entropy.fill(&mut random);
        let mut text = String::from(kind.prefix());
        text.extend(
            random.iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32))).map(|c| char::from(*c)),
        );
        Self { text, kind }
    }

    /// The id of a key that is nobody's. No header can name it.
    pub fn of_nobody() -> Self {
        let kind = KeyKind::Live;
        Self { text: kind.prefix().to_owned() + &"\0".repeat(Self::RANDOM_CHARS), kind }
    }

    /// Whose side the key is on.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The id as it travels in `X-API-Key`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for KeyId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        [KeyKind::Live, KeyKind::Test, KeyKind::Operator]
            .into_iter()
            .find(|kind| {
                text.strip_prefix(kind.prefix()).is_some_and(|rest| {
                    rest.len() == Self::RANDOM_CHARS
                        && rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
                })
            })
            .map(|kind| Self { text: text.to_owned(), kind })
            .ok_or(InvalidId("an API key id of the form ak_live_…, ak_test_… or ak_op_…"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_one_kind_is_not_read_as_another() {
        let merchant = MerchantId::from_uuid(Uuid::from_u128(7)).to_string();
        assert!(merchant.parse::<MerchantId>().is_ok());
        assert!(merchant.parse::<EventId>().is_err());
        assert!(merchant.to_uppercase().parse::<MerchantId>().is_err());
    }

    #[test]
    fn ids_stand_in_the_order_of_time() {
        struct Fixed(u8);
        impl Entropy for Fixed {
            fn fill(&self, bytes: &mut [u8]) {
                bytes.fill(self.0);
            }
        }
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        let (low, high) = (Fixed(0), Fixed(0xff));
        for millis in [0, 1, 1_764_109_104_123] {
            let first = AttemptId::first_at(at(millis));
            assert!(first <= AttemptId::generate(at(millis), &low));
            assert!(AttemptId::generate(at(millis), &high) < AttemptId::first_at(at(millis + 1)));
            assert!(first.to_string() < AttemptId::generate(at(millis), &low).to_string());
            assert_eq!(AttemptId::generate(at(millis), &high).made_at(), at(millis));
            assert_eq!(first.made_at(), at(millis));
        }
        assert_eq!(AttemptId::first_at(at(-5)), AttemptId::first_at(at(0)));
    }

    #[test]
    fn external_ids_are_counted_in_characters_and_hold_no_controls() {
        assert!(ExternalId::parse(&"é".repeat(160)).is_ok());
        assert!(ExternalId::parse(&"é".repeat(161)).is_err());
        assert!(ExternalId::parse("").is_err());
        assert!(ExternalId::parse("a\nb").is_err());
        assert!(ExternalId::parse(" ").is_ok());
    }

    #[test]
    fn key_ids_tell_their_kind() {
        let id: KeyId = "ak_test_0123456789abcdefghijklmn".parse().unwrap();
        assert_eq!(id.kind(), KeyKind::Test);
        assert!("ak_test_0123456789abcdefghijklm".parse::<KeyId>().is_err());
        assert!("ak_prod_0123456789abcdefghijklmn".parse::<KeyId>().is_err());
    }
}
