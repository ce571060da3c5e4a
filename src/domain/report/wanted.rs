//! What is asked for, in the caller's words.

use chrono::{DateTime, Utc};

use super::period::TooManyPeriods;
use super::{Basis, Bound, GroupBy, Periods, ReportQuery, Zone};
use crate::domain::money::Currency;

/// A report as it is asked for; everything has a default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// What its rows are: by day.
    pub group_by: GroupBy,
    /// Its beginning: such that it has thirty days.
    pub from: Option<Bound>,
    /// Its end: now.
    pub to: Option<Bound>,
    /// Whose days they are: UTC's.
    pub zone: Zone,
    /// When what happens to an order counts: with its sale.
    pub basis: Basis,
    /// Sales of this currency alone: of all.
    pub currency: Option<Currency>,
}

/// Why there is no such report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// It would end before it begins.
    #[error("must lie after its beginning")]
    EmptyRange,
    /// It would be too long.
    #[error(transparent)]
    TooManyPeriods(#[from] TooManyPeriods),
}

impl Wanted {
    /// The query, asked now.
    pub fn at(self, now: DateTime<Utc>) -> Result<ReportQuery, Unanswerable> {
        let Self { group_by, from, to, zone, basis, currency } = self;
        let to = to.map_or(now, |to| to.at(zone));
        let from = from.map_or_else(|| Bound::default_from(to, zone), |from| from.at(zone));
        if from >= to {
            return Err(Unanswerable::EmptyRange);
        }
        let periods = Periods::between((from, to), group_by.unit(), zone)?;
        Ok(ReportQuery { zone, group_by, periods, basis, currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant;

    #[test]
    fn a_report_of_nothing_told_is_of_the_last_thirty_days() {
        let now = instant::parse("2026-11-22T07:00:00Z").unwrap();
        let query = Wanted::default().at(now).unwrap();
        assert_eq!((query.periods.len(), query.periods.to()), (30, now));
        assert_eq!(
            (query.periods.name(0), query.periods.name(29)),
            ("2026-10-24".to_owned(), "2026-11-22".to_owned())
        );
    }

    #[test]
    fn an_end_that_is_no_end_is_told() {
        let now = instant::parse("2026-11-22T07:00:00Z").unwrap();
        let bound = |text: &str| Some(text.parse().unwrap());
        let asked =
            |from, to| Wanted { from, to, ..Wanted::default() }.at(now).map(|query| query.periods.len());
        assert_eq!(asked(bound("2026-11-23"), None), Err(Unanswerable::EmptyRange));
        assert_eq!(asked(bound("2026-11-01"), bound("2026-11-01")), Err(Unanswerable::EmptyRange));
        assert_eq!(asked(bound("2020-01-01"), None), Err(Unanswerable::TooManyPeriods(TooManyPeriods)));
        assert_eq!(asked(None, bound("2020-01-01")), Ok(30));
    }
}
