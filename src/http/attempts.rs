//! Attempts: what the journal is given of requests to writing endpoints.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;

use super::error::Problem;
use super::extract::client_of;
use super::request_context::{CallNotes, RequestId};
use super::state::AppState;
use crate::config;
use crate::domain::attempt::{Attempt, AttemptOutcome, Ending};
use crate::domain::event::order_hint;
use crate::domain::ids::{AttemptId, KeyId};
use crate::domain::peer_failures::{Peer, PeerFailures};
use crate::domain::rate_limit::RateLimit;
use crate::domain::time::cut_to_micros;
use crate::storage::housekeeping::Journal;

/// The way of refused attempts into the journal. Recorded ones are journaled with their effects.
pub struct RefusedAttempts {
    journal: Journal,
    /// How many a peer has left; `None` = as many as it likes.
    peers: Option<Mutex<PeerFailures>>,
}

/// How many seconds' worth of attempts a peer may have journaled at once.
const BURST_S: u32 = 10;

/// Why a request was refused, for the journal.
pub struct Reason {
    reason: &'static str,
    error_pointer: Option<String>,
}

impl Reason {
    /// Of a problem; without one, of an answer that no problem names.
    pub fn of(problem: Option<&Problem>) -> Self {
        Self {
            reason: problem.map_or("unnamed", Problem::reason),
            error_pointer: problem.and_then(|p| p.errors.first()).map(|error| error.pointer.clone()),
        }
    }
}

/// The attempt that a request to a writing endpoint is, before anything of it is judged: also what is
/// refused for its head or its path is told to the owner of the key that it names.
///
/// A reading method asks for nothing to be written, so it makes none.
pub fn begin(
    request: &ServiceRequest,
    state: &AppState,
    path: Option<(&'static str, bool)>,
    request_id: &RequestId,
    started: Duration,
) -> Option<Attempt> {
    let (endpoint, _) = path.filter(|(_, writes)| *writes && !request.method().is_safe())?;
    let ingest = &state.ingest;
    let now = cut_to_micros(ingest.clock.now());
    Some(Attempt {
        id: AttemptId::generate(now, ingest.entropy.as_ref()),
        started_at: now,
        started,
        endpoint,
        request_id: request_id.0.clone(),
        peer: client_of(request.request(), &state.limits.trusted_proxies),
        // What is no key id may be a secret in the wrong header: it is kept nowhere.
        key_id: key_named(request.headers())
            .and_then(|named| named.parse::<KeyId>().ok())
            .map(|key| key.to_string()),
        // Whose key it is, whoever writes the line finds out: here the time would tell whether it is one.
        merchant: None,
        mode: None,
        body_sha256: None,
        body_bytes: 0,
    })
}

/// The key that a request names, if it names one.
pub fn key_named(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all("x-api-key");
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok(),
        _ => None,
    }
}

impl RefusedAttempts {
    /// Nothing is journaled yet.
    pub fn new(journal: Journal, settings: &config::Journal, entries_max: usize) -> Self {
        let rate = settings.peer_attempts_per_s;
        let limit = RateLimit::of(rate, rate.saturating_mul(BURST_S));
        Self { journal, peers: limit.map(|limit| Mutex::new(PeerFailures::new(limit, entries_max))) }
    }

    /// Journals an attempt that was refused.
    pub fn refused(&self, notes: CallNotes, status: StatusCode, reason: Reason, elapsed: Duration) {
        if !status.is_success() {
            self.take(notes, status.as_u16(), reason, elapsed);
        }
    }

    /// Journals an attempt whose caller left before its answer. If the writer has it and records it,
    /// its line there wins.
    pub fn abandoned(&self, notes: CallNotes, elapsed: Duration) {
        self.take(notes, 0, Reason { reason: "client_left", error_pointer: None }, elapsed);
    }

    fn take(&self, notes: CallNotes, status: u16, reason: Reason, elapsed: Duration) {
        let CallNotes { attempt, order, body, .. } = notes;
        let Some(attempt) = attempt else { return };
        if !self.has_room_for(&attempt, elapsed) {
            return self.journal.dropped("peer_cap");
        }
        let Reason { reason, error_pointer } = reason;
        let outcome = AttemptOutcome::Refused;
        let order = order.or_else(|| body.and_then(|body| order_hint(&body)));
        let ending = Ending { outcome, status, reason, error_pointer, order, event: None };
        self.journal.refused(attempt, ending, elapsed);
    }

    /// A flood of one peer's refusals is not journaled whole: its beginning tells enough.
    fn has_room_for(&self, attempt: &Attempt, elapsed: Duration) -> bool {
        let (Some(peers), Some(address)) = (&self.peers, attempt.peer) else { return true };
        let (peer, now) = (Peer::of(address), attempt.started.saturating_add(elapsed));
        let mut peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = peers.admit(peer, now).is_ok();
        if has_room {
            peers.charge(peer, now);
        }
        has_room
    }
}
