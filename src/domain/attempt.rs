//! The journal's view of a request to a writing endpoint, whatever became of it.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ids::{AttemptId, EventId, ExternalId, MerchantId};
use super::merchant::Mode;

/// What is known of a request when it is handed on or refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Made before anything else is looked at.
    pub id: AttemptId,
    /// When the request's head was there.
    pub started_at: DateTime<Utc>,
    /// The same on the monotonic clock, for its latency.
    pub started: Duration,
    /// The endpoint's name.
    pub endpoint: &'static str,
    /// The request's id, the caller's or ours.
    pub request_id: String,
    /// The client's address, proxies taken off.
    pub peer: Option<IpAddr>,
    /// The key as named: proven only where the outcome is not a refusal for the signature.
    pub key_id: Option<String>,
    /// The owner of that key, once it is proven or looked up for the journal; of a click, whose link was
    /// clicked.
    pub merchant: Option<MerchantId>,
    /// The key's mode. A click has none: its line, with the shortener's address, is not the merchant's.
    pub mode: Option<Mode>,
    /// The body's SHA-256 in hex, where the body was read.
    pub body_sha256: Option<String>,
    /// Its size, as far as it was read.
    pub body_bytes: usize,
    /// Whether its signature was right, whatever it is refused for afterwards. Else anybody may have made it,
    /// and every word of it.
    pub authenticated: bool,
}

impl Attempt {
    /// Notes that its signature was right, and whose key made it.
    pub fn authenticated(&mut self, owner: Option<(MerchantId, Mode)>) {
        self.authenticated = true;
        (self.merchant, self.mode) = owner.unzip();
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// In one word.
    pub outcome: AttemptOutcome,
    /// The answer's status; 0 when the caller left before it.
    pub status: u16,
    /// The exact reason: an error code, the reason behind a 401, or the outcome's word.
    pub reason: &'static str,
    /// Where the first error stands.
    pub error_pointer: Option<String>,
    /// The order, where one could be read.
    pub order: Option<ExternalId>,
    /// The event recorded, or the original.
    pub event: Option<EventId>,
}

/// A line of the journal as it is read: a request, or a refused row of a bulk request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journaled {
    /// The request, and which of its rows.
    pub place: LinePlace,
    /// The owner of the key that was named, or of the link that was clicked; `None` = nobody's.
    pub merchant: Option<MerchantId>,
    /// That key's mode; a click has none.
    pub mode: Option<Mode>,
    /// When the request's head was there.
    pub started_at: DateTime<Utc>,
    /// The endpoint's name.
    pub endpoint: String,
    /// The client's address, proxies taken off.
    pub peer: Option<String>,
    /// The key as named.
    pub key_id: Option<String>,
    /// The request's id, the caller's or ours.
    pub request_id: String,
    /// The body's SHA-256 in hex, where the body was read.
    pub body_sha256: Option<String>,
    /// Its size, as far as it was read.
    pub body_bytes: i64,
    /// How it ended, in one word.
    pub outcome: AttemptOutcome,
    /// The answer's status; 0 when the caller left before it.
    pub status: u16,
    /// The exact reason.
    pub reason: String,
    /// Where the first error stands.
    pub error_pointer: Option<String>,
    /// The order, where one could be read.
    pub order: Option<String>,
    /// The event recorded, or the original.
    pub event: Option<EventId>,
    /// From the head to the answer or the commit.
    pub elapsed_us: i64,
    /// Whether its signature was right.
    pub authenticated: bool,
}

/// A line's place in the journal: requests stand by their ids, so by time, each before its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinePlace {
    /// The request.
    pub attempt: AttemptId,
    /// The index of its row; `None` = the request itself.
    pub row: Option<u32>,
}

/// How an attempt ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// Something was recorded that was not known before.
    Accepted,
    /// Everything was known before.
    Duplicate,
    /// Answered from what an idempotency key had stored.
    Replayed,
    /// Nothing was recorded.
    Refused,
}

impl AttemptOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Duplicate, Self::Replayed, Self::Refused];

    /// The outcome's name in the journal, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Replayed => "replayed",
            Self::Refused => "refused",
        }
    }
}

impl std::str::FromStr for AttemptOutcome {
    type Err = super::ids::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or(super::ids::InvalidId("one of accepted, duplicate, replayed, refused"))
    }
}
