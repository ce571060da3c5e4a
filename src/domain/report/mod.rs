//! Reports: what a merchant's events come to, by time and by link (contract section 12).
//!
//! A database adds up all sales as if nothing were ever taken back; [`History`] says, order by order,
//! what of that is to be corrected and when; [`Tally`] puts both together. All of it is exact.

mod group;
mod history;
mod period;
mod rate;
mod tally;
mod wanted;
mod zone;

pub use group::{Credit, Dimension, GroupBy, InvalidGroupBy, Key, Part};
pub use history::{Change, History, Sale, status_refund_at};
pub use period::{Periods, Slot, TooManyPeriods, Unit};
pub use rate::conversion_rate;
pub use tally::{Amounts, Counts, Report, Row, Tally, TooManyRows};
pub use wanted::{Unanswerable, Wanted};
pub use zone::{Bound, InvalidZone, Zone};

use super::ids::InvalidId;
use super::money::Currency;

/// What a report is asked about.
#[derive(Debug, Clone)]
pub struct ReportQuery {
    /// Whose days they are.
    pub zone: Zone,
    /// What its rows are.
    pub group_by: GroupBy,
    /// The time it is about, cut into what the rows need.
    pub periods: Periods,
    /// When what happens to an order counts.
    pub basis: Basis,
    /// Sales of this currency alone. Leads and clicks have none: they count all the same, and there
    /// is no conversion rate.
    pub currency: Option<Currency>,
}

/// When what happens to an order counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Basis {
    /// In the period of the order's sale.
    #[default]
    Sale,
    /// When it happens; what lies before the sale, with the sale.
    Event,
}

impl Basis {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sale, Self::Event];

    /// Its name in queries and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sale => "sale",
            Self::Event => "event",
        }
    }
}

impl std::str::FromStr for Basis {
    type Err = InvalidId;

    fn from_str(name: &str) -> Result<Self, InvalidId> {
        Self::ALL.into_iter().find(|basis| basis.as_str() == name).ok_or(InvalidId("sale or event"))
    }
}
