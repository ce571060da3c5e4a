//! A request that a merchant really made. A handler that takes one cannot run on any other.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};

use super::body::{Body, BodyRoom};
use super::media_type;
use super::proof::{Extracting, Proven, extract};
use crate::domain::access::Verified;
use crate::domain::attempt::Attempt;
use crate::domain::merchant::Merchant;
use crate::domain::signature::IdempotencyKey;
use crate::http::admission::Share;
use crate::http::api::Words;
use crate::http::error::{Code, Problem};
use crate::http::request_context::{note, noted};
use crate::http::state::AppState;
use crate::ingest::reconciliation::BooksFormat;
use crate::ingest::{BulkFormat, Call, IngestError, Prepared};

/// A verified call on a merchant's endpoint.
pub struct MerchantCall {
    /// The proof.
    pub verified: Verified,
    /// The merchant.
    pub merchant: Arc<Merchant>,
    /// The key of the logical operation: the header's, else the `webhook-id`.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whether that key is its signer's.
    pub key_bound: bool,
    /// Whether `external_event_id` is.
    pub id_bound: bool,
    /// `X-External-Event-Id`.
    pub external_event_id: Option<String>,
    /// The body as received.
    pub body: Bytes,
    _memory: Share,
}

/// The same, with a body that may be as large as a bulk request's.
pub struct BulkCall(pub MerchantCall);

/// The same, with a body that may be as large as a merchant's books.
pub struct BooksCall(pub MerchantCall);

impl FromRequest for MerchantCall {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        extract(request, payload, BodyRoom::of_callbacks, accept)
    }
}

impl FromRequest for BulkCall {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        extract(request, payload, BodyRoom::of_bulk_requests, |request, state, proven| {
            accept(request, state, proven).map(Self)
        })
    }
}

impl FromRequest for BooksCall {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        extract(request, payload, BodyRoom::of_books, |request, state, proven| {
            accept(request, state, proven).map(Self)
        })
    }
}

/// A merchant's limit comes after the proof: a forger cannot spend it.
fn accept(request: &HttpRequest, state: &AppState, proven: Proven) -> Result<MerchantCall, Problem> {
    let Proven { verified, idempotency_key, key_bound, id_bound, external_event_id, body } = proven;
    let Some(merchant) = verified.merchant().cloned() else {
        return Err(Problem::new(Code::Forbidden, "An operator's key is not for merchants' endpoints."));
    };
    note(request, |notes| notes.merchant_id = Some(merchant.id));
    if let Some((quota, outcome)) = state.rate_limits.spend(&merchant, state.ingest.clock.as_ref()) {
        note(request, |notes| notes.quota = Some(quota));
        outcome?;
    }
    admit_to_quota(request, state, &merchant, body.bytes.len())?;
    let Body { bytes: body, memory: _memory } = body;
    Ok(MerchantCall {
        verified,
        merchant,
        idempotency_key,
        key_bound,
        id_bound,
        external_event_id,
        body,
        _memory,
    })
}

/// A quota is of what is written: reading goes on when it is used up.
fn admit_to_quota(
    request: &HttpRequest,
    state: &AppState,
    merchant: &Arc<Merchant>,
    bytes: usize,
) -> Result<(), Problem> {
    if !merchant.quota.is_set() || noted(request).attempt.is_none() {
        return Ok(());
    }
    let admitted = state.daily_quotas.admit(merchant, bytes, state.ingest.clock.now());
    admitted.inspect_err(|_| {
        state.metrics.quota_refused.inc();
    })
}

impl MerchantCall {
    /// The body of a request that must have one, as JSON.
    pub fn json_body(&self, request: &HttpRequest) -> Result<&[u8], Problem> {
        media_type::json(request, &self.body)
    }

    /// The body of a bulk request, and how its rows are written.
    pub fn rows_body(&self, request: &HttpRequest) -> Result<(&[u8], BulkFormat), Problem> {
        let types = [("application/json", BulkFormat::Json), ("application/x-ndjson", BulkFormat::Ndjson)];
        media_type::of_type(request, &self.body, &types, "application/json or application/x-ndjson")
    }

    /// A merchant's books, and how they are written.
    pub fn books_body(&self, request: &HttpRequest) -> Result<(&[u8], BooksFormat), Problem> {
        let types = [
            ("application/json", BooksFormat::Json),
            ("application/x-ndjson", BooksFormat::Ndjson),
            ("text/csv", BooksFormat::Csv),
        ];
        let wanted = "application/json, application/x-ndjson or text/csv";
        media_type::of_type(request, &self.body, &types, wanted)
    }

    /// Has a use case make a submission of it; nothing is written yet.
    pub fn prepare<'a>(
        &'a self,
        request: &HttpRequest,
        body: &'a [u8],
        use_case: impl FnOnce(Call<'a>) -> Result<Prepared, IngestError>,
    ) -> Result<Prepared, Problem> {
        self.prepare_attempt(attempt_of(request)?, body, use_case)
    }

    /// The same of what is known of the request already, which may be done on any thread.
    pub fn prepare_attempt<'a>(
        &'a self,
        attempt: Attempt,
        body: &'a [u8],
        use_case: impl FnOnce(Call<'a>) -> Result<Prepared, IngestError>,
    ) -> Result<Prepared, Problem> {
        let (merchant, mode) = (Some(self.merchant.id), Some(self.verified.mode()));
        let call = Call {
            verified: &self.verified,
            merchant: &self.merchant,
            idempotency_key: self.idempotency_key.clone(),
            key_bound: self.key_bound,
            id_bound: self.id_bound,
            external_event_id: self.external_event_id.as_deref(),
            delivery: None,
            attempt: Attempt { merchant, mode, ..attempt },
            body,
            render: Arc::new(Words),
        };
        Ok(use_case(call)?)
    }
}

/// The journal's view of a request to a writing endpoint.
pub fn attempt_of(request: &HttpRequest) -> Result<Attempt, Problem> {
    noted(request).attempt.ok_or_else(|| Problem::new(Code::InternalError, "The path is not set up."))
}
