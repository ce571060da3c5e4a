//! How many requests a merchant may make: its own limit, else its plan's (contract section 7).

use std::num::NonZeroU32;

use super::merchant::{Merchant, Plan};

/// How many seconds' worth of a bulk request's rows may come at once.
const ROWS_WINDOW_S: u32 = 10;

/// So many requests per second in the long run, and so many at once.
///
/// There is no limit of nothing: who may make no request at all is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    rate_per_s: NonZeroU32,
    burst: NonZeroU32,
}

impl RateLimit {
    /// The largest rate and the largest burst that settings and commands take.
    pub const MAX: u32 = 1_000_000;

    /// The limit of a setting. A rate of 0 is no limit (`None`), a burst of 0 one second's worth.
    pub const fn of(rate_per_s: u32, burst: u32) -> Option<Self> {
        let Some(rate_per_s) = NonZeroU32::new(rate_per_s) else { return None };
        let burst = match NonZeroU32::new(burst) {
            Some(burst) => burst,
            None => rate_per_s,
        };
        Some(Self { rate_per_s, burst })
    }

    /// The limit of a bulk request's rows: so many per second, ten seconds' worth at once.
    pub const fn of_rows(rows_per_s: u32) -> Option<Self> {
        Self::of(rows_per_s, rows_per_s.saturating_mul(ROWS_WINDOW_S))
    }

    /// Requests per second.
    pub const fn rate_per_s(self) -> u32 {
        self.rate_per_s.get()
    }

    /// Requests at once, after a time of rest.
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }

    /// How long an empty bucket takes to be full, in seconds, rounded up.
    pub const fn window_s(self) -> u32 {
        self.burst.get().div_ceil(self.rate_per_s.get())
    }
}

/// What each plan allows; `None` = everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLimits {
    /// Of [`Plan::Free`].
    pub free: Option<RateLimit>,
    /// Of [`Plan::Pro`].
    pub pro: Option<RateLimit>,
    /// Of [`Plan::Business`].
    pub business: Option<RateLimit>,
    /// Of [`Plan::Enterprise`].
    pub enterprise: Option<RateLimit>,
}

impl PlanLimits {
    /// The limit of requests that holds for a merchant: its own, else its plan's; `None` = none.
    pub fn limit_of(&self, merchant: &Merchant) -> Option<RateLimit> {
        merchant.own_limit.or(self.of_plan(merchant.plan))
    }

    /// The same of a bulk request's rows.
    pub fn row_limit_of(&self, merchant: &Merchant) -> Option<RateLimit> {
        merchant.own_row_limit.or(self.of_plan(merchant.plan))
    }

    const fn of_plan(&self, plan: Plan) -> Option<RateLimit> {
        match plan {
            Plan::Free => self.free,
            Plan::Pro => self.pro,
            Plan::Business => self.business,
            Plan::Enterprise => self.enterprise,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::MerchantId;

    #[test]
    fn no_rate_is_no_limit_and_no_burst_one_seconds_worth() {
        let numbers =
            |rate, burst| RateLimit::of(rate, burst).map(|limit| (limit.rate_per_s(), limit.burst()));
        assert_eq!(numbers(0, 0), None);
        assert_eq!(numbers(0, 5), None);
        assert_eq!(numbers(10, 0), Some((10, 10)));
        assert_eq!(numbers(10, 1), Some((10, 1)));
        assert_eq!(numbers(u32::MAX, u32::MAX), Some((u32::MAX, u32::MAX)));
    }

    #[test]
    fn the_window_is_rounded_up_to_whole_seconds() {
        let window = |rate, burst| RateLimit::of(rate, burst).unwrap().window_s();
        assert_eq!(window(100, 200), 2);
        assert_eq!(window(100, 201), 3);
        assert_eq!(window(100, 1), 1);
        assert_eq!(window(1, u32::MAX), u32::MAX);
    }

    #[test]
    fn a_merchants_own_limit_wins_over_its_plans() {
        let plans = PlanLimits {
            free: RateLimit::of(10, 0),
            pro: RateLimit::of(100, 200),
            business: RateLimit::of(500, 0),
            enterprise: None,
        };
        let mut merchant = Merchant::new(MerchantId::from_uuid(Uuid::nil()));
        assert_eq!(plans.limit_of(&merchant), None);
        for (plan, limit) in
            [(Plan::Free, plans.free), (Plan::Pro, plans.pro), (Plan::Business, plans.business)]
        {
            merchant.plan = plan;
            assert_eq!(plans.limit_of(&merchant), limit);
        }
        merchant.own_limit = RateLimit::of(3, 7);
        for plan in [Plan::Free, Plan::Pro, Plan::Business, Plan::Enterprise] {
            merchant.plan = plan;
            assert_eq!(plans.limit_of(&merchant), merchant.own_limit);
        }
    }
}
