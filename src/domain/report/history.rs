//! What of an order's sale is taken back, and when it counts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::group::Credit;
use super::period::Slot;
use super::{Basis, ReportQuery};
use crate::domain::event::EventName;
use crate::domain::money::Money;
use crate::domain::order::{Fact, Ledger};

/// An order's sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What was sold for.
    pub value: Money,
    /// What it is credited to, and with it all that happens to the order.
    pub credit: Credit,
}

/// What changes in a period, beyond the sale as it was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// To what was given back, in minor units.
    pub refunded: i128,
    /// To what remains. The sale itself counts whole.
    pub net: i128,
    /// Cancellations.
    pub cancelled: u64,
    /// Reversals.
    pub reversed: u64,
    /// Refunds.
    pub refunds: u64,
}

/// What happened to an order that was sold. In which order it is added makes no difference, and it takes
/// no more room than there are periods, however much it is.
#[derive(Debug)]
pub struct History<'a> {
    query: &'a ReportQuery,
    sale: Sale,
    /// What takes effect together. Within a period its order cannot be told apart.
    steps: BTreeMap<Slot, Step>,
    status_refund: Option<Slot>,
    has_refund: bool,
}

#[derive(Debug, Default)]
struct Step {
    ledger: Ledger,
    change: Change,
}

impl<'a> History<'a> {
    /// Of this sale.
    pub const fn new(query: &'a ReportQuery, sale: Sale) -> Self {
        Self { query, sale, steps: BTreeMap::new(), status_refund: None, has_refund: false }
    }

    /// Adds what happened to it at an instant. What lies before the sale takes effect with it.
    pub fn add(&mut self, fact: Fact, at: DateTime<Utc>) {
        let at = match self.query.basis {
            Basis::Sale => self.sale.at,
            Basis::Event => at.max(self.sale.at),
        };
        let slot = self.query.periods.slot(at);
        let step = self.steps.entry(slot).or_default();
        step.ledger.add(fact);
        match fact.name {
            EventName::Lead | EventName::Sale => {}
            EventName::Refund => {
                step.change.refunds += 1;
                self.has_refund = true;
            }
            EventName::StatusRefund => self.status_refund = Some(slot),
            EventName::Cancellation => step.change.cancelled += 1,
            EventName::Reversal => step.change.reversed += 1,
        }
    }

    /// What it is to the sale, by period: together the difference between the sale as told and the order's
    /// figures, as far as it lies in the report's time.
    pub fn changes(mut self) -> impl Iterator<Item = (usize, Change)> {
        // Where there are refunds the status tells of one of them.
        if let (Some(slot), false) = (self.status_refund, self.has_refund) {
            self.steps.entry(slot).or_default().change.refunds += 1;
        }
        let value = self.sale.value;
        let mut ledger = Ledger::of([Fact { name: EventName::Sale, value: Some(value), differed: false }]);
        let mut before = (0, i128::from(value.minor()));
        self.steps.into_iter().filter_map(move |(slot, step)| {
            ledger.merge(&step.ledger);
            let figures = ledger.figures();
            let minor = |total: Option<crate::domain::money::Total>| total.map_or(0, |total| total.minor);
            let now = (minor(figures.refunded), minor(figures.net));
            let change = Change { refunded: now.0 - before.0, net: now.1 - before.1, ..step.change };
            before = now;
            match slot {
                Slot::In(period) if change != Change::default() => Some((period, change)),
                Slot::In(_) | Slot::Before | Slot::Behind => None,
            }
        })
    }

    /// Its sale.
    pub const fn sale(&self) -> &Sale {
        &self.sale
    }
}

/// When an order's status refund happened. Several statuses may tell of it (returned, then refunded), and
/// only the first to arrive makes the event: the earliest time told counts, whichever arrived first.
pub fn status_refund_at(occurred_at: DateTime<Utc>, told: Option<DateTime<Utc>>) -> DateTime<Utc> {
    told.unwrap_or(occurred_at)
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
