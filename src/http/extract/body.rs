//! Reading a body: within its size, its time, and the memory set aside for all bodies together.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::error::{Code, Problem};
use crate::http::state::AppState;

/// How much of a refused body is read and dropped, and for how long, so that the caller reads the
/// answer instead of a reset connection.
const DRAIN_BYTES_MAX: usize = 2 * 1024 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// A body, and its share of the memory for bodies.
pub struct Body {
    /// The bytes as received.
    pub bytes: Bytes,
    /// Given back when the request is answered.
    pub permit: OwnedSemaphorePermit,
}

/// How large a body may be, and the memory that it is taken from.
pub struct BodyRoom {
    /// The largest.
    pub bytes_max: usize,
    /// Bytes that may yet be held, all bodies of its kind together.
    pub memory: Arc<Semaphore>,
}

impl BodyRoom {
    /// For a body of the usual size.
    pub fn of_callbacks(state: &AppState) -> Self {
        Self { bytes_max: state.limits.body_bytes_max, memory: state.body_bytes.clone() }
    }

    /// For one of a bulk request's.
    pub fn of_bulk_requests(state: &AppState) -> Self {
        Self { bytes_max: state.limits.bulk_body_bytes_max, memory: state.bulk_body_bytes.clone() }
    }

    /// For a merchant's books.
    pub fn of_books(state: &AppState) -> Self {
        Self {
            bytes_max: state.limits.reconciliation_body_bytes_max,
            memory: state.reconciliation_body_bytes.clone(),
        }
    }
}

/// Refuses a body that is announced to be too large.
pub async fn check_length(request: &HttpRequest, payload: &mut Payload, limit: usize) -> Result<(), Problem> {
    let length = content_length(request)?;
    if length > limit {
        drain(payload).await;
        return Err(too_large(limit));
    }
    Ok(())
}

/// Reads the whole body, whose length was checked.
pub async fn read(payload: &mut Payload, room: &BodyRoom, state: &AppState) -> Result<Body, Problem> {
    let limit = room.bytes_max;
    let reading = tokio::time::timeout(state.limits.body_timeout, collect(payload, limit, &room.memory));
    match reading.await {
        Ok(Err(problem)) if problem.code == Code::Overloaded => {
            drain(payload).await;
            Err(problem)
        }
        Ok(body) => body,
        Err(_) => {
            let detail = format!("A body may take {} s to arrive.", state.limits.body_timeout.as_secs());
            Err(Problem::new(Code::RequestTimeout, detail).closing())
        }
    }
}

/// Reads and drops what is left of a body, for a short while.
pub async fn drain(payload: &mut Payload) {
    let dropping = async {
        let mut dropped = 0;
        while let Some(Ok(chunk)) = payload.next().await {
            dropped += chunk.len();
            if dropped > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    // Whether it ended or not: the answer is sent now.
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, dropping).await;
}

/// Memory is taken as bytes arrive, not as they are announced: a promise costs its maker nothing.
async fn collect(payload: &mut Payload, limit: usize, memory: &Arc<Semaphore>) -> Result<Body, Problem> {
    let overloaded =
        |_| Problem::new(Code::Overloaded, "More bodies are on their way than the service takes on.");
    let mut bytes = BytesMut::new();
    let mut permit = memory.clone().try_acquire_many_owned(0).map_err(overloaded)?;
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|_| Problem::new(Code::MalformedRequest, "The body broke off.").closing())?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        let share = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
        permit.merge(memory.clone().try_acquire_many_owned(share).map_err(overloaded)?);
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes: bytes.freeze(), permit })
}

fn content_length(request: &HttpRequest) -> Result<usize, Problem> {
    let Some(value) = request.headers().get(header::CONTENT_LENGTH) else { return Ok(0) };
    value
        .to_str()
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Problem::new(Code::MalformedRequest, "Content-Length is not a number.").closing())
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("The body may have {limit} bytes.")).closing()
}
