//! A click on a short link: parse, mint its token, make it ready for the writer (contract section 5).

use std::sync::Arc;

use super::{Ingest, IngestError, JSON, Prepared};
use crate::domain::access::Verified;
use crate::domain::attempt::Attempt;
use crate::domain::click::{self, ClickContext, Minted};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::merchant::Mode;
use crate::domain::signature::IdempotencyKey;
use crate::domain::submission::{Claim, ClickRecording, Content, Render, StoredAnswer, Submission};
use crate::storage::StoreError;

/// A verified operator's request, not yet parsed.
pub struct ClickCall<'a> {
    /// Proof that it is authentic.
    pub verified: &'a Verified,
    /// The key of the click: a captured request that is sent again is the same click.
    pub idempotency_key: &'a IdempotencyKey,
    /// `X-External-Event-Id`: without meaning, but a key stands for it, too.
    pub external_event_id: Option<&'a str>,
    /// The journal's view of it.
    pub attempt: Attempt,
    /// The body as received.
    pub body: &'a [u8],
    /// The answer to a click.
    pub answer: fn(&Minted) -> StoredAnswer,
    /// Words for everything else.
    pub render: Arc<dyn Render>,
}

impl Ingest {
    /// A click. Its merchant may be suspended: visitors must be sent on all the same.
    ///
    /// What it writes is its merchant's, live; but its journal line is in no mode, because it holds the
    /// shortener's address, which is none of the merchant's business.
    pub fn prepare_click(&self, call: ClickCall<'_>) -> Result<Prepared, IngestError> {
        let directory = self.keyring.current()?;
        let is_merchant = |id| directory.merchant(id).is_some();
        let context = ClickContext { now: call.verified.at(), is_merchant: &is_merchant };
        let click = click::parse(call.body, &context)?;
        let minted = click
            .mint(&directory.token_ring, &self.signing, self.entropy.as_ref())
            .map_err(|error| StoreError::Unusable(error.to_string()))?;
        let recording = ClickRecording {
            click_id: minted.click_id,
            domain_id: click.domain_id,
            url_id: click.url_id,
            clicked_at: minted.clicked_at,
            key_id: call.verified.key_id().clone(),
            answer: (call.answer)(&minted),
        };
        let claim = Claim {
            key: call.idempotency_key.of_click(),
            fingerprint: Fingerprint::of_request("clicks", JSON, call.external_event_id, call.body),
            id: call.attempt.id.to_string(),
            bound: true,
        };
        let merchant = click.merchant_id;
        Ok(Prepared(Submission {
            merchant,
            mode: Mode::Live,
            attempt: Attempt { merchant: Some(merchant), mode: None, ..call.attempt },
            claim: Some(claim),
            delivery: None,
            content: Arc::new(Content::Click(recording)),
            // Visitors are sent on whatever the merchant's quota is.
            metered: false,
            render: call.render,
        }))
    }
}
