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

/// The failures of peers, as token buckets of which each failure takes one.
///
/// Bounded: when all entries are in use, further peers are not tracked, so nobody is refused for
/// another's failures.
#[derive(Debug)]
pub struct PeerFailures {
    limit: RateLimit,
    entries_max: usize,
    buckets: HashMap<Peer, TokenBucket>,
    swept_at: Option<Duration>,
}

impl PeerFailures {
    /// Nobody has failed yet. At most so many peers are remembered.
    pub fn new(limit: RateLimit, entries_max: usize) -> Self {
        Self { limit, entries_max, buckets: HashMap::new(), swept_at: None }
    }

    /// Whether a peer is heard. The error is how long it takes until it is again.
    pub fn admit(&self, peer: Peer, now: Duration) -> Result<(), Duration> {
        let wait = self.buckets.get(&peer).map_or(Duration::ZERO, |bucket| bucket.standing(now).until_next);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Charges a peer for a failure.
    ///
    /// Requests that were let in together may fail together: then the bucket is empty, not in debt.
    pub fn charge(&mut self, peer: Peer, now: Duration) {
        if !self.buckets.contains_key(&peer) && !self.has_room(now) {
            return;
        }
        let limit = self.limit;
        let bucket = self.buckets.entry(peer).or_insert_with(|| TokenBucket::full(limit, now));
        let _ = bucket.take(now);
    }

    /// How many peers have failures that are not forgotten yet.
    pub fn in_use(&self, now: Duration) -> usize {
        self.buckets.values().filter(|bucket| !bucket.is_full(now)).count()
    }

    fn has_room(&mut self, now: Duration) -> bool {
        let swept_lately = self.swept_at.is_some_and(|at| now.saturating_sub(at) < SWEEP_EVERY);
        if self.buckets.len() >= self.entries_max && !swept_lately {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            self.swept_at = Some(now);
        }
        self.buckets.len() < self.entries_max
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
        assert_eq!((failures.buckets.len(), failures.in_use(ms(2_500))), (16, 1));
        assert!(fail(&mut failures, 16, 2_999));
        assert_eq!(failures.buckets.len(), 2);
        assert!(failures.admit(address(0), ms(1_999)).is_err());
        for number in 17..=255 {
            fail(&mut failures, number, 2_999);
        }
        assert_eq!(failures.buckets.len(), 16);
    }
}
