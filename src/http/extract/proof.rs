//! The proof that a request is authentic, whoever may make it, and the limits around it (contract
//! section 3, order of checks).

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{HttpRequest, web};
use chrono::TimeDelta;

use super::body::{self, Body, BodyRoom};
use super::client::client_of;
use super::headers::{external_event_id, idempotency_key, signature_headers};
use crate::domain::access::{Circumstances, Verified};
use crate::domain::ids::KeyId;
use crate::domain::signature::{Covered, Digests, IdempotencyKey, Scheme, SignedHead};
use crate::http::error::{Code, Problem};
use crate::http::request_context::note;
use crate::http::state::AppState;

/// A call on its way out of a request.
pub type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// An authentic request, in its time, from where its key may be used.
pub struct Proven {
    /// The proof.
    pub verified: Verified,
    /// The key of the logical operation: the header's, else the `webhook-id`.
    pub idempotency_key: Option<IdempotencyKey>,
    /// `X-External-Event-Id`.
    pub external_event_id: Option<String>,
    /// The body as received.
    pub body: Body,
}

/// Proves a request and has it accepted, which may yet find that its key is not for this endpoint.
pub fn extract<T: 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
    room: fn(&AppState) -> BodyRoom,
    accept: fn(&HttpRequest, &AppState, Proven) -> Result<T, Problem>,
) -> Extracting<T> {
    let request = request.clone();
    let mut payload = payload.take();
    Box::pin(async move {
        let state = request
            .app_data::<web::Data<AppState>>()
            .cloned()
            .ok_or_else(|| Problem::new(Code::InternalError, "The service is not set up."))?;
        let proven = verify(&request, &mut payload, &state, room(&state)).await?;
        accept(&request, &state, proven)
    })
}

/// Judges a request, and charges its peer if it is not authentic.
async fn verify(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &AppState,
    room: BodyRoom,
) -> Result<Proven, Problem> {
    let (limits, clock) = (&state.rate_limits, state.ingest.clock.as_ref());
    let client = client_of(request, &state.limits.trusted_proxies);
    body::check_length(request, payload, room.bytes_max).await?;
    if let Err(problem) = limits.admit(client, clock.monotonic()) {
        body::drain(payload).await;
        return Err(problem);
    }
    let proven = prove(request, payload, state, (client, room)).await;
    let proven = proven.inspect_err(|problem| limits.charge(client, problem, clock.monotonic()))?;
    note(request, |notes| notes.key_id = Some(proven.verified.key_id().to_string()));
    Ok(proven)
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
    let Some(now) = state.clock_watch.reliable_now() else {
        let detail = "Timestamps cannot be judged until the clock is right again.";
        return Err(Problem::new(Code::ClockUnreliable, detail));
    };
    let directory = state.ingest.keyring.current()?;
    let tolerance = TimeDelta::seconds(state.limits.tolerance_s);
    let judged = directory.judge(head, covered, digests, &Circumstances { now, tolerance, client });
    if judged.as_ref().map_or_else(|refusal| refusal.signed_rightly(), |_| true) {
        note(request, |notes| {
            let attempt = notes.attempt.as_mut();
            attempt.into_iter().for_each(|attempt| attempt.authenticated(directory.owner_of(head.key_id)));
        });
    }
    judged.map_err(|refusal| {
        // What is no key id may be a secret in the wrong header: it is logged nowhere.
        let named = head.key_id.parse::<KeyId>().ok();
        note(request, |notes| notes.key_id = named.map(|key| key.to_string()));
        Problem::refused(refusal, now, state.limits.tolerance_s)
    })
}
