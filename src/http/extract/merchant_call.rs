//! A request that a merchant really made. A handler that takes one cannot run on any other.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, web};
use chrono::TimeDelta;
use tokio::sync::OwnedSemaphorePermit;

use super::body::{self, Body};
use super::client::client_of;
use super::headers::{external_event_id, idempotency_key, signature_headers};
use crate::domain::access::{Circumstances, Verified};
use crate::domain::merchant::Merchant;
use crate::domain::signature::{Covered, IdempotencyKey, Scheme, SignedHead};
use crate::http::error::{Code, Problem};
use crate::http::request_context::note;
use crate::http::state::AppState;

/// A verified call on a merchant's endpoint.
pub struct MerchantCall {
    /// The proof.
    pub verified: Verified,
    /// The merchant.
    pub merchant: Arc<Merchant>,
    /// The key of the logical operation: the header's, else the `webhook-id`.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The body as received.
    pub body: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl FromRequest for MerchantCall {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let state = request
                .app_data::<web::Data<AppState>>()
                .cloned()
                .ok_or_else(|| Problem::new(Code::InternalError, "The service is not set up."))?;
            verify(&request, &mut payload, &state).await
        })
    }
}

impl MerchantCall {
    /// The body of a request that must have one, as JSON.
    pub fn json_body(&self, request: &HttpRequest) -> Result<&[u8], Problem> {
        if self.body.is_empty() {
            return Err(Problem::new(Code::MalformedRequest, "The body is empty."));
        }
        let mut lines = request.headers().get_all(header::CONTENT_TYPE);
        let media_type = lines.next().and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|text| text.split(';').next()).map(str::trim).unwrap_or("");
        if lines.next().is_some() || !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(Code::UnsupportedMediaType, "Content-Type must be application/json."));
        }
        Ok(&self.body)
    }
}

/// The limits around the proof (contract section 3, order of checks).
async fn verify(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &AppState,
) -> Result<MerchantCall, Problem> {
    let (limits, clock) = (&state.rate_limits, state.ingest.clock.as_ref());
    let client = client_of(request, &state.limits.trusted_proxies);
    body::check_length(request, payload, state).await?;
    if let Err(problem) = limits.admit(client, clock.monotonic()) {
        body::drain(payload).await;
        return Err(problem);
    }
    let proven = prove(request, payload, state, client).await;
    let Proven { verified, idempotency_key, body } =
        proven.inspect_err(|problem| limits.charge(client, problem, clock.monotonic()))?;
    note(request, |notes| notes.key_id = Some(verified.key_id().to_string()));
    let Some(merchant) = verified.merchant().cloned() else {
        return Err(Problem::new(Code::Forbidden, "An operator's key is not for merchants' endpoints."));
    };
    note(request, |notes| notes.merchant_id = Some(merchant.id.to_string()));
    if let Some((quota, outcome)) = limits.spend(&merchant, clock) {
        note(request, |notes| notes.quota = Some(quota));
        outcome?;
    }
    Ok(MerchantCall { verified, merchant, idempotency_key, body: body.bytes, _memory: body.permit })
}

/// An authentic request, in its time, from where its key may be used.
struct Proven {
    verified: Verified,
    idempotency_key: Option<IdempotencyKey>,
    body: Body,
}

async fn prove(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &AppState,
    client: Option<IpAddr>,
) -> Result<Proven, Problem> {
    let body = body::read(payload, state).await?;
    let signature_headers = signature_headers(request.headers());
    let head = signature_headers.parse()?;
    let (key_header, mut idempotency_key) = idempotency_key(request.headers())?;
    let covered = Covered {
        method: request.method().as_str(),
        target: request.uri().path_and_query().map_or("/", |target| target.as_str()),
        idempotency_key: key_header,
        external_event_id: external_event_id(request.headers())?,
        body: &body.bytes,
    };
    let verified = judge(request, state, &head, &covered, client)?;
    if let (None, Scheme::StandardWebhooks { id, .. }) = (&idempotency_key, &head.scheme) {
        idempotency_key = IdempotencyKey::from_webhook_id(id).ok();
    }
    Ok(Proven { verified, idempotency_key, body })
}

fn judge(
    request: &HttpRequest,
    state: &AppState,
    head: &SignedHead<'_>,
    covered: &Covered<'_>,
    client: Option<IpAddr>,
) -> Result<Verified, Problem> {
    if !state.clock_watch.is_reliable() {
        let detail = "Timestamps cannot be judged until the clock is right again.";
        return Err(Problem::new(Code::ClockUnreliable, detail));
    }
    let directory = state.ingest.keyring.current()?;
    let now = state.ingest.clock.now();
    let tolerance = TimeDelta::seconds(state.limits.tolerance_s);
    directory.judge(head, covered, &Circumstances { now, tolerance, client }).map_err(|refusal| {
        note(request, |notes| notes.key_id = Some(head.key_id.chars().take(64).collect()));
        Problem::refused(refusal, now, state.limits.tolerance_s)
    })
}
