//! The use cases: what the service does with a verified request, whoever carried it in.

mod bulk;
mod click;
mod conversion;
mod entry;
mod order_status;
mod read;
pub mod reconciliation;
mod report;

use std::sync::Arc;

use crate::domain::access::Verified;
use crate::domain::attempt::Attempt;
use crate::domain::event::Rejection;
use crate::domain::fingerprint::Fingerprint;
use crate::domain::landing_url::SigningParameters;
use crate::domain::merchant::Merchant;
use crate::domain::order_status::{OrderStatus, StatusRejection};
use crate::domain::signature::IdempotencyKey;
use crate::domain::submission::{Claim, Content, Delivery, Render, Submission, SubmissionOutcome};
use crate::domain::time::{Clock, Entropy};
use crate::keyring::Keyring;
use crate::storage::writer::Writer;
use crate::storage::{Reader, StoreError};

pub use bulk::{BulkFormat, rows_at_most, rows_of};
pub use click::ClickCall;

/// What the use cases need.
#[derive(Clone)]
pub struct Ingest {
    /// Takes what is to be written.
    pub writer: Writer,
    /// Reads back.
    pub reader: Reader,
    /// The keys, and the ring of token keys.
    pub keyring: Arc<Keyring>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub entropy: Arc<dyn Entropy>,
    /// Where no click token is appended.
    pub signing: Arc<SigningParameters>,
}

/// The media type of every body that is one JSON text.
const JSON: &str = "application/json";

/// A verified merchant's request, not yet parsed.
pub struct Call<'a> {
    /// Proof that it is authentic.
    pub verified: &'a Verified,
    /// The merchant that the proof is about.
    pub merchant: &'a Arc<Merchant>,
    /// The key of the logical operation.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whether that key is its signer's, and not put there by somebody who captured the request.
    pub key_bound: bool,
    /// Whether the delivery id is.
    pub id_bound: bool,
    /// `X-External-Event-Id`, on whatever endpoint: a key stands for it, too.
    pub external_event_id: Option<&'a str>,
    /// A webhook's delivery id and topic.
    pub delivery: Option<(&'a str, &'static str)>,
    /// The journal's view of it.
    pub attempt: Attempt,
    /// The body as received.
    pub body: &'a [u8],
    /// Words for outcomes.
    pub render: Arc<dyn Render>,
}

/// A submission that is not yet written: the last moment at which nothing has happened.
#[derive(Debug)]
pub struct Prepared(Submission);

/// Why a request was not recorded.
#[derive(Debug)]
pub enum IngestError {
    /// Its content is at fault.
    Rejected(Rejection),
    /// Its topic and its content do not belong together.
    TopicMismatch {
        /// The topic's status.
        topic: OrderStatus,
        /// The body's.
        sent: Option<OrderStatus>,
    },
    /// The store is.
    Store(StoreError),
}

impl From<StoreError> for IngestError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Rejection> for IngestError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<StatusRejection> for IngestError {
    fn from(rejection: StatusRejection) -> Self {
        match rejection {
            StatusRejection::Content(rejection) => Self::Rejected(rejection),
            StatusRejection::TopicMismatch { topic, sent } => Self::TopicMismatch { topic, sent },
        }
    }
}

impl Ingest {
    /// Writes what was prepared. When this returns an outcome, it is on disk.
    pub async fn write(&self, prepared: Prepared) -> Result<SubmissionOutcome, StoreError> {
        self.writer.write(prepared.0).await
    }
}

impl Prepared {
    /// The submission, for the words of its answer.
    pub const fn submission(&self) -> &Submission {
        &self.0
    }
}

impl Call<'_> {
    /// The submission of this request. `fingerprint` is of what its idempotency key stands for.
    fn submit(self, content: Content, fingerprint: impl FnOnce() -> Fingerprint) -> Prepared {
        let Call {
            verified,
            merchant,
            idempotency_key,
            key_bound,
            id_bound,
            delivery,
            attempt,
            body,
            render,
            ..
        } = self;
        let claim = idempotency_key.map(|key| Claim {
            key,
            fingerprint: fingerprint(),
            id: attempt.id.to_string(),
            bound: key_bound,
        });
        let delivery = delivery.map(|(id, topic)| Delivery {
            id: id.to_owned(),
            topic,
            fingerprint: Fingerprint::of_request(topic, JSON, None, body),
            bound: id_bound,
        });
        let (merchant, metered, mode) = (merchant.id, merchant.quota.is_set(), verified.mode());
        let content = Arc::new(content);
        Prepared(Submission { merchant, mode, attempt, claim, delivery, content, metered, render })
    }
}
