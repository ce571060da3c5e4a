//! What an order has come to.

use crate::domain::money::{Currency, Total};

/// An order's figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The sale's; `None` without a sale.
    pub currency: Option<Currency>,
    /// The sale's value; `None` without a sale.
    pub sold: Option<Total>,
    /// What was given back, in the sale's currency; `None` without a sale.
    pub refunded: Option<Total>,
    /// What remains; `None` without a sale.
    pub net: Option<Total>,
    /// Refunds that enter no figure: in another currency than the sale's, or without a sale.
    pub other_refunds: Vec<Total>,
    /// In one word.
    pub state: State,
    /// What somebody should look at.
    pub flags: Vec<Flag>,
}

/// An order in one word. The first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Something reverses a sale that is not recorded.
    AwaitingSale,
    /// The whole sale was taken back (a chargeback).
    Reversed,
    /// Cancelled.
    Cancelled,
    /// Everything was given back.
    Refunded,
    /// Some of it was.
    PartiallyRefunded,
    /// None of these.
    Open,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::AwaitingSale,
        Self::Reversed,
        Self::Cancelled,
        Self::Refunded,
        Self::PartiallyRefunded,
        Self::Open,
    ];

    /// The state's name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingSale => "awaiting_sale",
            Self::Reversed => "reversed",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Open => "open",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// What somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// More was given back than was sold.
    OverRefunded,
    /// A refund in another currency than the sale's.
    CurrencyMismatch,
    /// An event was told again with other content; the first told stands.
    ConflictingRepeat,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 3] = [Self::OverRefunded, Self::CurrencyMismatch, Self::ConflictingRepeat];

    /// The flag's name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OverRefunded => "over_refunded",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::ConflictingRepeat => "conflicting_repeat",
        }
    }

    /// The flag of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.as_str() == name)
    }
}
