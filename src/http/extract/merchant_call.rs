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

use super::body::{self, Body, BodyRoom};
use super::client::client_of;
use super::headers::{external_event_id, idempotency_key, signature_headers};
use crate::domain::access::{Circumstances, Verified};
use crate::domain::ids::KeyId;
use crate::domain::merchant::Merchant;
use crate::domain::signature::{Covered, Digests, IdempotencyKey, Scheme, SignedHead};
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
    /// `X-External-Event-Id`.
    pub external_event_id: Option<String>,
    /// The body as received.
    pub body: Bytes,
    _memory: OwnedSemaphorePermit,
}

/// The same, with a body that may be as large as a bulk request's.
pub struct BulkCall(pub MerchantCall);

/// The same, with a body that may be as large as a merchant's books.
pub struct BooksCall(pub MerchantCall);

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

impl FromRequest for MerchantCall {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        extract(request, payload, |state| BodyRoom {
            bytes_max: state.limits.body_bytes_max,
            memory: state.body_bytes.clone(),
        })
    }
}

impl FromRequest for BulkCall {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let call = extract(request, payload, |state| BodyRoom {
            bytes_max: state.limits.bulk_body_bytes_max,
            memory: state.bulk_body_bytes.clone(),
        });
        Box::pin(async { call.await.map(Self) })
    }
}

impl FromRequest for BooksCall {
    type Error = Problem;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let call = extract(request, payload, |state| BodyRoom {
            bytes_max: state.limits.reconciliation_body_bytes_max,
            memory: state.reconciliation_body_bytes.clone(),
        });
        Box::pin(async { call.await.map(Self) })
    }
}

fn extract(
    request: &HttpRequest,
    payload: &mut Payload,
    room: fn(&AppState) -> BodyRoom,
) -> Extracting<MerchantCall> {
    let request = request.clone();
    let mut payload = payload.take();
    Box::pin(async move {
        let state = request
            .app_data::<web::Data<AppState>>()
            .cloned()
            .ok_or_else(|| Problem::new(Code::InternalError, "The service is not set up."))?;
        verify(&request, &mut payload, &state, room(&state)).await
    })
}

impl MerchantCall {
    /// The body of a request that must have one, as JSON.
    pub fn json_body(&self, request: &HttpRequest) -> Result<&[u8], Problem> {
        self.body_of_type(request, &[("application/json", ())], "application/json").map(|(body, ())| body)
    }

    /// The body of a bulk request, and how its rows are written.
    pub fn rows_body(&self, request: &HttpRequest) -> Result<(&[u8], BulkFormat), Problem> {
        let types = [("application/json", BulkFormat::Json), ("application/x-ndjson", BulkFormat::Ndjson)];
        self.body_of_type(request, &types, "application/json or application/x-ndjson")
    }

    /// A merchant's books, and how they are written.
    pub fn books_body(&self, request: &HttpRequest) -> Result<(&[u8], BooksFormat), Problem> {
        let types = [
            ("application/json", BooksFormat::Json),
            ("application/x-ndjson", BooksFormat::Ndjson),
            ("text/csv", BooksFormat::Csv),
        ];
        self.body_of_type(request, &types, "application/json, application/x-ndjson or text/csv")
    }

    fn body_of_type<T: Copy>(
        &self,
        request: &HttpRequest,
        types: &[(&str, T)],
        wanted: &str,
    ) -> Result<(&[u8], T), Problem> {
        if self.body.is_empty() {
            return Err(Problem::new(Code::MalformedRequest, "The body is empty."));
        }
        let mut lines = request.headers().get_all(header::CONTENT_TYPE);
        let media_type = lines.next().and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|text| text.split(';').next()).map(str::trim).unwrap_or("");
        let once = lines.next().is_none();
        match types.iter().find(|(name, _)| once && essence.eq_ignore_ascii_case(name)) {
            Some((_, format)) => Ok((&self.body, *format)),
            None => Err(Problem::new(Code::UnsupportedMediaType, format!("Content-Type must be {wanted}."))),
        }
    }

    /// Has a use case make a submission of it; nothing is written yet.
    pub fn prepare<'a>(
        &'a self,
        request: &HttpRequest,
        body: &'a [u8],
        use_case: impl FnOnce(Call<'a>) -> Result<Prepared, IngestError>,
    ) -> Result<Prepared, Problem> {
        let attempt = noted(request).attempt;
        let attempt = attempt.ok_or_else(|| Problem::new(Code::InternalError, "The path is not set up."))?;
        let call = Call {
            verified: &self.verified,
            merchant: &self.merchant,
            idempotency_key: self.idempotency_key.clone(),
            external_event_id: self.external_event_id.as_deref(),
            delivery: None,
            attempt,
            body,
            render: Arc::new(Words),
        };
        Ok(use_case(call)?)
    }
}

/// The limits around the proof (contract section 3, order of checks).
async fn verify(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &AppState,
    room: BodyRoom,
) -> Result<MerchantCall, Problem> {
    let (limits, clock) = (&state.rate_limits, state.ingest.clock.as_ref());
    let client = client_of(request, &state.limits.trusted_proxies);
    body::check_length(request, payload, room.bytes_max).await?;
    if let Err(problem) = limits.admit(client, clock.monotonic()) {
        body::drain(payload).await;
        return Err(problem);
    }
    let proven = prove(request, payload, state, (client, room)).await;
    let Proven { verified, idempotency_key, external_event_id, body } =
        proven.inspect_err(|problem| limits.charge(client, problem, clock.monotonic()))?;
    note(request, |notes| notes.key_id = Some(verified.key_id().to_string()));
    let Some(merchant) = verified.merchant().cloned() else {
        return Err(Problem::new(Code::Forbidden, "An operator's key is not for merchants' endpoints."));
    };
    note(request, |notes| notes.merchant_id = Some(merchant.id));
    if let Some((quota, outcome)) = limits.spend(&merchant, clock) {
        note(request, |notes| notes.quota = Some(quota));
        outcome?;
    }
    let Body { bytes: body, permit: _memory } = body;
    Ok(MerchantCall { verified, merchant, idempotency_key, external_event_id, body, _memory })
}

/// An authentic request, in its time, from where its key may be used.
struct Proven {
    verified: Verified,
    idempotency_key: Option<IdempotencyKey>,
    external_event_id: Option<String>,
    body: Body,
}

async fn prove(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &AppState,
    (client, room): (Option<IpAddr>, BodyRoom),
) -> Result<Proven, Problem> {
    let body = body::read(payload, &room, state).await?;
    let digests = Digests::of(&body.bytes);
    note(request, |notes| {
        notes.body = Some(body.bytes.clone());
        if let Some(attempt) = &mut notes.attempt {
            attempt.body_bytes = body.bytes.len();
            attempt.body_sha256 = Some(digests.body_sha256().to_owned());
        }
    });
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
    let verified = judge(request, state, &head, (&covered, &digests), client)?;
    if let (None, Scheme::StandardWebhooks { id, .. }) = (&idempotency_key, &head.scheme) {
        idempotency_key = IdempotencyKey::from_webhook_id(id).ok();
    }
    let external_event_id = Some(covered.external_event_id).filter(|id| !id.is_empty()).map(str::to_owned);
    Ok(Proven { verified, idempotency_key, external_event_id, body })
}

fn judge(
    request: &HttpRequest,
    state: &AppState,
    head: &SignedHead<'_>,
    (covered, digests): (&Covered<'_>, &Digests),
    client: Option<IpAddr>,
) -> Result<Verified, Problem> {
    if !state.clock_watch.is_reliable() {
        let detail = "Timestamps cannot be judged until the clock is right again.";
        return Err(Problem::new(Code::ClockUnreliable, detail));
    }
    let directory = state.ingest.keyring.current()?;
    let now = state.ingest.clock.now();
    let tolerance = TimeDelta::seconds(state.limits.tolerance_s);
    directory.judge(head, covered, digests, &Circumstances { now, tolerance, client }).map_err(|refusal| {
        // What is no key id may be a secret in the wrong header: it is logged nowhere.
        let named = head.key_id.parse::<KeyId>().ok();
        note(request, |notes| notes.key_id = named.map(|key| key.to_string()));
        Problem::refused(refusal, now, state.limits.tolerance_s)
    })
}
