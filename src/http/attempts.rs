//! Attempts: what the journal is given of requests to writing endpoints.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
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
use crate::domain::ids::{AttemptId, KeyId, MerchantId};
use crate::domain::merchant_buckets::MerchantBuckets;
use crate::domain::peer_failures::{Peer, PeerFailures};
use crate::domain::rate_limit::RateLimit;
use crate::domain::time::cut_to_micros;
use crate::domain::token_bucket::TokenBucket;
use crate::storage::housekeeping::Journal;

/// The way of refused attempts into the journal. Recorded ones are journaled with their effects.
pub struct RefusedAttempts {
    journal: Journal,
    /// How many one origin may have journaled; `None` = as many as it likes.
    limit: Option<RateLimit>,
    /// What addresses have left of it.
    peers: Option<Mutex<PeerFailures>>,
    /// What merchants have left of it, whose own signatures were right.
    merchants: Mutex<MerchantBuckets>,
    /// What all have left together whose signatures were not right: there are more addresses than a table
    /// holds. `None` = as many as they like.
    unproven: Option<Mutex<TokenBucket>>,
}

/// How many seconds' worth of attempts may be journaled at once.
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
        authenticated: false,
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
        let of = |rate: u32| RateLimit::of(rate, rate.saturating_mul(BURST_S));
        let limit = of(settings.peer_attempts_per_s);
        let unproven = of(settings.unproven_attempts_per_s);
        Self {
            journal,
            limit,
            peers: limit.map(|limit| Mutex::new(PeerFailures::new(limit, entries_max))),
            merchants: Mutex::default(),
            unproven: unproven.map(|limit| Mutex::new(TokenBucket::full(limit, Duration::ZERO))),
        }
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
        if let Err(cap) = self.has_room_for(&attempt, notes.merchant_id, elapsed) {
            return self.journal.dropped(cap);
        }
        // What nobody signed may name anybody's order.
        let body = body.filter(|_| attempt.authenticated);
        let Reason { reason, error_pointer } = reason;
        let outcome = AttemptOutcome::Refused;
        let order = order.or_else(|| body.and_then(|body| order_hint(&body)));
        let ending = Ending { outcome, status, reason, error_pointer, order, event: None };
        self.journal.refused(attempt, ending, elapsed);
    }

    /// A flood of refusals is not journaled whole: its beginning tells enough. The error is the cap that
    /// was met.
    ///
    /// Whoever signs rightly spends its own, so that no forger behind the same address uses it up.
    fn has_room_for(
        &self,
        attempt: &Attempt,
        signer: Option<MerchantId>,
        elapsed: Duration,
    ) -> Result<(), &'static str> {
        let now = attempt.started.saturating_add(elapsed);
        match (attempt.authenticated, signer.or(attempt.merchant), self.limit) {
            (true, Some(merchant), Some(limit)) => {
                let granted = lock(&self.merchants).spend(merchant, limit, now).granted;
                if granted { Ok(()) } else { Err("merchant_cap") }
            }
            (true, Some(_), None) => Ok(()),
            (authenticated, _, _) => {
                self.spend_of_peer(attempt.peer, now)?;
                let unproven = self.unproven.as_ref().filter(|_| !authenticated);
                let granted = unproven.is_none_or(|bucket| lock(bucket).take(now).is_ok());
                if granted { Ok(()) } else { Err("unproven_cap") }
            }
        }
    }

    fn spend_of_peer(&self, address: Option<IpAddr>, now: Duration) -> Result<(), &'static str> {
        let (Some(peers), Some(address)) = (&self.peers, address) else { return Ok(()) };
        let (peer, mut peers) = (Peer::of(address), lock(peers));
        peers.admit(peer, now).map_err(|_| "peer_cap")?;
        peers.charge(peer, now);
        Ok(())
    }
}

/// The buckets hold at every moment, also where a thread ended.
fn lock<T>(buckets: &Mutex<T>) -> MutexGuard<'_, T> {
    buckets.lock().unwrap_or_else(PoisonError::into_inner)
}
