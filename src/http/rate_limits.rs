//! The limits that are held in memory: what merchants spend (requests, and rows in bulk), and
//! what peers do wrong (contract section 7). Both are per instance.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;

use super::error::{Code, Problem};
use super::quota::Quota;
use crate::config::Config;
use crate::domain::merchant::Merchant;
use crate::domain::merchant_buckets::MerchantBuckets;
use crate::domain::peer_failures::{Hearing, Peer, PeerFailures};
use crate::domain::rate_limit::{PlanLimits, RateLimit};
use crate::domain::time::Clock;
use crate::domain::token_bucket::whole_seconds;

/// Shared by all workers. Each lock is held for a look-up, and now and then for a pass over its table.
pub struct RateLimits {
    plans: PlanLimits,
    row_plans: PlanLimits,
    trusted_proxies: Vec<IpNet>,
    merchants: Mutex<MerchantBuckets>,
    /// Of bulk requests' rows.
    rows: Mutex<MerchantBuckets>,
    /// `None` = peers are not limited.
    peers: Option<Mutex<PeerFailures>>,
    /// How often each peer reads the description, which is thousands of times as long as the request for it.
    documents: Option<Mutex<PeerFailures>>,
}

/// So many bytes of a refused body count as one failure more.
const BYTES_OF_A_FAILURE: usize = 64 * 1024;

/// How often an address may read the description: per second, and at once.
const DOCUMENTS: (u32, u32) = (5, 50);

impl RateLimits {
    /// The limits of a configuration; nobody has spent anything.
    pub fn new(config: &Config) -> Self {
        let entries = config.peer.table_entries;
        let peers = config.peer.limit().map(|limit| PeerFailures::new(limit, entries));
        let peers = peers.map(|peers| peers.with_tries(config.peer.tries_per_s));
        Self {
            plans: config.plans.limits(),
            row_plans: config.plans.row_limits(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            merchants: Mutex::default(),
            rows: Mutex::default(),
            peers: peers.map(Mutex::new),
            documents: RateLimit::of(DOCUMENTS.0, DOCUMENTS.1)
                .map(|limit| Mutex::new(PeerFailures::new(limit, entries))),
        }
    }

    /// Spends a token for an authentic request: what its answer tells of it, whatever the answer
    /// will be; `None` for a merchant without a limit.
    ///
    /// With no token left the problem is beside it.
    pub fn spend(&self, merchant: &Merchant, clock: &dyn Clock) -> Option<(Quota, Result<(), Problem>)> {
        let limit = self.plans.limit_of(merchant)?;
        let spending = lock(&self.merchants).spend(merchant.id, limit, clock.monotonic());
        let quota = Quota::new(spending.standing, clock.now());
        let outcome = if spending.granted {
            Ok(())
        } else {
            let detail = format!(
                "The merchant may make {} requests per second and {} at once.",
                limit.rate_per_s(),
                limit.burst()
            );
            Err(Problem::rate_limited(spending.standing.retry_after_s(), detail, "MERCHANT_RATE_LIMITED"))
        };
        Some((quota, outcome))
    }

    /// Whether a merchant may send rows in bulk now; nothing is spent.
    pub fn admit_rows(&self, merchant: &Merchant, clock: &dyn Clock) -> Result<(), Problem> {
        let Some(limit) = self.row_plans.row_limit_of(merchant) else { return Ok(()) };
        let wait = lock(&self.rows).until_positive(merchant.id, limit, clock.monotonic());
        if wait.is_zero() { Ok(()) } else { Err(too_many_rows(limit, wait)) }
    }

    /// Spends the rows of a bulk request as a whole: they may come to more than there is left.
    pub fn spend_rows(&self, merchant: &Merchant, rows: usize, clock: &dyn Clock) -> Result<(), Problem> {
        let Some(limit) = self.row_plans.row_limit_of(merchant) else { return Ok(()) };
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let spent = lock(&self.rows).spend_into_debt(merchant.id, limit, rows, clock.monotonic());
        spent.map_err(|wait| too_many_rows(limit, wait))
    }

    /// Whether a client is heard whose peer may have failed too often of late, before any work.
    pub fn hear(&self, client: Option<IpAddr>, key_is_known: bool, now: Duration) -> Hearing {
        match self.tracked(client) {
            Some((peers, peer)) => lock(peers).hear(peer, key_is_known, now),
            None => Hearing::Heard,
        }
    }

    /// Charges a client's peer for a request that was refused before or at its signature, unless it was signed
    /// rightly or the fault is ours. A long body costs more: it had to be read and hashed.
    pub fn charge(&self, client: Option<IpAddr>, refused: &Problem, body_bytes: usize, now: Duration) {
        if !is_charged(refused) {
            return;
        }
        let cost = u32::try_from(1 + body_bytes / BYTES_OF_A_FAILURE).unwrap_or(u32::MAX);
        if let Some((peers, peer)) = self.tracked(client) {
            lock(peers).charge_more(peer, cost, now);
        }
    }

    /// Whether a client may read the service's description once more.
    pub fn admit_document(&self, client: Option<IpAddr>, now: Duration) -> Result<(), Problem> {
        let Some((documents, client)) = self.documents.as_ref().zip(client) else { return Ok(()) };
        let (mut documents, peer) = (lock(documents), Peer::of(client));
        match documents.admit(peer, now) {
            Ok(()) => {
                documents.charge(peer, now);
                Ok(())
            }
            Err(wait) => {
                let detail =
                    "The document was read too often from this address. Keep a copy: it has an ETag.";
                Err(Problem::rate_limited(whole_seconds(wait), detail, "DOCUMENT_RATE_LIMITED"))
            }
        }
    }

    /// How many merchants have spent, and peers have failed, what they have not got back yet.
    pub fn in_use(&self, now: Duration) -> (usize, usize) {
        let peers = self.peers.as_ref().map_or(0, |peers| lock(peers).in_use(now));
        (lock(&self.merchants).in_use(now), peers)
    }

    /// A proxy of ours is not a peer: what comes through it is not its doing.
    fn tracked(&self, client: Option<IpAddr>) -> Option<(&Mutex<PeerFailures>, Peer)> {
        let (peers, client) = (self.peers.as_ref()?, client?);
        let ours = self.trusted_proxies.iter().any(|net| net.contains(&client));
        (!ours).then(|| (peers, Peer::of(client)))
    }
}

/// Whether a refusal is its caller's failure.
pub fn is_charged(refused: &Problem) -> bool {
    let signed_rightly = matches!(
        refused.code,
        Code::TimestampOutsideTolerance | Code::IpNotAllowed | Code::SignatureFormNotAllowed
    );
    !signed_rightly && refused.code.status() < 500
}

/// The refusal of a peer that has failed too often, whatever it sent.
pub fn too_many_failures(wait: Duration) -> Problem {
    let detail = "Too many requests from this address were not authentic.";
    Problem::rate_limited(whole_seconds(wait), detail, "PEER_RATE_LIMITED")
}

fn too_many_rows(limit: RateLimit, wait: Duration) -> Problem {
    let detail = format!(
        "The merchant may send {} rows per second in bulk requests and {} at once.",
        limit.rate_per_s(),
        limit.burst()
    );
    Problem::rate_limited(whole_seconds(wait), detail, "MERCHANT_ROWS_LIMITED")
}

/// The tables hold at every moment, also where a thread ended.
fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
