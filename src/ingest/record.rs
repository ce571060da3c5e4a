//! Recording one event: parse, check the token, hand it to the writer.

use std::sync::Arc;

use super::Ingest;
use crate::domain::access::Verified;
use crate::domain::attribution::TokenVerdict;
use crate::domain::event::{self, Dialect, Outcome, ParseContext, Recording, Rejection};
use crate::domain::ids::EventId;
use crate::domain::merchant::Merchant;
use crate::domain::signature::IdempotencyKey;
use crate::storage::StoreError;

/// A verified merchant's callback, not yet parsed.
#[derive(Debug)]
pub struct Submission<'a> {
    /// Proof that it is authentic.
    pub verified: &'a Verified,
    /// The merchant that the proof is about.
    pub merchant: &'a Arc<Merchant>,
    /// The key of the logical operation.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The body as received.
    pub body: &'a [u8],
}

/// Why a callback was not recorded.
#[derive(Debug)]
pub enum RecordError {
    /// Its content is at fault.
    Rejected(Rejection),
    /// The store is.
    Store(StoreError),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Ingest {
    /// Records a callback. When this returns an outcome, it is on disk.
    pub async fn record(&self, submission: Submission<'_>) -> Result<(Outcome, Dialect), RecordError> {
        let Submission { verified, merchant, idempotency_key, body } = submission;
        let now = self.clock.now();
        let context = ParseContext { now, default_currency: merchant.currency };
        let callback = event::parse(body, &context).map_err(RecordError::Rejected)?;
        let dialect = callback.dialect;
        let token = TokenVerdict::of(callback.token.as_deref(), &self.keyring.current()?.token_ring);
        let recording = Recording {
            event_id: EventId::generate(now, self.entropy.as_ref()),
            merchant: merchant.clone(),
            mode: verified.mode(),
            key_id: verified.key_id().clone(),
            form: verified.form(),
            idempotency_key,
            token,
            callback,
            // Parsed as JSON, so it is UTF-8: nothing is replaced.
            body: String::from_utf8_lossy(body).into_owned(),
        };
        Ok((self.writer.record(recording).await?, dialect))
    }
}
