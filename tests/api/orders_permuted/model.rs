//! What orders must come to: the contract's section 10, written down a second time and simply.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::history::{Amount, CURRENCIES, Told, What};

/// All orders after a history.
#[derive(Debug, Default)]
pub struct Model {
    pub orders: BTreeMap<String, Order>,
    /// The places in what was told of refunds that must be refused: without an id, and otherwise than the
    /// one recorded.
    pub refused: BTreeSet<usize>,
}

/// An order's events: each kind, and each refund, once.
#[derive(Debug, Default)]
pub struct Order {
    events: BTreeMap<Kind, Content>,
    conflicting: bool,
    /// The link that the sale is credited to.
    pub link: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Sale,
    Refund(String),
    StatusRefund,
    Cancellation,
    Reversal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    value: Option<Amount>,
    at: DateTime<Utc>,
    note: Option<usize>,
}

/// An amount as the service writes it.
pub fn decimal(minor: i64, currency: &str) -> String {
    let (_, scale) = CURRENCIES.into_iter().find(|(code, _)| *code == currency).unwrap();
    let unit = 10_i64.pow(scale);
    match usize::try_from(scale).unwrap() {
        0 => minor.to_string(),
        width => format!("{}.{:0width$}", minor / unit, minor % unit),
    }
}

impl Model {
    /// After these were told, one after the other.
    pub fn of<'a>(told: impl IntoIterator<Item = &'a Told>) -> Self {
        let mut model = Self::default();
        for (place, told) in told.into_iter().enumerate() {
            if !model.tell(told) {
                model.refused.insert(place);
            }
        }
        model
    }

    /// Whether it was taken.
    fn tell(&mut self, told: &Told) -> bool {
        let (kind, value) = match &told.what {
            What::Sale(value) => (Kind::Sale, Some(*value)),
            What::Refund { id, value } => (Kind::Refund(id.clone().unwrap_or_default()), *value),
            What::Cancellation | What::Status("cancelled") => (Kind::Cancellation, None),
            What::Reversal => (Kind::Reversal, None),
            What::Status("returned" | "refunded") => (Kind::StatusRefund, None),
            What::Lead(_) | What::Status(_) => return true,
        };
        let order = self.orders.entry(told.order.clone()).or_default();
        if kind == Kind::Sale {
            order.link = order.link.or(told.link);
        }
        let content = Content { value, at: told.at, note: told.note };
        let first = order.events.entry(kind.clone()).or_insert_with(|| content.clone());
        if kind == Kind::Refund(String::new()) && (first.value, first.at) != (content.value, content.at) {
            return false;
        }
        order.conflicting |= *first != content && kind != Kind::StatusRefund;
        true
    }

    /// The ids of the orders of which this holds.
    pub fn ids(&self, holds: impl Fn(&Order) -> bool) -> BTreeSet<String> {
        self.orders.iter().filter(|(_, order)| holds(order)).map(|(id, _)| id.clone()).collect()
    }
}

impl Order {
    /// The sale's value and time.
    pub fn sale(&self) -> Option<(Amount, DateTime<Utc>)> {
        let sale = self.events.get(&Kind::Sale)?;
        Some((sale.value?, sale.at))
    }

    /// `sold`, `refunded` and `net` in the currency's smallest unit.
    pub fn amounts(&self) -> Option<(&'static str, [i64; 3])> {
        let (sold, _) = self.sale()?;
        let (sold, currency) = (sold.minor, sold.currency);
        let valued = self.refunds_in(currency).unwrap_or(0);
        let refunded = if self.whole_refund() {
            valued.max(sold)
        } else if valued > 0 {
            valued
        } else if self.has(&Kind::StatusRefund) {
            sold
        } else {
            0
        };
        let over = self.is_cancelled() || self.is_reversed();
        let net = if over { 0 } else { (sold - refunded).max(0) };
        Some((currency, [sold, refunded, net]))
    }

    pub fn is_cancelled(&self) -> bool {
        self.has(&Kind::Cancellation)
    }

    pub fn is_reversed(&self) -> bool {
        self.has(&Kind::Reversal)
    }

    fn has(&self, kind: &Kind) -> bool {
        self.events.contains_key(kind)
    }

    fn refunds(&self) -> impl Iterator<Item = Option<Amount>> {
        let refunds = self.events.iter().filter(|(kind, _)| matches!(kind, Kind::Refund(_)));
        refunds.map(|(_, content)| content.value)
    }

    fn whole_refund(&self) -> bool {
        self.refunds().any(|value| value.is_none())
    }

    /// The sum of refunds in this currency; `None` without one.
    fn refunds_in(&self, currency: &str) -> Option<i64> {
        let in_it = self.refunds().flatten().filter(|value| value.currency == currency);
        in_it.map(|value| value.minor).reduce(|sum, minor| sum + minor)
    }

    pub fn state(&self) -> &'static str {
        let Some((currency, [sold, refunded, _])) = self.amounts() else { return "awaiting_sale" };
        let a_refund =
            self.refunds_in(currency).is_some() || self.whole_refund() || self.has(&Kind::StatusRefund);
        match () {
            () if self.is_reversed() => "reversed",
            () if self.is_cancelled() => "cancelled",
            () if a_refund && refunded >= sold => "refunded",
            () if refunded > 0 => "partially_refunded",
            () => "open",
        }
    }

    /// By currency, what was given back in others than the sale's.
    fn other_refunds(&self) -> Vec<Value> {
        let sold_in = self.sale().map(|(sold, _)| sold.currency);
        let others = CURRENCIES.into_iter().filter(|(code, _)| Some(*code) != sold_in);
        others
            .filter_map(|(currency, _)| {
                let minor = self.refunds_in(currency)?;
                Some(json!({"value": decimal(minor, currency), "currency": currency}))
            })
            .collect()
    }

    pub fn flags(&self) -> Vec<&'static str> {
        let sale = self.sale().map(|(sold, _)| sold);
        let over = sale.is_some_and(|sold| self.refunds_in(sold.currency) > Some(sold.minor));
        let mismatch = sale.is_some() && !self.other_refunds().is_empty();
        [("over_refunded", over), ("currency_mismatch", mismatch), ("conflicting_repeat", self.conflicting)]
            .into_iter()
            .filter(|(_, holds)| *holds)
            .map(|(flag, _)| flag)
            .collect()
    }

    /// What of the order arrival must not change, as it is read.
    pub fn figures(&self) -> Value {
        let amounts = self.amounts();
        let text = |index: usize| amounts.map(|(currency, of)| decimal(of[index], currency));
        json!({"currency": amounts.map(|(currency, _)| currency), "sold": text(0), "refunded": text(1),
            "net": text(2), "other_refunds": self.other_refunds(), "state": self.state(), "flags": self.flags()})
    }
}
