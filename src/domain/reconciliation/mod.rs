//! A merchant's own books held against what is recorded (contract section 12).

mod compare;
mod row;

pub use compare::{Difference, Finding, compare};
pub use row::{Amount, ROW_BYTES_MAX, Row, UnreadableRow, read_row};

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::event::FieldError;
use super::ids::ExternalId;

/// The most rows that one reconciliation takes, readable or not.
pub const ROWS_MAX: usize = 100_000;

/// How many differences are listed; all are counted.
pub const DIFFERENCES_MAX: usize = 100_000;

/// How many unreadable rows are listed; all are counted.
pub const UNREADABLE_MAX: usize = 1_000;

/// What the merchant says of the orders whose sale happened within a period.
#[derive(Debug)]
pub struct Books {
    /// From then on.
    pub from: DateTime<Utc>,
    /// Before then.
    pub to: DateTime<Utc>,
    /// The rows that could be read, in order; no order twice.
    pub rows: Vec<Row>,
    /// The first of those that could not.
    pub unreadable: Vec<UnreadableRow>,
    /// How many could not.
    pub unreadable_count: u64,
    /// The orders of all that could not, as far as those could be told: the merchant has them.
    pub unreadable_orders: HashSet<String>,
}

/// Counts of what was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows that could be read.
    pub compared: u64,
    /// Of them, without any difference.
    pub matched: u64,
    /// Orders that only the merchant has.
    pub missing_here: u64,
    /// Orders that only the service has.
    pub missing_there: u64,
    /// Amounts that differ.
    pub amount_differs: u64,
    /// Currencies that differ.
    pub currency_differs: u64,
    /// States that differ.
    pub state_differs: u64,
    /// Rows that could not be read.
    pub unreadable: u64,
}

/// What came out of a reconciliation.
#[derive(Debug, Default)]
pub struct Reconciliation {
    /// Counts.
    pub summary: Summary,
    /// The first [`DIFFERENCES_MAX`] differences.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub omitted: u64,
    /// The first [`UNREADABLE_MAX`] rows that could not be read.
    pub unreadable: Vec<UnreadableRow>,
}

impl Summary {
    /// Whether the books agree.
    pub const fn agrees(&self) -> bool {
        self.matched == self.compared && self.missing_there == 0 && self.unreadable == 0
    }

    fn count(&mut self, finding: &Finding) {
        let counter = match finding {
            Finding::MissingHere { .. } => &mut self.missing_here,
            Finding::MissingThere => &mut self.missing_there,
            Finding::Amount { .. } => &mut self.amount_differs,
            Finding::Currency { .. } => &mut self.currency_differs,
            Finding::State { .. } => &mut self.state_differs,
        };
        *counter += 1;
    }
}

impl Reconciliation {
    /// Notes what was found about an order.
    pub fn note(&mut self, order: &ExternalId, findings: Vec<Finding>) {
        for finding in findings {
            self.summary.count(&finding);
            if self.differences.len() < DIFFERENCES_MAX {
                self.differences.push(Difference { order: order.clone(), finding });
            } else {
                self.omitted += 1;
            }
        }
    }
}

/// An error of the books as a whole.
pub fn error(pointer: &str, code: &'static str, message: impl Into<String>) -> FieldError {
    FieldError { pointer: pointer.to_owned(), code, message: message.into() }
}
