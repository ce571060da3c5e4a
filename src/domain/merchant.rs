//! Merchants: who may report events, and the settings that their events are judged by.

use std::fmt;
use std::str::FromStr;

use super::ids::MerchantId;
use super::money::Currency;
use super::quota::{Quota, Usage};
use super::rate_limit::RateLimit;

/// What a merchant is and how its events are judged.
#[derive(Debug, Clone)]
pub struct Merchant {
    /// The merchant's id.
    pub id: MerchantId,
    /// Taken when an order-dialect callback names no currency.
    pub currency: Option<Currency>,
    /// How long after a click an event may still be attributed to it.
    pub attribution_window: AttributionWindow,
    /// A suspended merchant's callbacks are refused like forgeries.
    pub suspended: bool,
    /// All of its keys take the bound form of signature alone.
    pub require_v2: bool,
    /// Its rate-limit plan.
    pub plan: Plan,
    /// Its own rate limit, which wins over the plan's.
    pub own_limit: Option<RateLimit>,
    /// The same of bulk requests' rows.
    pub own_row_limit: Option<RateLimit>,
    /// What it may write per day.
    pub quota: Quota,
    /// What it had written today, when the merchant was read; known only where there is a quota.
    pub usage: Option<Usage>,
}

impl Merchant {
    /// A merchant with the settings that it has unless told otherwise.
    pub const fn new(id: MerchantId) -> Self {
        Self {
            id,
            currency: None,
            attribution_window: AttributionWindow::DEFAULT,
            suspended: false,
            require_v2: false,
            plan: Plan::Enterprise,
            own_limit: None,
            own_row_limit: None,
            quota: Quota { rows: None, bytes: None },
            usage: None,
        }
    }
}

/// `attribution_window_days`: 0–365, 0 = attribute nothing (contract section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributionWindow(u16);

/// Not 0–365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 0 to 365 days")]
pub struct InvalidWindow;

impl AttributionWindow {
    /// What a merchant has unless told otherwise.
    pub const DEFAULT: Self = Self(30);

    /// A window of so many days.
    pub fn from_days(days: i64) -> Result<Self, InvalidWindow> {
        u16::try_from(days).ok().filter(|days| *days <= 365).map(Self).ok_or(InvalidWindow)
    }

    /// The window's length in days.
    pub const fn days(self) -> u16 {
        self.0
    }
}

impl FromStr for AttributionWindow {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        text.parse().map_err(|_| InvalidWindow).and_then(Self::from_days)
    }
}

/// Real business, or a merchant's tests: the two never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Money is meant.
    Live,
    /// Made with an `ak_test_` key.
    Test,
}

impl Mode {
    /// The mode's name in answers and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl FromStr for Mode {
    type Err = super::ids::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "live" => Ok(Self::Live),
            "test" => Ok(Self::Test),
            _ => Err(super::ids::InvalidId("live or test")),
        }
    }
}

/// A rate-limit plan (contract section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// The smallest plan.
    Free,
    /// For small shops.
    Pro,
    /// For large ones.
    Business,
    /// Without a limit unless one is set: the default.
    Enterprise,
}

impl Plan {
    /// The plan's name in the command line and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Business => "business",
            Self::Enterprise => "enterprise",
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Plan {
    type Err = super::ids::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Free, Self::Pro, Self::Business, Self::Enterprise]
            .into_iter()
            .find(|plan| plan.as_str() == text)
            .ok_or(super::ids::InvalidId("one of free, pro, business, enterprise"))
    }
}
