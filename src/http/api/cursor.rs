//! Cursors: where a list goes on, bound to the query they came from.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::domain::ids::EventId;

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

    /// The cursor after this event.
    pub fn cursor(self, after: EventId) -> String {
        let mut bytes = self.0.to_vec();
        bytes.extend_from_slice(after.uuid().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The event that a cursor of this query stands after.
    pub fn read(self, cursor: &str) -> Result<EventId, String> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| "is no cursor".to_owned())?;
        let (tag, id) = bytes.split_at_checked(8).ok_or("is no cursor")?;
        if tag != self.0 {
            return Err("is a cursor of another query: keep all other parameters as they were".to_owned());
        }
        Uuid::from_slice(id).map(EventId::from_uuid).map_err(|_| "is no cursor".to_owned())
    }
}
