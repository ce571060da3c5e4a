//! Adding up an order's events.

use std::collections::BTreeMap;

use super::figures::{Figures, Flag, State};
use crate::domain::event::EventName;
use crate::domain::money::{Currency, Money, Total};

/// What of an event enters its order's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// What happened.
    pub name: EventName,
    /// The sale's or refund's value.
    pub value: Option<Money>,
    /// Whether it was told again with other content.
    pub differed: bool,
}

/// The events of one order, added up. Adding commutes; an identity is never added twice, because it
/// is recorded once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    sold: Option<Money>,
    /// Sums of refunds with a value, by currency.
    refunds: BTreeMap<Currency, i128>,
    whole_refund: bool,
    status_refund: bool,
    cancelled: bool,
    reversed: bool,
    differed: bool,
}

impl Ledger {
    /// Adds an event. A lead is no part of an order.
    pub fn add(&mut self, fact: Fact) {
        match (fact.name, fact.value) {
            (EventName::Lead, _) => return,
            (EventName::Sale, value) => self.sold = value,
            (EventName::Refund, Some(value)) => {
                *self.refunds.entry(value.currency()).or_default() += i128::from(value.minor());
            }
            (EventName::Refund, None) => self.whole_refund = true,
            (EventName::StatusRefund, _) => self.status_refund = true,
            (EventName::Cancellation, _) => self.cancelled = true,
            (EventName::Reversal, _) => self.reversed = true,
        }
        self.differed |= fact.differed;
    }

    /// Adds what another one has added up.
    pub fn merge(&mut self, other: &Self) {
        self.sold = other.sold.or(self.sold);
        for (currency, minor) in &other.refunds {
            *self.refunds.entry(*currency).or_default() += minor;
        }
        self.whole_refund |= other.whole_refund;
        self.status_refund |= other.status_refund;
        self.cancelled |= other.cancelled;
        self.reversed |= other.reversed;
        self.differed |= other.differed;
    }

    /// Adds several.
    pub fn of(facts: impl IntoIterator<Item = Fact>) -> Self {
        let mut ledger = Self::default();
        facts.into_iter().for_each(|fact| ledger.add(fact));
        ledger
    }

    /// Whether there is an order at all: leads alone make none.
    pub fn is_order(&self) -> bool {
        self.sold.is_some()
            || !self.refunds.is_empty()
            || self.whole_refund
            || self.status_refund
            || self.cancelled
            || self.reversed
    }

    /// The figures.
    pub fn figures(&self) -> Figures {
        let Some(sale) = self.sold else { return self.without_sale() };
        let (currency, sold) = (sale.currency(), i128::from(sale.minor()));
        let refunds = self.refunds.get(&currency).copied();
        let valued = refunds.unwrap_or(0);
        let refunded = match (valued, self.whole_refund, self.status_refund) {
            (valued, true, _) => valued.max(sold),
            (1.., false, _) => valued,
            (_, false, true) => sold,
            (_, false, false) => 0,
        };
        let taken_back = self.cancelled || self.reversed;
        let net = if taken_back { 0 } else { (sold - refunded).max(0) };
        let has_refund = refunds.is_some() || self.whole_refund || self.status_refund;
        let state = match () {
            () if self.reversed => State::Reversed,
            () if self.cancelled => State::Cancelled,
            () if has_refund && refunded >= sold => State::Refunded,
            () if refunded > 0 => State::PartiallyRefunded,
            () => State::Open,
        };
        let other_refunds = self.other_refunds(Some(currency));
        let flags = [
            (Flag::OverRefunded, valued > sold),
            (Flag::CurrencyMismatch, !other_refunds.is_empty()),
            (Flag::ConflictingRepeat, self.differed),
        ];
        let total = |minor| Some(Total { minor, currency });
        Figures {
            currency: Some(currency),
            sold: total(sold),
            refunded: total(refunded),
            net: total(net),
            other_refunds,
            state,
            flags: flags.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag).collect(),
        }
    }

    fn without_sale(&self) -> Figures {
        Figures {
            currency: None,
            sold: None,
            refunded: None,
            net: None,
            other_refunds: self.other_refunds(None),
            state: State::AwaitingSale,
            flags: self.differed.then_some(Flag::ConflictingRepeat).into_iter().collect(),
        }
    }

    fn other_refunds(&self, sale: Option<Currency>) -> Vec<Total> {
        let others = self.refunds.iter().filter(|(currency, _)| Some(**currency) != sale);
        others.map(|(currency, minor)| Total { minor: *minor, currency: *currency }).collect()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
