//! What one request asks to be written, and what became of it.

mod outcome;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::attempt::Attempt;
use super::event::{Identity, Outcome, Recorded, Recording, Rejection};
use super::fingerprint::Fingerprint;
use super::ids::{ClickId, ExternalId, KeyId, MerchantId};
use super::merchant::Mode;
use super::order_status::StatusReport;
use super::signature::{Form, IdempotencyKey};

pub use outcome::{
    Conflict, ContentOutcome, EntryOutcome, RowOutcome, StatusOutcome, StoredAnswer, SubmissionOutcome,
};

/// What one request asks to be written: all of it in one transaction, or nothing.
#[derive(Clone)]
pub struct Submission {
    /// The merchant that it is written for.
    pub merchant: MerchantId,
    /// Real or test.
    pub mode: Mode,
    /// The journal's view of the request.
    pub attempt: Attempt,
    /// The idempotency key of the whole request.
    pub claim: Option<Claim>,
    /// The webhook's delivery id.
    pub delivery: Option<Delivery>,
    /// What it reports.
    pub content: Arc<Content>,
    /// Whether it counts in its merchant's quota.
    pub metered: bool,
    /// Writes the answer that an idempotency key stores.
    pub render: Arc<dyn Render>,
}

/// Words for outcomes: inside the transaction, because an answer is stored with its effects.
pub trait Render: Send + Sync {
    /// The answer to a request or bulk row that reports one thing; `None` = it is refused.
    fn entry(&self, entry: &Entry, outcome: &EntryOutcome) -> Option<StoredAnswer>;

    /// The answer to the bulk request of this id; the outcomes stand in the rows' order.
    fn bulk(&self, request_id: &str, rows: &[Row], outcomes: &[RowOutcome]) -> StoredAnswer;
}

/// What a request reports.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum Content {
    /// One thing.
    One(Entry),
    /// Many, each with its own fate.
    Bulk(Vec<Row>),
    /// A click, which the link shortener tells of.
    Click(ClickRecording),
}

/// One thing reported: an event, an order's status, or an event that tells the status too.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The event.
    pub event: Option<Recording>,
    /// The status. Few entries have one, and it is as large as an event.
    pub status: Option<Box<StatusRecording>>,
}

/// One row of a bulk request.
#[derive(Debug, Clone)]
pub struct Row {
    /// What the caller calls it.
    pub client_row_id: Option<String>,
    /// What it says.
    pub content: RowContent,
}

/// What a row says.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum RowContent {
    /// It goes on.
    Entry {
        /// Its own idempotency key.
        claim: Option<Claim>,
        /// What it reports.
        entry: Entry,
    },
    /// It was refused when it was read.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// The order, where one could be read.
        order: Option<ExternalId>,
    },
}

/// A report of an order's status on its way into the store.
#[derive(Debug, Clone)]
pub struct StatusRecording {
    /// What it says.
    pub report: StatusReport,
    /// The event that the status is, for states that are one.
    pub event: Option<Recording>,
    /// The key that signed it.
    pub key_id: KeyId,
    /// The form of the signature that fitted.
    pub form: Form,
    /// The body as received.
    pub body: String,
}

/// A click on its way into the store.
#[derive(Debug, Clone)]
pub struct ClickRecording {
    /// Its id.
    pub click_id: ClickId,
    /// The short link's domain.
    pub domain_id: Uuid,
    /// The short link.
    pub url_id: Uuid,
    /// When it was clicked, as its id holds it.
    pub clicked_at: DateTime<Utc>,
    /// The operator's key that signed.
    pub key_id: KeyId,
    /// The answer. A click is always new, so nothing in the store can change it.
    pub answer: StoredAnswer,
}

/// A request's hold on an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The key.
    pub key: IdempotencyKey,
    /// What it is to stand for.
    pub fingerprint: Fingerprint,
    /// Names this claim among all.
    pub id: String,
    /// Whether the key is its signer's. Else somebody who captured the request has sent it again under a key
    /// that its merchant may be yet to use: then only something new stays under the key.
    pub bound: bool,
}

/// A webhook's delivery, unique per merchant and mode for ever (contract section 6.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `X-External-Event-Id`.
    pub id: String,
    /// The topic.
    pub topic: &'static str,
    /// Over topic and body.
    pub fingerprint: Fingerprint,
    /// Whether the id is its signer's. Else only a delivery that brings something new takes it, as with
    /// [`Claim::bound`].
    pub bound: bool,
}

impl Submission {
    /// About how much memory it holds, in bytes.
    pub fn weight(&self) -> usize {
        let own = match self.content.as_ref() {
            Content::One(_) => 0,
            Content::Bulk(rows) => rows.iter().map(Row::own_weight).sum(),
            Content::Click(click) => size_of::<ClickRecording>() + click.answer.body.len(),
        };
        512 + own + self.entries().map(Entry::weight).sum::<usize>()
    }

    /// How many things it reports, at least 1.
    pub fn len(&self) -> usize {
        match self.content.as_ref() {
            Content::One(_) | Content::Click(_) => 1,
            Content::Bulk(rows) => rows.len().max(1),
        }
    }

    /// Never: kept beside [`Self::len`] for whoever asks.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The outcome if nothing of it was known before.
    pub fn if_new(&self, received_at: DateTime<Utc>) -> SubmissionOutcome {
        let done = match self.content.as_ref() {
            Content::One(entry) => ContentOutcome::One(entry.if_new(received_at)),
            Content::Bulk(rows) => ContentOutcome::Bulk(
                rows.iter()
                    .map(|row| match row.entry() {
                        Some(entry) => RowOutcome::Done(entry.if_new(received_at)),
                        None => RowOutcome::Rejected,
                    })
                    .collect(),
            ),
            Content::Click(_) => ContentOutcome::Click,
        };
        SubmissionOutcome::Done(done, None)
    }

    /// What it reports, refused rows left out.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let (one, rows): (Option<&Entry>, &[Row]) = match self.content.as_ref() {
            Content::One(entry) => (Some(entry), &[]),
            Content::Bulk(rows) => (None, rows),
            Content::Click(_) => (None, &[]),
        };
        one.into_iter().chain(rows.iter().filter_map(Row::entry))
    }

    /// Every idempotency key that it holds.
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        let rows: &[Row] = match self.content.as_ref() {
            Content::One(_) | Content::Click(_) => &[],
            Content::Bulk(rows) => rows,
        };
        self.claim.iter().chain(rows.iter().filter_map(Row::claim))
    }
}

impl fmt::Debug for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submission")
            .field("attempt", &self.attempt.id)
            .field("claim", &self.claim)
            .field("content", &self.content)
            .finish_non_exhaustive()
    }
}

impl Row {
    /// What it reports.
    pub const fn entry(&self) -> Option<&Entry> {
        match &self.content {
            RowContent::Entry { entry, .. } => Some(entry),
            RowContent::Rejected { .. } => None,
        }
    }

    /// Its idempotency key.
    pub const fn claim(&self) -> Option<&Claim> {
        match &self.content {
            RowContent::Entry { claim, .. } => claim.as_ref(),
            RowContent::Rejected { .. } => None,
        }
    }

    /// What it takes besides its entry: a refused row takes memory, too.
    fn own_weight(&self) -> usize {
        let errors = match &self.content {
            RowContent::Rejected { rejection: Rejection::Invalid(errors), .. } => {
                errors.iter().map(|error| 96 + error.pointer.len() + error.message.len()).sum()
            }
            RowContent::Rejected { .. } | RowContent::Entry { .. } => 0,
        };
        size_of::<Self>() + errors
    }

    /// The order that it is about.
    pub fn order(&self) -> Option<&ExternalId> {
        match &self.content {
            RowContent::Entry { entry, .. } => entry.order(),
            RowContent::Rejected { order, .. } => order.as_ref(),
        }
    }
}

impl Entry {
    /// The events in it: its own, then its status's.
    pub fn events(&self) -> impl Iterator<Item = &Recording> {
        let of_status = self.status.as_ref().and_then(|status| status.event.as_ref());
        self.event.iter().chain(of_status)
    }

    /// The order that it is about.
    pub fn order(&self) -> Option<&ExternalId> {
        let event = self.event.as_ref().map(|event| event.callback.event.order());
        event.or(self.status.as_ref().map(|status| &status.report.order))
    }

    /// The outcome if nothing of it was known before: right for most, so that the answer can be
    /// stored together with the claim.
    pub fn if_new(&self, received_at: DateTime<Utc>) -> EntryOutcome {
        EntryOutcome {
            event: self.event.as_ref().map(|event| Outcome::Accepted(Recorded::new(event, received_at))),
            status: self.status.as_ref().map(|status| StatusOutcome {
                accepted: true,
                order: status.report.order.clone(),
                status: status.report.status,
                event: status.event.as_ref().map(|event| event.event_id),
            }),
        }
    }

    fn weight(&self) -> usize {
        let status = self.status.as_ref().map_or(0, |status| 512 + 2 * status.body.len());
        self.events().map(Recording::weight).sum::<usize>() + status
    }
}

/// The identities of a submission's events.
pub fn identities(submission: &Submission) -> impl Iterator<Item = Identity<'_>> {
    submission.entries().flat_map(Entry::events).map(Recording::identity)
}
