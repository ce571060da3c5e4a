//! How many failures a peer may cause before it is refused unheard (contract section 7).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::rate_limit::RateLimit;
use super::token_bucket::TokenBucket;

/// A full table is searched for entries that are of no use any more at most this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Whom failures are charged to: an IPv4 address, or an IPv6 /64, which is the least that a
/// network gives away to one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl Peer {
    /// The peer that an address belongs to. IPv4-mapped IPv6 is IPv4.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        })
    }
}

/// Whether a request of a peer is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// As any other.
    Heard,
    /// The peer has failed too often, and yet this request is tried: who shares the address with a forger is
    /// not locked out. If the request fails it is refused as if it had not been tried.
    OnTrial(Duration),
    /// The peer has failed too often; so long it takes until it is heard again.
    Refused(Duration),
}

/// What is remembered of a peer.
#[derive(Debug)]
struct Record {
    failures: TokenBucket,
    /// Tries beyond the limit: of requests that name no known key, and of those that name one. The two are apart,
    /// so that nobody uses up the tries of the rightful without naming a key. The two are of one size, so that
    /// refusals do not tell whether a key is known.
    tries: Option<[TokenBucket; 2]>,
}

/// The failures of peers, as token buckets of which each failure takes one.
///
/// Bounded: when all entries are in use, further peers are not tracked, so nobody is refused for
/// another's failures.
#[derive(Debug)]
pub struct PeerFailures {
    limit: RateLimit,
    /// Tries beyond it; `None` = none.
    tries: Option<RateLimit>,
    entries_max: usize,
    records: HashMap<Peer, Record>,
    swept_at: Option<Duration>,
}

impl PeerFailures {
    /// Nobody has failed yet. At most so many peers are remembered.
    pub fn new(limit: RateLimit, entries_max: usize) -> Self {
        Self { limit, tries: None, entries_max, records: HashMap::new(), swept_at: None }
    }

    /// The same, with so many tries a second beyond the limit.
    pub fn with_tries(self, per_s: u32) -> Self {
        // In any second at most what flows in and what was saved: together the number that is allowed.
        let saved = (per_s / 5).max(1);
        Self { tries: RateLimit::of(per_s.saturating_sub(saved).max(1), saved).filter(|_| per_s > 0), ..self }
    }

    /// Whether a peer is heard. The error is how long it takes until it is again.
    pub fn admit(&self, peer: Peer, now: Duration) -> Result<(), Duration> {
        let standing = |record: &Record| record.failures.standing(now).until_next;
        let wait = self.records.get(&peer).map_or(Duration::ZERO, standing);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// The same of a request that names a key, known or not: beyond the limit some are tried.
    pub fn hear(&mut self, peer: Peer, key_is_known: bool, now: Duration) -> Hearing {
        let Err(wait) = self.admit(peer, now) else { return Hearing::Heard };
        let (Some(limit), Some(record)) = (self.tries, self.records.get_mut(&peer)) else {
            return Hearing::Refused(wait);
        };
        let [strangers, known] = record.tries.get_or_insert_with(|| [TokenBucket::full(limit, now); 2]);
        let bucket = if key_is_known { known } else { strangers };
        if bucket.take(now).is_ok() { Hearing::OnTrial(wait) } else { Hearing::Refused(wait) }
    }

    /// Charges a peer for a failure.
    pub fn charge(&mut self, peer: Peer, now: Duration) {
        self.charge_more(peer, 1, now);
    }

    /// Charges a peer for a failure that cost as much as so many.
    ///
    /// Requests that were let in together may fail together: then the bucket is empty, not in debt.
    pub fn charge_more(&mut self, peer: Peer, cost: u32, now: Duration) {
        if !self.records.contains_key(&peer) && !self.has_room(now) {
            return;
        }
        let limit = self.limit;
        let new = || Record { failures: TokenBucket::full(limit, now), tries: None };
        let record = self.records.entry(peer).or_insert_with(new);
        // Each take finds less than before; an empty bucket ends it.
        for _ in 0..cost {
            if record.failures.take(now).is_err() {
                break;
            }
        }
    }

    /// How many peers have failures that are not forgotten yet.
    pub fn in_use(&self, now: Duration) -> usize {
        self.records.values().filter(|record| !record.failures.is_full(now)).count()
    }

    fn has_room(&mut self, now: Duration) -> bool {
        let swept_lately = self.swept_at.is_some_and(|at| now.saturating_sub(at) < SWEEP_EVERY);
        if self.records.len() >= self.entries_max && !swept_lately {
            self.records.retain(|_, record| !record.failures.is_full(now));
            self.swept_at = Some(now);
        }
        self.records.len() < self.entries_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::of(address.parse().unwrap())
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn failures(rate: u32, burst: u32, entries_max: usize) -> PeerFailures {
        PeerFailures::new(RateLimit::of(rate, burst).unwrap(), entries_max)
    }

    #[test]
    fn ipv4_counts_by_address_and_ipv6_by_64_bits() {
        assert_ne!(peer("198.51.100.7"), peer("198.51.100.8"));
        assert_eq!(peer("198.51.100.7"), peer("::ffff:198.51.100.7"));
        assert_eq!(peer("2001:db8:1:2::7"), peer("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(peer("2001:db8:1:2::7"), peer("2001:db8:1:3::7"));
        assert_ne!(peer("::1"), peer("0.0.0.1"));
    }

    #[test]
    fn a_peer_is_heard_until_its_failures_are_used_up_and_then_at_their_rate() {
        let mut failures = failures(10, 3, 16);
        let (one, other) = (peer("198.51.100.7"), peer("198.51.100.8"));
        for _ in 0..3 {
            assert_eq!(failures.admit(one, ms(0)), Ok(()));
            failures.charge(one, ms(0));
        }
        assert_eq!(failures.admit(one, ms(0)), Err(ms(100)));
        // Asking costs nothing, and failing further makes no debt.
        failures.charge(one, ms(0));
        assert_eq!(failures.admit(one, ms(60)), Err(ms(40)));
        assert_eq!(failures.admit(one, ms(100)), Ok(()));
        failures.charge(one, ms(100));
        assert_eq!(failures.admit(one, ms(100)), Err(ms(100)));
        assert_eq!(failures.admit(other, ms(0)), Ok(()));
        assert_eq!((failures.in_use(ms(100)), failures.in_use(ms(400))), (1, 0));
    }

    #[test]
    fn beyond_the_limit_known_keys_are_tried_whatever_strangers_send_and_each_only_so_often() {
        let mut failures = failures(10, 1, 16).with_tries(50);
        let forger = peer("198.51.100.7");
        assert_eq!(failures.hear(forger, false, ms(0)), Hearing::Heard);
        failures.charge(forger, ms(0));
        let mut tried = |known: bool, from_ms: u64, to_ms: u64| {
            let tries = (from_ms..to_ms).map(|at| {
                failures.charge(forger, ms(at));
                failures.hear(forger, known, ms(at))
            });
            tries.filter(|hearing| matches!(hearing, Hearing::OnTrial(_))).count()
        };
        assert_eq!(tried(false, 0, 1_000), 49);
        assert_eq!(tried(true, 1_000, 2_000), 49);
        assert_eq!(tried(true, 2_000, 3_000), 40);
    }

    #[test]
    fn without_tries_a_peer_beyond_its_limit_is_refused_and_a_costly_failure_counts_more() {
        let mut failures = failures(10, 3, 16);
        let forger = peer("198.51.100.7");
        failures.charge_more(forger, 2, ms(0));
        assert_eq!(failures.hear(forger, true, ms(0)), Hearing::Heard);
        failures.charge_more(forger, u32::MAX, ms(0));
        assert_eq!(failures.hear(forger, true, ms(0)), Hearing::Refused(ms(100)));
    }

    #[test]
    fn a_full_table_forgets_who_is_forgiven_and_tracks_nobody_else() {
        let mut failures = failures(1, 2, 16);
        let address = |number: u8| Peer::of([198, 51, 100, number].into());
        let fail = |failures: &mut PeerFailures, number, at| {
            failures.charge(address(number), ms(at));
            failures.charge(address(number), ms(at));
            failures.admit(address(number), ms(at)).is_err()
        };
        for number in 0..16 {
            assert!(fail(&mut failures, number, 0));
        }
        // None is forgiven yet: a seventeenth is not tracked, the others still are.
        assert!(!fail(&mut failures, 16, 1_999));
        assert!(fail(&mut failures, 0, 1_999));
        // Fifteen are by now, but the table was searched a moment ago.
        assert!(!fail(&mut failures, 16, 2_500));
        assert_eq!((failures.records.len(), failures.in_use(ms(2_500))), (16, 1));
        assert!(fail(&mut failures, 16, 2_999));
        assert_eq!(failures.records.len(), 2);
        assert!(failures.admit(address(0), ms(1_999)).is_err());
        for number in 17..=255 {
            fail(&mut failures, number, 2_999);
        }
        assert_eq!(failures.records.len(), 16);
    }
}
