//! Cursors: where a list goes on, bound to the query they came from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::attempt::LinePlace;
use crate::domain::ids::{AttemptId, EventId};

/// A place in a list, as a cursor holds it. Lists whose places differ in length never take each
/// other's cursors.
pub trait Place: Copy {
    /// Its bytes.
    fn to_bytes(self) -> Vec<u8>;

    /// The place of these bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Place for EventId {
    fn to_bytes(self) -> Vec<u8> {
        self.uuid().as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self::from_uuid)
    }
}

impl Place for LinePlace {
    fn to_bytes(self) -> Vec<u8> {
        // The request itself stands before its first row.
        let row = self.row.map_or(0, |row| row.saturating_add(1));
        [self.attempt.uuid().as_bytes().as_slice(), row.to_be_bytes().as_slice()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (attempt, row) = bytes.split_at_checked(16)?;
        let attempt = AttemptId::from_uuid(Uuid::from_slice(attempt).ok()?);
        Some(Self { attempt, row: u32::from_be_bytes(row.try_into().ok()?).checked_sub(1) })
    }
}

/// Names a query, so that a cursor of another one is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryTag([u8; 8]);

impl QueryTag {
    /// The tag of a query; `parts` are all that it depends on, in a fixed order.
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // Lengths keep ("a", "bc") and ("ab", "c") apart.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut tag = [0u8; 8];
        tag.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self(tag)
    }

    /// The cursor after this place.
    pub fn cursor(self, after: impl Place) -> String {
        let mut bytes = self.0.to_vec();
        bytes.extend(after.to_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a cursor of this query stands after.
    pub fn read<P: Place>(self, cursor: &str) -> Result<P, String> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| "is no cursor".to_owned())?;
        let (tag, place) = bytes.split_at_checked(8).ok_or("is no cursor")?;
        if tag != self.0 {
            return Err("is a cursor of another query: keep all other parameters as they were".to_owned());
        }
        P::from_bytes(place).ok_or_else(|| "is no cursor".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_its_cursor() {
        let tag = QueryTag::of(&["a", "bc"]);
        let attempt = AttemptId::from_uuid(Uuid::from_u128(7));
        for row in [None, Some(0), Some(999)] {
            let place = LinePlace { attempt, row };
            assert_eq!(tag.read(&tag.cursor(place)), Ok(place));
        }
        let event = EventId::from_uuid(Uuid::from_u128(9));
        assert_eq!(tag.read(&tag.cursor(event)), Ok(event));
    }

    #[test]
    fn a_cursor_of_another_query_or_list_is_none() {
        let (tag, event) = (QueryTag::of(&["a", "bc"]), EventId::from_uuid(Uuid::from_u128(9)));
        let cursor = tag.cursor(event);
        assert!(QueryTag::of(&["ab", "c"]).read::<EventId>(&cursor).unwrap_err().contains("another query"));
        assert_eq!(tag.read::<LinePlace>(&cursor), Err("is no cursor".to_owned()));
    }
}
