//! Which click an event is credited to (contract section 4.4).

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::click_token::{ClickToken, TokenRing};
use super::ids::{ClickId, MerchantId};
use super::merchant::AttributionWindow;

/// How far an event may lie before its click and still count: clocks differ.
pub const CLOCK_GRACE: TimeDelta = TimeDelta::minutes(5);

/// What became of the token on a callback. Made before the queue: it costs an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenVerdict {
    /// None was sent.
    None,
    /// One was sent that is not ours.
    Invalid,
    /// One of ours.
    Genuine(ClickToken),
}

impl TokenVerdict {
    /// Checks the token of a callback.
    pub fn of(token: Option<&str>, ring: &TokenRing) -> Self {
        match token.map(|text| ring.verify(text)) {
            None => Self::None,
            Some(Err(_)) => Self::Invalid,
            Some(Ok(token)) => Self::Genuine(token),
        }
    }
}

/// The click and link that an event is credited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The click.
    pub click_id: ClickId,
    /// The short link.
    pub url_id: Uuid,
    /// Its domain.
    pub domain_id: Uuid,
    /// When it was clicked.
    pub clicked_at: DateTime<Utc>,
}

/// Why an event earned no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unattributed {
    /// No token came with it.
    NoToken,
    /// Not a token of ours.
    InvalidToken,
    /// A token of another merchant's link.
    WrongMerchant,
    /// The click is older than the merchant's window.
    OutsideWindow,
    /// The click is more than [`CLOCK_GRACE`] younger than the event.
    ClickAfterEvent,
}

impl Unattributed {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::NoToken, Self::InvalidToken, Self::WrongMerchant, Self::OutsideWindow, Self::ClickAfterEvent];

    /// The reason's name in answers and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::InvalidToken => "invalid_token",
            Self::WrongMerchant => "wrong_merchant",
            Self::OutsideWindow => "outside_window",
            Self::ClickAfterEvent => "click_after_event",
        }
    }

    /// The reason of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// Whether a later, genuine token may still decide.
    const fn is_open(self) -> bool {
        matches!(self, Self::NoToken | Self::InvalidToken)
    }
}

/// What was decided about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// Credited to a click.
    Attributed(Link),
    /// Recorded without a link.
    Unattributed(Unattributed),
    /// A refund, cancellation or reversal: its order's sale decides.
    Inherited,
}

impl Attribution {
    /// The names of all statuses.
    pub const STATUSES: [&str; 3] = ["attributed", "unattributed", "inherited"];

    /// The status's name in answers and in the database.
    pub const fn status(&self) -> &'static str {
        match self {
            Self::Attributed(_) => "attributed",
            Self::Unattributed(_) => "unattributed",
            Self::Inherited => "inherited",
        }
    }
}

/// Decides about a lead or sale, with the window in force at its receipt.
pub fn decide(
    verdict: &TokenVerdict,
    merchant: MerchantId,
    window: AttributionWindow,
    occurred_at: DateTime<Utc>,
) -> Attribution {
    let token = match verdict {
        TokenVerdict::None => return Attribution::Unattributed(Unattributed::NoToken),
        TokenVerdict::Invalid => return Attribution::Unattributed(Unattributed::InvalidToken),
        TokenVerdict::Genuine(token) => token,
    };
    let age = occurred_at - token.clicked_at;
    if token.merchant_id != merchant {
        Attribution::Unattributed(Unattributed::WrongMerchant)
    } else if age < -CLOCK_GRACE {
        Attribution::Unattributed(Unattributed::ClickAfterEvent)
    } else if window.days() == 0 || age > TimeDelta::days(window.days().into()) {
        Attribution::Unattributed(Unattributed::OutsideWindow)
    } else {
        Attribution::Attributed(Link {
            click_id: token.click_id,
            url_id: token.url_id,
            domain_id: token.domain_id,
            clicked_at: token.clicked_at,
        })
    }
}

/// What a repeat adds to an event recorded without a usable token (contract section 4.3).
///
/// The first token that earns a link decides: so the order in which a relay without the token and a
/// backend with it report the same sale makes no difference, and a useless token in between does no
/// harm.
pub fn decide_late(
    recorded: &Attribution,
    verdict: &TokenVerdict,
    merchant: MerchantId,
    window: AttributionWindow,
    occurred_at: DateTime<Utc>,
) -> Option<Attribution> {
    match (recorded, verdict) {
        (Attribution::Unattributed(reason), TokenVerdict::Genuine(_)) if reason.is_open() => {
            let decided = decide(verdict, merchant, window, occurred_at);
            matches!(decided, Attribution::Attributed(_)).then_some(decided)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(clicked_at: DateTime<Utc>, merchant: MerchantId) -> TokenVerdict {
        let id = |n| Uuid::from_u128(n);
        TokenVerdict::Genuine(ClickToken {
            merchant_id: merchant,
            domain_id: id(1),
            url_id: id(2),
            click_id: ClickId::from_uuid(id(3)),
            clicked_at,
        })
    }

    fn reason(age: TimeDelta, days: i64) -> Option<Unattributed> {
        let merchant = MerchantId::from_uuid(Uuid::from_u128(9));
        let clicked_at = DateTime::UNIX_EPOCH;
        let window = AttributionWindow::from_days(days).unwrap();
        match decide(&verdict(clicked_at, merchant), merchant, window, clicked_at + age) {
            Attribution::Unattributed(reason) => Some(reason),
            _ => None,
        }
    }

    #[test]
    fn both_ends_of_the_window_are_inside() {
        let tick = TimeDelta::microseconds(1);
        assert_eq!(reason(TimeDelta::zero(), 30), None);
        assert_eq!(reason(TimeDelta::days(30), 30), None);
        assert_eq!(reason(TimeDelta::days(30) + tick, 30), Some(Unattributed::OutsideWindow));
        assert_eq!(reason(-CLOCK_GRACE, 30), None);
        assert_eq!(reason(-CLOCK_GRACE - tick, 30), Some(Unattributed::ClickAfterEvent));
    }

    #[test]
    fn a_window_of_no_days_attributes_nothing() {
        assert_eq!(reason(TimeDelta::zero(), 0), Some(Unattributed::OutsideWindow));
    }

    #[test]
    fn another_merchants_token_earns_nothing() {
        let mine = MerchantId::from_uuid(Uuid::from_u128(9));
        let other = MerchantId::from_uuid(Uuid::from_u128(8));
        let at = DateTime::UNIX_EPOCH;
        let decided = decide(&verdict(at, other), mine, AttributionWindow::DEFAULT, at);
        assert_eq!(decided, Attribution::Unattributed(Unattributed::WrongMerchant));
    }
}
