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
use crate::domain::peer_failures::{Peer, PeerFailures};
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
}

impl RateLimits {
    /// The limits of a configuration; nobody has spent anything.
    pub fn new(config: &Config) -> Self {
        let peers = config.peer.limit().map(|limit| PeerFailures::new(limit, config.peer.table_entries));
        Self {
            plans: config.plans.limits(),
            row_plans: config.plans.row_limits(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            merchants: Mutex::default(),
            rows: Mutex::default(),
            peers: peers.map(Mutex::new),
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

    /// Refuses a client whose peer has failed too often of late, before any work.
    pub fn admit(&self, client: Option<IpAddr>, now: Duration) -> Result<(), Problem> {
        let Some((peers, peer)) = self.tracked(client) else { return Ok(()) };
        let admitted = lock(peers).admit(peer, now);
        admitted.map_err(|wait| {
            let detail = "Too many requests from this address were not authentic.";
            Problem::rate_limited(whole_seconds(wait), detail, "PEER_RATE_LIMITED")
        })
    }

    /// Charges a client's peer for a request that was refused before or at its signature, unless
    /// it was signed rightly or the fault is ours.
    pub fn charge(&self, client: Option<IpAddr>, refused: &Problem, now: Duration) {
        let signed_rightly = matches!(
            refused.code,
            Code::TimestampOutsideTolerance | Code::IpNotAllowed | Code::SignatureFormNotAllowed
        );
        if signed_rightly || refused.code.status() >= 500 {
            return;
        }
        if let Some((peers, peer)) = self.tracked(client) {
            lock(peers).charge(peer, now);
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
