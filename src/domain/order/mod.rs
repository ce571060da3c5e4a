//! An order, by its events alone (contract section 10).
//!
//! Its figures are a function of the *set* of its recorded events: [`Ledger::add`] commutes, so
//! nothing about the order of arrival can enter.

mod figures;
mod ledger;
mod timeline;

pub use figures::{Figures, Flag, State};
pub use ledger::{Fact, Ledger};
pub use timeline::{Moment, Timeline};

use super::attribution::Attribution;
use super::ids::ExternalId;
use super::merchant::Mode;

/// An order as recorded.
#[derive(Debug, Clone)]
pub struct Order {
    /// The merchant's id of it.
    pub id: ExternalId,
    /// Real or test.
    pub mode: Mode,
    /// What it has come to.
    pub figures: Figures,
    /// Its sale's, which everything that reverses the sale inherits; `None` without a sale.
    pub attribution: Option<Attribution>,
    /// What happened.
    pub timeline: Timeline,
}
