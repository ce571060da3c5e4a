//! Adding a report up.

use std::collections::BTreeMap;

use super::ReportQuery;
use super::group::{Credit, Key};
use super::history::History;
use crate::domain::money::Currency;

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Clicks.
    pub clicks: u64,
    /// Leads.
    pub leads: u64,
    /// Sales.
    pub sales: u64,
    /// Cancellations of orders that were sold.
    pub cancelled: u64,
    /// Reversals of orders that were sold.
    pub reversed: u64,
    /// Refunds of orders that were sold. A status refund is one where there is no other.
    pub refunds: u64,
}

/// Amounts of one currency, in minor units. With [`super::Basis::Event`] they are changes, which may be
/// negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// What was sold.
    pub sold: i128,
    /// What was given back.
    pub refunded: i128,
    /// What remains.
    pub net: i128,
}

/// A row's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// What is counted.
    pub counts: Counts,
    /// Amounts by currency.
    pub amounts: BTreeMap<Currency, Amounts>,
}

/// A report: its rows in order, and all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The rows.
    pub rows: Vec<(Key, Row)>,
    /// Their sum.
    pub totals: Row,
}

/// There would be more rows than [`Report::ROWS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("makes more than {max} rows: ask for a shorter time, or group by less", max = Report::ROWS_MAX)]
pub struct TooManyRows;

/// A report that is being added up.
#[derive(Debug)]
pub struct Tally<'a> {
    query: &'a ReportQuery,
    rows: BTreeMap<Key, Row>,
}

impl Report {
    /// How many rows a report may have.
    pub const ROWS_MAX: usize = 20_000;
}

impl<'a> Tally<'a> {
    /// Nothing yet: a row for every period where rows are told apart by time alone.
    pub fn new(query: &'a ReportQuery) -> Self {
        let periods = if query.group_by.is_time_alone() { query.periods.len() } else { 0 };
        let empty = |period| (query.group_by.key(period, &Credit::default()), Row::default());
        Self { query, rows: (0..periods).map(empty).collect() }
    }

    /// Adds sales as they were told: so many, of so much together.
    pub fn sales(
        &mut self,
        period: usize,
        credit: &Credit,
        (currency, minor): (Currency, i128),
        count: u64,
    ) -> Result<(), TooManyRows> {
        let row = self.row(period, credit)?;
        row.counts.sales += count;
        let amounts = row.amounts.entry(currency).or_default();
        amounts.sold += minor;
        amounts.net += minor;
        Ok(())
    }

    /// Adds leads.
    pub fn leads(&mut self, period: usize, credit: &Credit, count: u64) -> Result<(), TooManyRows> {
        self.row(period, credit)?.counts.leads += count;
        Ok(())
    }

    /// Adds clicks.
    pub fn clicks(&mut self, period: usize, credit: &Credit, count: u64) -> Result<(), TooManyRows> {
        self.row(period, credit)?.counts.clicks += count;
        Ok(())
    }

    /// Adds what happened to an order whose sale counts whole.
    pub fn correct(&mut self, history: History<'_>) -> Result<(), TooManyRows> {
        let (credit, currency) = (history.sale().credit, history.sale().value.currency());
        for (period, change) in history.changes() {
            let row = self.row(period, &credit)?;
            row.counts.cancelled += change.cancelled;
            row.counts.reversed += change.reversed;
            row.counts.refunds += change.refunds;
            let amounts = row.amounts.entry(currency).or_default();
            amounts.refunded += change.refunded;
            amounts.net += change.net;
        }
        Ok(())
    }

    /// The report.
    pub fn report(self) -> Report {
        let mut totals = Row::default();
        self.rows.values().for_each(|row| totals.add(row));
        Report { rows: self.rows.into_iter().collect(), totals }
    }

    fn row(&mut self, period: usize, credit: &Credit) -> Result<&mut Row, TooManyRows> {
        let key = self.query.group_by.key(period, credit);
        if self.rows.len() >= Report::ROWS_MAX && !self.rows.contains_key(&key) {
            return Err(TooManyRows);
        }
        Ok(self.rows.entry(key).or_default())
    }
}

impl Row {
    fn add(&mut self, other: &Self) {
        let (counts, more) = (&mut self.counts, &other.counts);
        counts.clicks += more.clicks;
        counts.leads += more.leads;
        counts.sales += more.sales;
        counts.cancelled += more.cancelled;
        counts.reversed += more.reversed;
        counts.refunds += more.refunds;
        for (currency, more) in &other.amounts {
            let amounts = self.amounts.entry(*currency).or_default();
            amounts.sold += more.sold;
            amounts.refunded += more.refunded;
            amounts.net += more.net;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant;
    use crate::domain::money::Money;
    use crate::domain::report::{Basis, Periods, Zone};
    use uuid::Uuid;

    fn query(group_by: &str) -> ReportQuery {
        let group_by: super::super::GroupBy = group_by.parse().unwrap();
        let time = ["2026-11-01T00:00:00Z", "2026-11-04T00:00:00Z"].map(|text| instant::parse(text).unwrap());
        let periods = Periods::between((time[0], time[1]), group_by.unit(), Zone::UTC).unwrap();
        ReportQuery { zone: Zone::UTC, group_by, periods, basis: Basis::Sale, currency: None }
    }

    #[test]
    fn rows_by_time_alone_are_there_also_where_nothing_happened() {
        let by_day = query("day");
        let mut tally = Tally::new(&by_day);
        tally.leads(1, &Credit::default(), 2).unwrap();
        let report = tally.report();
        assert_eq!(report.rows.iter().map(|(_, row)| row.counts.leads).collect::<Vec<_>>(), [0, 2, 0]);
        let by_link = query("day,url_id");
        assert_eq!(Tally::new(&by_link).report().rows, []);
    }

    #[test]
    fn sums_are_exact_beyond_what_a_database_can_add() {
        let query = query("day");
        let currency: Currency = "EUR".parse().unwrap();
        let mut tally = Tally::new(&query);
        let most = i128::from(Money::MINOR_MAX) * i128::from(i64::MAX);
        for period in 0..3 {
            tally.sales(period, &Credit::default(), (currency, most), u64::from(u32::MAX)).unwrap();
        }
        let report = tally.report();
        assert_eq!(report.totals.amounts[&currency], Amounts { sold: 3 * most, refunded: 0, net: 3 * most });
    }

    #[test]
    fn a_row_too_many_is_refused_and_those_there_still_count() {
        let query = query("url_id");
        let mut tally = Tally::new(&query);
        let link = |number: usize| Credit {
            url_id: Some(Uuid::from_u128(u128::try_from(number).unwrap())),
            ..Credit::default()
        };
        for number in 0..Report::ROWS_MAX {
            tally.leads(0, &link(number), 1).unwrap();
        }
        assert_eq!(tally.leads(0, &link(Report::ROWS_MAX), 1), Err(TooManyRows));
        assert_eq!(tally.leads(0, &link(7), 1), Ok(()));
    }
}
