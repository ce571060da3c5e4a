//! One log line, one count and one request id per request, however it ends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage as _, web};
use tracing::Instrument as _;

use super::precheck::precheck;
use crate::domain::signature::Forms;
use crate::http::admission::{Busy, Connection};
use crate::http::attempts::{Reason, begin};
use crate::http::error::{Code, Problem};
use crate::http::extract::drain;
use crate::http::problem_response::unnamed;
use crate::http::request_context::{CallNotes, Notes, RequestId};
use crate::http::routes::{Endpoint, named};
use crate::http::state::AppState;
use crate::telemetry::OutcomeLabels;

/// Wraps everything else.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<AppState>>().cloned() else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };
    let ingest = &state.ingest;
    let id = RequestId::of(request.headers(), ingest.clock.as_ref(), ingest.entropy.as_ref());
    request.extensions_mut().insert(id.clone());
    let started = ingest.clock.monotonic();
    let pattern = request.match_pattern();
    let endpoint = pattern.as_deref().and_then(|path| Endpoint::of(request.method().as_str(), path));
    let path = pattern.as_deref().and_then(named);
    let notes = Notes::default();
    notes.add(|notes| {
        notes.endpoint = path.map(|(name, _)| name);
        notes.forms = endpoint.map_or(Forms::BOUND, |endpoint| endpoint.signed.forms());
        notes.attempt = begin(&request, &state, path, &id, started);
    });
    request.extensions_mut().insert(notes.clone());
    let count = Count::begin(&state, &notes, started);
    let span = tracing::error_span!("request", request_id = %id.0);
    let response = answer(request, next, &state, endpoint).instrument(span.clone()).await?;
    let problem = problem_of(&response);
    let notes = notes.read();
    let elapsed = ingest.clock.monotonic().saturating_sub(count.started);
    span.in_scope(|| log(&response, &notes, problem.as_ref(), elapsed));
    count.end(response.status(), &notes, problem.as_ref(), elapsed);
    let reason = Reason::of(problem.as_ref());
    let mut response = finish(response, &state, &id, problem);
    if let Some(quota) = notes.quota {
        quota.write(response.headers_mut());
    }
    state.attempts.refused(notes, response.status(), reason, elapsed);
    Ok(response)
}

async fn answer(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    state: &AppState,
    endpoint: Option<&Endpoint>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let connection = request.request().conn_data::<Connection>().cloned().unwrap_or_default();
    let busy = connection.begin(state.ingest.clock.clone());
    if connection.is_condemned() {
        let detail = "The connection was closed by the answer before.";
        return Ok(request
            .error_response(Problem::new(Code::MalformedRequest, detail).closing())
            .map_into_boxed_body());
    }
    // The caller's last request on this connection, by its own word; or the last that is HTTP/1.1.
    if request.head().connection_type() != ConnectionType::KeepAlive {
        connection.condemn();
    }
    let response = match precheck(&request, &state.limits, endpoint) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => {
            // A body that does not tell its end is not read: what follows it is never answered.
            let headers = request.headers();
            let has_end = headers.contains_key(header::CONTENT_LENGTH)
                && !headers.contains_key(header::TRANSFER_ENCODING);
            if has_end {
                drain(&mut request.take_payload()).await;
            }
            request.error_response(problem).map_into_boxed_body()
        }
    };
    if problem_of(&response).is_some_and(|problem| problem.close) {
        connection.condemn();
    }
    // An export goes on for as long as its caller reads it.
    if response.response().body().size() == BodySize::Stream {
        return Ok(response.map_body(|_, body| BoxBody::new(Streamed { body, _busy: busy })));
    }
    Ok(response)
}

/// A body that is made while it is sent: its request is over when it is.
struct Streamed {
    body: BoxBody,
    _busy: Busy,
}

impl MessageBody for Streamed {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

/// The problem that an answer is; actix's own errors have none yet.
fn problem_of(response: &ServiceResponse<BoxBody>) -> Option<Problem> {
    let error = response.response().error()?;
    Some(error.as_error::<Problem>().cloned().unwrap_or_else(|| unnamed(response.status())))
}

/// Puts the request's id into the answer, and into the body of a problem.
fn finish(
    response: ServiceResponse<BoxBody>,
    state: &AppState,
    id: &RequestId,
    problem: Option<Problem>,
) -> ServiceResponse<BoxBody> {
    let mut response = match problem {
        Some(problem) => response.into_response(problem.respond(&id.0)),
        None => response,
    };
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), value);
    }
    protect(response.headers_mut());
    if state.is_draining() {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

/// What callers are answered is theirs alone, and is what its type says.
fn protect(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn log(response: &ServiceResponse<BoxBody>, notes: &CallNotes, problem: Option<&Problem>, elapsed: Duration) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                method = response.request().method().as_str(),
                path = response.request().path(),
                status = response.status().as_u16(),
                reason = problem.map(Problem::reason).or(notes.outcome),
                detail = problem.map(|problem| problem.detail.as_str()),
                key_id = notes.key_id.as_deref(),
                merchant_id = notes.merchant_id.map(tracing::field::display),
                attempt_id = notes.attempt.as_ref().map(|attempt| tracing::field::display(attempt.id)),
                event_id = notes.event_id.as_deref(),
                elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
                "answered"
            )
        };
    }
    match response.status() {
        StatusCode::INTERNAL_SERVER_ERROR => line!(error),
        status if status.is_server_error() => line!(warn),
        status if status.is_client_error() => line!(info),
        _ => line!(debug),
    }
}

/// Counts a request once, also when its caller leaves before the answer.
struct Count {
    state: web::Data<AppState>,
    notes: Notes,
    started: Duration,
    ended: bool,
}

impl Count {
    fn begin(state: &web::Data<AppState>, notes: &Notes, started: Duration) -> Self {
        state.metrics.requests.inc();
        Self { state: state.clone(), notes: notes.clone(), started, ended: false }
    }

    fn end(mut self, status: StatusCode, notes: &CallNotes, problem: Option<&Problem>, elapsed: Duration) {
        self.ended = true;
        let reason = problem.map(Problem::reason).or(notes.outcome).unwrap_or(if status.is_success() {
            "ok"
        } else {
            "unnamed"
        });
        let labels =
            OutcomeLabels { endpoint: notes.endpoint.unwrap_or("unknown"), status: status.as_u16(), reason };
        self.state.metrics.outcomes.get_or_create(&labels).inc();
        self.state.metrics.request_seconds.observe(elapsed.as_secs_f64());
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if !self.ended {
            let notes = self.notes.read();
            let endpoint = notes.endpoint.unwrap_or("unknown");
            let labels = OutcomeLabels { endpoint, status: 0, reason: "client_left" };
            self.state.metrics.outcomes.get_or_create(&labels).inc();
            let elapsed = self.state.ingest.clock.monotonic().saturating_sub(self.started);
            self.state.attempts.abandoned(notes, elapsed);
        }
    }
}
