//! The merchants' token buckets: one per merchant, whatever its keys and modes.

use std::collections::HashMap;
use std::time::Duration;

use super::ids::MerchantId;
use super::rate_limit::RateLimit;
use super::token_bucket::{Standing, TokenBucket};

/// How often full buckets are dropped.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The buckets of merchants that have spent something.
///
/// Only a merchant whose signature fitted has one, so there are never more than merchants; a full
/// one is dropped, so those of merchants that are gone or have no limit any more go by themselves.
#[derive(Debug, Default)]
pub struct MerchantBuckets {
    buckets: HashMap<MerchantId, TokenBucket>,
    swept_at: Duration,
}

/// What became of a request's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// Whether there was one.
    pub granted: bool,
    /// The bucket afterwards.
    pub standing: Standing,
}

impl MerchantBuckets {
    /// Spends a token of a merchant under the limit that holds for it now.
    pub fn spend(&mut self, merchant: MerchantId, limit: RateLimit, now: Duration) -> Spending {
        let bucket = self.bucket(merchant, limit, now);
        let granted = bucket.take(now).is_ok();
        Spending { granted, standing: bucket.standing(now) }
    }

    /// Spends any number of tokens while the bucket holds something. The error is how long it will hold
    /// nothing.
    pub fn spend_into_debt(
        &mut self,
        merchant: MerchantId,
        limit: RateLimit,
        tokens: u32,
        now: Duration,
    ) -> Result<(), Duration> {
        self.bucket(merchant, limit, now).take_into_debt(tokens, now)
    }

    /// How long a merchant's bucket will hold nothing; zero while it holds something.
    pub fn until_positive(&mut self, merchant: MerchantId, limit: RateLimit, now: Duration) -> Duration {
        self.buckets.get_mut(&merchant).map_or(Duration::ZERO, |bucket| {
            bucket.adopt(limit, now);
            bucket.until_positive(now)
        })
    }

    fn bucket(&mut self, merchant: MerchantId, limit: RateLimit, now: Duration) -> &mut TokenBucket {
        if now.saturating_sub(self.swept_at) >= SWEEP_EVERY {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            self.swept_at = now;
        }
        let bucket = self.buckets.entry(merchant).or_insert_with(|| TokenBucket::full(limit, now));
        bucket.adopt(limit, now);
        bucket
    }

    /// How many merchants have spent something that has not flowed back yet.
    pub fn in_use(&self, now: Duration) -> usize {
        self.buckets.values().filter(|bucket| !bucket.is_full(now)).count()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn merchant(number: u128) -> MerchantId {
        MerchantId::from_uuid(Uuid::from_u128(number))
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_merchant_spends_its_own() {
        let (mut buckets, limit) = (MerchantBuckets::default(), RateLimit::of(1, 2).unwrap());
        let mut spend = |number, at| {
            let spending = buckets.spend(merchant(number), limit, s(at));
            (spending.granted, spending.standing.remaining)
        };
        assert_eq!([spend(1, 0), spend(1, 0), spend(1, 0)], [(true, 1), (true, 0), (false, 0)]);
        assert_eq!(spend(2, 0), (true, 1));
        assert_eq!([spend(1, 1), spend(1, 1)], [(true, 0), (false, 0)]);
    }

    #[test]
    fn a_new_limit_holds_at_once_and_refills_nothing() {
        let mut buckets = MerchantBuckets::default();
        let mut spend = |rate, burst| {
            let limit = RateLimit::of(rate, burst).unwrap();
            let spending = buckets.spend(merchant(1), limit, s(0));
            (spending.granted, spending.standing.remaining, spending.standing.limit == limit)
        };
        assert_eq!([spend(1, 2), spend(1, 2)], [(true, 1, true), (true, 0, true)]);
        assert_eq!([spend(9, 99), spend(1, 2)], [(false, 0, true), (false, 0, true)]);
    }

    #[test]
    fn full_buckets_are_dropped_and_others_kept() {
        let mut buckets = MerchantBuckets::default();
        let (quick, slow) = (RateLimit::of(10, 10).unwrap(), RateLimit::of(1, 1_000).unwrap());
        for number in 0..100 {
            buckets.spend(merchant(number), quick, s(60));
        }
        for _ in 0..200 {
            buckets.spend(merchant(100), slow, s(60));
        }
        assert_eq!((buckets.buckets.len(), buckets.in_use(s(60)), buckets.in_use(s(61))), (101, 101, 1));
        buckets.spend(merchant(101), slow, s(119));
        assert_eq!(buckets.buckets.len(), 102);
        assert_eq!(buckets.spend(merchant(101), slow, s(120)).standing.remaining, 999);
        assert_eq!(buckets.buckets.len(), 2);
        assert_eq!(buckets.spend(merchant(100), slow, s(120)).standing.remaining, 859);
    }
}
