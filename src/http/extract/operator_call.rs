//! A request that the operator really made, by the link shortener. A handler that takes one cannot run
//! on any other.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};

use super::body::{Body, BodyRoom};
use super::media_type;
use super::proof::{Extracting, Proven, extract};
use crate::domain::access::Verified;
use crate::domain::signature::IdempotencyKey;
use crate::http::admission::Share;
use crate::http::api::{Words, click_answer};
use crate::http::error::{Code, Problem};
use crate::http::request_context::{note, noted};
use crate::http::state::AppState;
use crate::ingest::{ClickCall, IngestError, Prepared};

/// A verified call on an operator's endpoint. Operators have no rate limit.
pub struct OperatorCall {
    verified: Verified,
    idempotency_key: Option<IdempotencyKey>,
    external_event_id: Option<String>,
    body: Bytes,
    _memory: Share,
}

impl FromRequest for OperatorCall {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        extract(request, payload, BodyRoom::of_callbacks, accept)
    }
}

fn accept(request: &HttpRequest, _: &AppState, proven: Proven) -> Result<OperatorCall, Problem> {
    let Proven { verified, idempotency_key, external_event_id, body, .. } = proven;
    if let Some(merchant) = verified.merchant() {
        note(request, |notes| notes.merchant_id = Some(merchant.id));
        return Err(Problem::new(Code::Forbidden, "A merchant's key is not for the operator's endpoints."));
    }
    let Body { bytes: body, memory: _memory } = body;
    Ok(OperatorCall { verified, idempotency_key, external_event_id, body, _memory })
}

impl OperatorCall {
    /// Has a use case make a submission of its JSON body; nothing is written yet.
    ///
    /// From then on the journal knows the merchant that the submission is about: whatever becomes of
    /// it, its line stands in one place.
    pub fn prepare<'a>(
        &'a self,
        request: &HttpRequest,
        use_case: impl FnOnce(ClickCall<'a>) -> Result<Prepared, IngestError>,
    ) -> Result<Prepared, Problem> {
        let body = media_type::json(request, &self.body)?;
        let idempotency_key = self.idempotency_key.as_ref().ok_or_else(|| {
            Problem::new(
                Code::IdempotencyKeyMalformed,
                "A click needs an Idempotency-Key: by it a repeat of the request is the same click.",
            )
        })?;
        let attempt = noted(request).attempt;
        let attempt = attempt.ok_or_else(|| Problem::new(Code::InternalError, "The path is not set up."))?;
        let prepared = use_case(ClickCall {
            verified: &self.verified,
            idempotency_key,
            external_event_id: self.external_event_id.as_deref(),
            attempt,
            body,
            answer: click_answer::answer,
            render: Arc::new(Words),
        })?;
        let submission = prepared.submission();
        note(request, |notes| {
            notes.merchant_id = Some(submission.merchant);
            notes.attempt = Some(submission.attempt.clone());
        });
        Ok(prepared)
    }
}
