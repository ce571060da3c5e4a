//! A token bucket, counted exactly.
//!
//! The level is kept in billionths of a token: a rate of r tokens per second adds r billionths per
//! nanosecond, so nothing is ever rounded and no token is lost or won over time.

use std::time::Duration;

use super::rate_limit::RateLimit;

/// One token.
const BILLION: i64 = 1_000_000_000;

/// A bucket that fills at its limit's rate up to its limit's burst.
///
/// Times are those of one monotonic clock. One that went back counts as no time passed.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    limit: RateLimit,
    /// Billionths of a token at `at`, at most the capacity; below zero is debt.
    level: i64,
    at: Duration,
}

/// A bucket at one moment, as its owner may be told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What holds.
    pub limit: RateLimit,
    /// Whole tokens that are there.
    pub remaining: u32,
    /// How long until there is a whole one; zero while there is.
    pub until_next: Duration,
    /// How long until it is full, should nothing more be taken.
    pub until_full: Duration,
}

impl TokenBucket {
    /// A full bucket.
    pub fn full(limit: RateLimit, now: Duration) -> Self {
        Self { limit, level: capacity(limit), at: now }
    }

    /// Takes a token. The error is how long it takes until there is one.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.settle(now);
        if self.level < BILLION {
            return Err(self.time_to(BILLION));
        }
        self.level -= BILLION;
        Ok(())
    }

    /// Takes any number of tokens while something is there, and may leave a debt that is paid before
    /// anything can be taken again. The error is how long that takes.
    pub fn take_into_debt(&mut self, tokens: u32, now: Duration) -> Result<(), Duration> {
        self.settle(now);
        if self.level <= 0 {
            return Err(self.time_to(1));
        }
        // More than 0 less at most 2^32 × 10^9: it fits.
        self.level -= i64::from(tokens) * BILLION;
        Ok(())
    }

    /// How long until something can be taken into debt; zero while it can.
    pub fn until_positive(&self, now: Duration) -> Duration {
        let mut bucket = *self;
        bucket.settle(now);
        bucket.time_to(1)
    }

    /// Goes on under another limit, without a gift: what was there stays, cut to the new burst.
    ///
    /// A full bucket stays full. Full ones may be forgotten at any time, so this way it makes no
    /// difference whether one was.
    pub fn adopt(&mut self, limit: RateLimit, now: Duration) {
        if limit == self.limit {
            return;
        }
        self.settle(now);
        let was_full = self.level == capacity(self.limit);
        self.limit = limit;
        self.level = if was_full { capacity(limit) } else { self.level.min(capacity(limit)) };
    }

    /// The bucket at this moment.
    pub fn standing(&self, now: Duration) -> Standing {
        let mut bucket = *self;
        bucket.settle(now);
        Standing {
            limit: bucket.limit,
            remaining: u32::try_from(bucket.level.max(0) / BILLION).unwrap_or(u32::MAX),
            until_next: bucket.time_to(BILLION),
            until_full: bucket.time_to(capacity(bucket.limit)),
        }
    }

    /// Whether it is as good as a new one.
    pub fn is_full(&self, now: Duration) -> bool {
        self.standing(now).until_full.is_zero()
    }

    /// Adds what has flowed in since.
    fn settle(&mut self, now: Duration) {
        // At most 2^94 × 2^32: it fits. The level is at least -2^32 × 10^9, so the room fits, too.
        let gained = now.saturating_sub(self.at).as_nanos() * u128::from(self.limit.rate_per_s());
        let room = capacity(self.limit) - self.level;
        self.level += i64::try_from(gained).unwrap_or(i64::MAX).min(room);
        self.at = self.at.max(now);
    }

    /// How long until the level is reached; the last nanosecond counts whole.
    fn time_to(&self, level: i64) -> Duration {
        let missing = u64::try_from(level.saturating_sub(self.level)).unwrap_or(0);
        Duration::from_nanos(missing.div_ceil(self.limit.rate_per_s().into()))
    }
}

impl Standing {
    /// Seconds until there is more quota for one who has none: 0 while there is some, else at least 1.
    pub fn retry_after_s(&self) -> u64 {
        whole_seconds(self.until_next)
    }
}

/// A duration in seconds, rounded up.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// In billionths: at most 2^32 × 10^9, which fits.
fn capacity(limit: RateLimit) -> i64 {
    i64::from(limit.burst()) * BILLION
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(rate: u32, burst: u32) -> RateLimit {
        RateLimit::of(rate, burst).unwrap()
    }

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_then_one_token_per_interval() {
        let mut bucket = TokenBucket::full(limit(10, 3), ms(5_000));
        for _ in 0..3 {
            assert_eq!(bucket.take(ms(5_000)), Ok(()));
        }
        assert_eq!(bucket.take(ms(5_000)), Err(ms(100)));
        assert_eq!(bucket.take(ms(5_099)), Err(ms(1)));
        assert_eq!(bucket.take(ms(5_100)), Ok(()));
        assert_eq!(bucket.take(ms(5_100)), Err(ms(100)));
        let standing = bucket.standing(ms(5_250));
        assert_eq!((standing.remaining, standing.until_next, standing.until_full), (1, ms(0), ms(150)));
        assert!(!bucket.is_full(ms(5_399)) && bucket.is_full(ms(5_400)));
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_loses_nothing() {
        let mut bucket = TokenBucket::full(limit(3, 1), ms(0));
        assert_eq!(bucket.take(ms(0)), Ok(()));
        // A third of a second, the last nanosecond whole.
        assert_eq!(bucket.take(ms(0)), Err(Duration::from_nanos(333_333_334)));
        // Asked all the time, it drops no part of a token: ten seconds are thirty.
        let mut bucket = TokenBucket::full(limit(3, 100), ms(0));
        while bucket.take(ms(0)).is_ok() {}
        let taken = (1..=10_000).filter(|at| bucket.take(ms(*at)).is_ok()).count();
        assert_eq!(taken, 30);
    }

    #[test]
    fn a_debt_is_paid_before_anything_is_taken_again() {
        let mut bucket = TokenBucket::full(limit(1_000, 10_000), ms(0));
        for _ in 0..9 {
            assert_eq!(bucket.take_into_debt(1_000, ms(0)), Ok(()));
        }
        assert_eq!(bucket.take_into_debt(999, ms(0)), Ok(()));
        // One is left: the next request is admitted whole.
        assert_eq!(bucket.take_into_debt(1_000, ms(0)), Ok(()));
        assert_eq!(
            (bucket.standing(ms(0)).remaining, bucket.until_positive(ms(0))),
            (0, ms(999) + Duration::from_nanos(1))
        );
        assert_eq!(bucket.take_into_debt(1, ms(999)), Err(Duration::from_nanos(1)));
        assert_eq!(bucket.take_into_debt(u32::MAX, ms(1_000)), Ok(()));
        assert!(bucket.take_into_debt(1, Duration::from_secs(4_294_967)).is_err());
        assert_eq!(bucket.until_positive(Duration::from_secs(4_294_969)), Duration::ZERO);
        // The debt is none of another limit's, but stays.
        bucket.take_into_debt(100_000_000, Duration::from_secs(4_294_969)).unwrap();
        bucket.adopt(limit(1, 1), Duration::from_secs(4_294_969));
        assert!(bucket.take(Duration::from_secs(4_294_969)).is_err());
        let mut bucket = TokenBucket::full(limit(u32::MAX, u32::MAX), ms(0));
        assert_eq!(bucket.take_into_debt(u32::MAX, ms(0)), Ok(()));
        assert!(bucket.is_full(Duration::MAX));
    }

    #[test]
    fn time_that_goes_back_gives_nothing_twice() {
        let mut bucket = TokenBucket::full(limit(1, 1), ms(10_000));
        assert_eq!(bucket.take(ms(10_000)), Ok(()));
        assert_eq!(bucket.take(ms(0)), Err(ms(1_000)));
        assert_eq!(bucket.take(ms(10_000)), Err(ms(1_000)));
        assert_eq!(bucket.take(ms(11_000)), Ok(()));
    }

    #[test]
    fn another_limit_keeps_what_is_there_and_gives_nothing() {
        let mut bucket = TokenBucket::full(limit(1, 10), ms(0));
        for _ in 0..4 {
            bucket.take(ms(0)).unwrap();
        }
        // Two seconds at the old rate.
        bucket.adopt(limit(100, 1_000), ms(2_000));
        assert_eq!(bucket.standing(ms(2_000)).remaining, 8);
        assert_eq!(bucket.standing(ms(2_010)).remaining, 9);
        bucket.adopt(limit(1, 5), ms(2_000));
        assert_eq!(bucket.standing(ms(2_000)).remaining, 5);
        // It was full under that limit.
        bucket.adopt(limit(1, 7), ms(2_000));
        assert_eq!(bucket.standing(ms(2_000)).remaining, 7);
        for _ in 0..7 {
            bucket.take(ms(2_000)).unwrap();
        }
        for burst in [1, 1_000, 7] {
            bucket.adopt(limit(1, burst), ms(2_000));
            assert_eq!(bucket.take(ms(2_000)), Err(ms(1_000)));
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        for (rate, burst) in [(u32::MAX, u32::MAX), (1, u32::MAX), (u32::MAX, 1), (1, 1)] {
            let mut bucket = TokenBucket::full(limit(rate, burst), Duration::ZERO);
            assert_eq!(bucket.standing(Duration::MAX).remaining, burst);
            assert_eq!(bucket.take(Duration::MAX), Ok(()));
            assert_eq!(bucket.standing(Duration::ZERO).remaining, burst - 1);
            assert!(!bucket.is_full(Duration::MAX));
        }
    }

    #[test]
    fn seconds_are_rounded_up() {
        let seconds = [ms(0), Duration::from_nanos(1), ms(999), ms(1_000), ms(1_001)].map(whole_seconds);
        assert_eq!(seconds, [0, 1, 1, 1, 2]);
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }

    /// The same promise told otherwise (GCRA): no level, but the moment when the bucket will be
    /// full, on an axis of nanoseconds × rate, on which a token is a billion long.
    struct Model {
        rate: u128,
        burst: u128,
        full_at: u128,
        seen: Duration,
    }

    impl Model {
        fn missing(&self, now: Duration) -> u128 {
            self.full_at.saturating_sub(self.seen.max(now).as_nanos() * self.rate)
        }

        fn take(&mut self, now: Duration) -> bool {
            self.seen = self.seen.max(now);
            let missing = self.missing(now) + 1_000_000_000;
            let granted = missing <= self.burst * 1_000_000_000;
            if granted {
                self.full_at = self.seen.as_nanos() * self.rate + missing;
            }
            granted
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Take,
        Advance(u64),
        GoBack(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let nanos = prop_oneof![0..50_u64, 0..2_000_000_000_u64, 0..u64::MAX / 1_024];
        let step = prop_oneof![
            4 => Just(Step::Take),
            2 => nanos.prop_map(Step::Advance),
            1 => (0..5_000_000_000_u64).prop_map(Step::GoBack),
        ];
        proptest::collection::vec(step, 0..200)
    }

    fn numbers() -> impl Strategy<Value = u32> {
        prop_oneof![1..20_u32, 1..2_000_u32, 1..=u32::MAX]
    }

    proptest! {
        #[test]
        fn it_grants_what_an_exact_model_grants(rate in numbers(), burst in numbers(), steps in steps()) {
            let mut now = Duration::from_secs(1_000);
            let mut bucket = TokenBucket::full(limit(rate, burst), now);
            let mut model = Model { rate: rate.into(), burst: burst.into(), full_at: 0, seen: now };
            for step in steps {
                match step {
                    Step::Advance(nanos) => now += Duration::from_nanos(nanos),
                    Step::GoBack(nanos) => now = now.saturating_sub(Duration::from_nanos(nanos)),
                    Step::Take => {
                        let taken = bucket.take(now);
                        prop_assert_eq!(taken.is_ok(), model.take(now));
                        if let Err(wait) = taken {
                            // Exactly then, and not a nanosecond earlier.
                            let (mut then, mut before) = (bucket, bucket);
                            prop_assert_eq!(then.take(model.seen + wait), Ok(()));
                            let earlier = model.seen + wait - Duration::from_nanos(1);
                            prop_assert!(before.take(earlier).is_err());
                        }
                    }
                }
                let (standing, missing) = (bucket.standing(now), model.missing(now));
                let level = model.burst * 1_000_000_000 - missing;
                prop_assert_eq!(u128::from(standing.remaining), level / 1_000_000_000);
                prop_assert_eq!(standing.until_full.as_nanos(), missing.div_ceil(model.rate));
                let to_next = 1_000_000_000_u128.saturating_sub(level).div_ceil(model.rate);
                prop_assert_eq!(standing.until_next.as_nanos(), to_next);
                prop_assert_eq!(bucket.is_full(now), missing == 0);
                prop_assert_eq!(standing.retry_after_s() == 0, standing.remaining > 0);
            }
        }
    }
}
