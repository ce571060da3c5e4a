//! The proof that a request is authentic, whoever may make it, and the limits around it (contract
//! section 3, order of checks).

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::PoisonError;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, Uri};
use actix_web::{HttpMessage as _, HttpRequest, web};
use chrono::TimeDelta;

use super::body::{self, Body, BodyRoom};
use super::client::client_of;
use super::headers::{external_event_id, idempotency_key, signature_headers};
use crate::domain::access::{Circumstances, Verified};
use crate::domain::ids::{KeyId, MerchantId};
use crate::domain::merchant::Mode;
use crate::domain::peer_failures::{Hearing, Peer};
use crate::domain::signature::{Covered, Digests, Form, Forms, IdempotencyKey, Scheme, SignedHead};
use crate::http::admission::{Connection, Full};
use crate::http::attempts::key_named;
use crate::http::error::{Code, Problem};
use crate::http::rate_limits::{is_charged, too_many_failures};
use crate::http::request_context::{Notes, note};
use crate::http::state::AppState;

/// A call on its way out of a request.
pub type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// An authentic request, in its time, from where its key may be used.
pub struct Proven {
    /// The proof.
    pub verified: Verified,
    /// The key of the logical operation: the header's, else the `webhook-id`.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Whether that key is its signer's: it is under the signature, or this process has not seen the same
    /// signature with another key lately.
    pub key_bound: bool,
    /// The same of `external_event_id`.
    pub id_bound: bool,
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
    state: &web::Data<AppState>,
    room: BodyRoom,
) -> Result<Proven, Problem> {
    let (limits, clock) = (&state.rate_limits, state.ingest.clock.as_ref());
    let client = client_of(request, &state.limits.trusted_proxies);
    note_forwarding(request, state);
    let charge = |problem: &Problem, bytes| limits.charge(client, problem, bytes, clock.monotonic());
    let length = body::check_length(request, payload, room.bytes_max).await;
    let length = length.inspect_err(|problem| charge(problem, 0))?;
    let key_is_known = names_known_key(request, state);
    let hearing = limits.hear(client, key_is_known, clock.monotonic());
    if let Hearing::Refused(wait) = hearing {
        body::drain(payload).await;
        return Err(too_many_failures(wait));
    }
    let memory = room.memory.of(key_is_known);
    let body = body::read(payload, length, (memory, client.map(Peer::of)), &state.limits);
    let proven = match body.await {
        Ok(body) => prove(request, state, client, body).await,
        Err(problem) => Err(problem),
    };
    let proven = proven.map_err(|problem| {
        charge(&problem, length);
        match hearing {
            Hearing::OnTrial(wait) if is_charged(&problem) => too_many_failures(wait),
            _ => problem,
        }
    })?;
    note(request, |notes| notes.key_id = Some(proven.verified.key_id().to_string()));
    Ok(proven)
}

/// Whether the request names a key that there is. It decides about memory and tries, never about the verdict.
fn names_known_key(request: &HttpRequest, state: &AppState) -> bool {
    let Ok(directory) = state.ingest.keyring.current() else { return true };
    key_named(request.headers()).is_some_and(|named| directory.is_known(named))
}

fn note_forwarding(request: &HttpRequest, state: &AppState) {
    let Some(from) = request.peer_addr().map(|address| address.ip()) else { return };
    let trusted = || state.limits.trusted_proxies.iter().any(|net| net.contains(&from.to_canonical()));
    if request.headers().contains_key("x-forwarded-for") && !trusted() {
        state.forwarding.note(from, state.ingest.clock.monotonic());
    }
}

/// Bodies of more bytes are hashed where they keep no worker from its other callers: some 200 µs.
const JUDGED_IN_PLACE: usize = 64 * 1024;

async fn prove(
    request: &HttpRequest,
    state: &web::Data<AppState>,
    client: Option<IpAddr>,
    mut body: Body,
) -> Result<Proven, Problem> {
    let forms = request.extensions().get::<Notes>().map(Notes::forms).unwrap_or_default();
    let signed = SignedRequest { method: request.method(), uri: request.uri(), headers: request.headers() };
    let judgement = if body.bytes.len() <= JUDGED_IN_PLACE {
        judge(&signed, &body.bytes, state, (client, forms))
    } else {
        let (method, uri, headers) = (signed.method.clone(), signed.uri.clone(), signed.headers.clone());
        let (bytes, judge_state) = (body.bytes.clone(), state.clone());
        let judging = state.judging.run(move || {
            let signed = SignedRequest { method: &method, uri: &uri, headers: &headers };
            judge(&signed, &bytes, &judge_state, (client, forms))
        });
        tokio::select! {
            judgement = judging => judgement?,
            () = body.memory.given_up() => return Err(body::overloaded()),
        }
    };
    let Judgement { body_sha256, named, signer, judged } = judgement;
    note(request, |notes| {
        notes.body = Some(body.bytes.clone());
        notes.key_id = named.map(|key| key.to_string());
        if let Some(attempt) = &mut notes.attempt {
            attempt.body_bytes = body.bytes.len();
            attempt.body_sha256 = Some(body_sha256);
            if let Some(owner) = signer {
                attempt.authenticated(owner);
            }
        }
    });
    let Judged { verified, idempotency_key, key_bound, id_bound, external_event_id } = judged?;
    body.memory.keep().map_err(|Full| body::overloaded())?;
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.prove();
    }
    Ok(Proven { verified, idempotency_key, key_bound, id_bound, external_event_id, body })
}

/// What a signature may be over, besides the body.
struct SignedRequest<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

/// What was found out about a request.
struct Judgement {
    /// Over the body.
    body_sha256: String,
    /// The key that the request names, where it was refused.
    named: Option<KeyId>,
    /// Whose key signed, where the signature is right, whatever else is wrong. An operator's key is nobody's.
    signer: Option<Option<(MerchantId, Mode)>>,
    judged: Result<Judged, Problem>,
}

/// What is proven of a request.
struct Judged {
    verified: Verified,
    idempotency_key: Option<IdempotencyKey>,
    key_bound: bool,
    id_bound: bool,
    external_event_id: Option<String>,
}

/// Judges a whole request; on any thread.
fn judge(
    request: &SignedRequest<'_>,
    body: &[u8],
    state: &AppState,
    (client, endpoint): (Option<IpAddr>, Forms),
) -> Judgement {
    let digests = Digests::of(body);
    let (mut named, mut signer) = (None, None);
    let mut find = || {
        let signature_headers = signature_headers(request.headers);
        let head = signature_headers.parse()?;
        let (key_header, key) = idempotency_key(request.headers)?;
        let covered = Covered {
            method: request.method.as_str(),
            target: request.uri.path_and_query().map_or("/", |target| target.as_str()),
            idempotency_key: key_header,
            external_event_id: external_event_id(request.headers)?,
            body,
        };
        let circumstances = circumstances(state, client, endpoint)?;
        let directory = state.ingest.keyring.current()?;
        let verified = directory.judge(&head, &covered, &digests, &circumstances);
        if verified.as_ref().map_or_else(|refusal| refusal.signed_rightly(), |_| true) {
            signer = Some(directory.owner_of(head.key_id));
        }
        let verified = verified.map_err(|refusal| {
            // What is no key id may be a secret in the wrong header: it is logged nowhere.
            named = head.key_id.parse::<KeyId>().ok();
            Problem::refused(refusal, circumstances.now, state.limits.tolerance_s)
        })?;
        Ok(judged(verified, (&head, &covered, &digests), key, state))
    };
    let judged = find();
    Judgement { body_sha256: digests.body_sha256().to_owned(), named, signer, judged }
}

fn circumstances(
    state: &AppState,
    client: Option<IpAddr>,
    endpoint: Forms,
) -> Result<Circumstances, Problem> {
    let Some(now) = state.clock_watch.reliable_now() else {
        let detail = "Timestamps cannot be judged until the clock is right again.";
        return Err(Problem::new(Code::ClockUnreliable, detail));
    };
    let tolerance = TimeDelta::seconds(state.limits.tolerance_s);
    Ok(Circumstances { now, tolerance, client, forms: endpoint.and(state.limits.forms) })
}

fn judged(
    verified: Verified,
    (head, covered, digests): (&SignedHead<'_>, &Covered<'_>, &Digests),
    key: Option<IdempotencyKey>,
    state: &AppState,
) -> Judged {
    let captured = verified.form() != Form::Bound && is_captured(head, covered, digests, state);
    let external_event_id = Some(covered.external_event_id).filter(|id| !id.is_empty()).map(str::to_owned);
    let (idempotency_key, key_bound) = match (key, &head.scheme) {
        // A message's id is under its signature.
        (None, Scheme::StandardWebhooks { id, .. }) => (IdempotencyKey::from_webhook_id(id).ok(), true),
        (key, _) => (key, !captured),
    };
    Judged { verified, idempotency_key, key_bound, id_bound: !captured, external_event_id }
}

/// Whether a signature that does not bind them came with another path, key or delivery id before.
fn is_captured(head: &SignedHead<'_>, covered: &Covered<'_>, digests: &Digests, state: &AppState) -> bool {
    let message = match &head.scheme {
        Scheme::StandardWebhooks { id, .. } => Some(*id),
        Scheme::Hex { .. } => None,
    };
    let signed = (head.key_id, message, head.timestamp, digests.body_sha256());
    let unbound = (covered.target, covered.idempotency_key, covered.external_event_id);
    let mut seen = state.seen_signatures.lock().unwrap_or_else(PoisonError::into_inner);
    seen.is_captured(signed, unbound, state.ingest.clock.monotonic())
}
