//! Reading a body: within its size, its time, and the memory set aside for all bodies together.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use crate::domain::peer_failures::Peer;
use crate::http::admission::{BodyMemory, Full, Share};
use crate::http::error::{Code, Problem};
use crate::http::state::{AppState, HttpLimits};

/// How much of a refused body is read and dropped, and for how long, so that the caller reads the
/// answer instead of a reset connection.
const DRAIN_BYTES_MAX: usize = 2 * 1024 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// A body, and its share of the memory for bodies.
pub struct Body {
    /// The bytes as received.
    pub bytes: Bytes,
    /// Given back when the request is answered.
    pub memory: Share,
}

/// How large a body may be, and the memory that it is taken from.
pub struct BodyRoom {
    /// The largest.
    pub bytes_max: usize,
    /// The memory of its kind.
    pub memory: BodyMemories,
}

/// The memory of one kind of bodies. Who names no key that there is gets a small part: its body is read and
/// judged like any other, but cannot keep out those that may be authentic.
#[derive(Clone)]
pub struct BodyMemories {
    known: BodyMemory,
    strangers: BodyMemory,
}

/// What part of a kind's memory is for requests that name no known key: one over this, but one body at least.
const STRANGERS_PART: usize = 8;

impl BodyMemories {
    /// Memory for bodies of so many bytes together, each of at most `body_bytes_max`.
    pub fn new(bytes: usize, body_bytes_max: usize) -> Self {
        let strangers = BodyMemory::new((bytes / STRANGERS_PART).max(body_bytes_max));
        Self { known: BodyMemory::new(bytes), strangers }
    }

    /// The memory for a request that names a known key, or does not.
    pub const fn of(&self, key_is_known: bool) -> &BodyMemory {
        if key_is_known { &self.known } else { &self.strangers }
    }
}

impl BodyRoom {
    /// For a body of the usual size.
    pub fn of_callbacks(state: &AppState) -> Self {
        Self { bytes_max: state.limits.body_bytes_max, memory: state.body_memory.clone() }
    }

    /// For one of a bulk request's.
    pub fn of_bulk_requests(state: &AppState) -> Self {
        Self { bytes_max: state.limits.bulk_body_bytes_max, memory: state.bulk_body_memory.clone() }
    }

    /// For a merchant's books.
    pub fn of_books(state: &AppState) -> Self {
        Self {
            bytes_max: state.limits.reconciliation_body_bytes_max,
            memory: state.reconciliation_body_memory.clone(),
        }
    }
}

/// Refuses a body that is announced to be too large; else how long it is to be.
pub async fn check_length(
    request: &HttpRequest,
    payload: &mut Payload,
    limit: usize,
) -> Result<usize, Problem> {
    let length = content_length(request)?;
    if length > limit {
        drain(payload).await;
        return Err(too_large(limit));
    }
    Ok(length)
}

/// Reads the whole body, whose length was checked, into this memory.
pub async fn read(
    payload: &mut Payload,
    length: usize,
    (memory, peer): (&BodyMemory, Option<Peer>),
    limits: &HttpLimits,
) -> Result<Body, Problem> {
    // Most bodies come in one packet with their heads, or right behind them: those take their memory at once.
    let first = match payload.next().now_or_never() {
        None => timeout(FIRST, payload.next()).await.ok(),
        first => first,
    };
    let first = match first {
        Some(Some(Ok(chunk))) if chunk.len() == length => {
            let memory = memory.whole(length, peer, Instant::now()).map_err(|Full| overloaded())?;
            return Ok(Body { bytes: chunk, memory });
        }
        Some(None) => {
            let memory = memory.whole(0, peer, Instant::now()).map_err(|Full| overloaded())?;
            return Ok(Body { bytes: Bytes::new(), memory });
        }
        Some(Some(chunk)) => Some(chunk.map_err(|_| broken_off())?),
        None => None,
    };
    let mut reading =
        Reading { bytes: BytesMut::new(), share: memory.arriving(peer, Instant::now()), length };
    let read = async {
        if let Some(chunk) = first {
            reading.take(&chunk)?;
        }
        reading.go_on(payload, limits).await
    };
    match read.await {
        Ok(()) => Ok(Body { bytes: reading.bytes.freeze(), memory: reading.share }),
        Err(problem) => {
            if problem.code == Code::Overloaded {
                drain(payload).await;
            }
            Err(problem)
        }
    }
}

/// How long the beginning of a body is waited for before the body counts as one that arrives in parts.
const FIRST: Duration = Duration::from_millis(50);

/// A body on its way. Memory is taken as bytes arrive, not as they are announced: a promise costs its maker
/// nothing.
struct Reading {
    bytes: BytesMut,
    share: Share,
    /// As announced.
    length: usize,
}

/// In which time a body must bring some bytes, so that a stalled one is not kept for long.
const STALL: Duration = Duration::from_secs(3);

impl Reading {
    async fn go_on(&mut self, payload: &mut Payload, limits: &HttpLimits) -> Result<(), Problem> {
        let deadline = Instant::now() + limits.body_timeout;
        let (mut look, mut bytes_then) = (Instant::now() + STALL, 0);
        loop {
            let chunk = tokio::select! {
                chunk = payload.next() => chunk,
                () = self.share.given_up() => return Err(overloaded()),
                () = sleep_until(look.min(deadline)) => {
                    if Instant::now() >= deadline {
                        return Err(too_slow(format!("A body may take {} s to arrive.", limits.body_timeout.as_secs())));
                    }
                    if self.bytes.len() - bytes_then < limits.body_bytes_in_3s_min {
                        let at_least = limits.body_bytes_in_3s_min;
                        return Err(too_slow(format!("At least {at_least} bytes of a body must arrive in any 3 s.")));
                    }
                    (look, bytes_then) = (Instant::now() + STALL, self.bytes.len());
                    continue;
                }
            };
            match chunk {
                Some(chunk) => self.take(&chunk.map_err(|_| broken_off())?)?,
                None => return Ok(()),
            }
        }
    }

    fn take(&mut self, chunk: &Bytes) -> Result<(), Problem> {
        if self.bytes.len() + chunk.len() > self.length {
            return Err(broken_off());
        }
        self.share.grow(chunk.len(), Instant::now()).map_err(|Full| overloaded())?;
        self.bytes.extend_from_slice(chunk);
        Ok(())
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

fn too_slow(detail: String) -> Problem {
    Problem::new(Code::RequestTimeout, detail).closing()
}

fn broken_off() -> Problem {
    Problem::new(Code::MalformedRequest, "The body broke off.").closing()
}

/// There is no memory for a body, or it was given up for a newer one.
pub fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "More bodies are on their way than the service takes on.")
}
