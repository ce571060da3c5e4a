//! What became of a submission.

use crate::domain::attempt::AttemptOutcome;
use crate::domain::event::Outcome;
use crate::domain::ids::{EventId, ExternalId};
use crate::domain::order_status::OrderStatus;

/// An answer as stored and replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Its status, always 2xx.
    pub status: u16,
    /// Its body.
    pub body: String,
}

/// What became of a submission, once it is on disk.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum SubmissionOutcome {
    /// It was run. The answer is there where a key stores it.
    Done(ContentOutcome, Option<StoredAnswer>),
    /// Its key had an answer.
    Replayed(StoredAnswer),
    /// It must not be run.
    Refused(Conflict),
}

/// Why a submission or row with a key or delivery id must not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Its key stands for another request.
    KeyMismatch,
    /// Another request with its key ran at this moment, and was refused.
    KeyInUse,
    /// Its delivery id stands for another delivery.
    DeliveryReused,
}

/// What became of the content.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum ContentOutcome {
    /// Of one thing.
    One(EntryOutcome),
    /// Of each row.
    Bulk(Vec<RowOutcome>),
    /// Of a click: it is recorded.
    Click,
}

/// What became of one thing reported.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryOutcome {
    /// The event's.
    pub event: Option<Outcome>,
    /// The status's.
    pub status: Option<StatusOutcome>,
}

/// What became of a status.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusOutcome {
    /// Whether it was not known before.
    pub accepted: bool,
    /// The order.
    pub order: ExternalId,
    /// The state.
    pub status: OrderStatus,
    /// The event that the status is.
    pub event: Option<EventId>,
}

/// What became of a bulk row.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum RowOutcome {
    /// It was run.
    Done(EntryOutcome),
    /// Its key had an answer.
    Replayed(StoredAnswer),
    /// It must not be run.
    Refused(Conflict),
    /// It was refused when it was read.
    Rejected,
}

impl EntryOutcome {
    /// Whether it must not be answered as a success.
    pub const fn is_refused(&self) -> bool {
        matches!(self.event, Some(Outcome::RefundIdRequired))
    }

    /// The event that it is about: recorded now, or the original.
    pub fn event_id(&self) -> Option<EventId> {
        match &self.event {
            Some(Outcome::Accepted(event) | Outcome::Duplicate { original: event, .. }) => {
                Some(event.event_id)
            }
            Some(Outcome::RefundIdRequired) => None,
            None => self.status.as_ref().and_then(|status| status.event),
        }
    }

    /// In one word: accepted where anything in it was not known before.
    pub fn word(&self) -> AttemptOutcome {
        match (&self.event, &self.status) {
            (Some(Outcome::RefundIdRequired), _) => AttemptOutcome::Refused,
            (Some(Outcome::Accepted(_)), _) => AttemptOutcome::Accepted,
            (_, Some(status)) if status.accepted => AttemptOutcome::Accepted,
            _ => AttemptOutcome::Duplicate,
        }
    }
}

impl Conflict {
    /// The error code.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::KeyMismatch => "idempotency_key_mismatch",
            Self::KeyInUse => "idempotency_key_in_use",
            Self::DeliveryReused => "external_event_id_reused",
        }
    }
}

impl RowOutcome {
    /// In one word.
    pub fn word(&self) -> AttemptOutcome {
        match self {
            Self::Done(outcome) => outcome.word(),
            Self::Replayed(_) => AttemptOutcome::Replayed,
            Self::Refused(_) | Self::Rejected => AttemptOutcome::Refused,
        }
    }
}

impl ContentOutcome {
    /// In one word; of bulk rows the best there is.
    pub fn word(&self) -> AttemptOutcome {
        match self {
            Self::One(outcome) => outcome.word(),
            Self::Click => AttemptOutcome::Accepted,
            Self::Bulk(rows) => AttemptOutcome::ALL
                .into_iter()
                .find(|word| rows.iter().any(|row| row.word() == *word))
                .unwrap_or(AttemptOutcome::Refused),
        }
    }
}
