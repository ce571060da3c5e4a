//! The time that a report is about, in periods.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};

use super::zone::Zone;

/// What a period is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A day of the zone: 23 or 25 hours where clocks are set.
    Day,
    /// An ISO week: from Monday.
    Week,
    /// A month.
    Month,
}

/// Periods that follow one another without a gap, earliest first. The first and the last may be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Periods {
    unit: Option<Unit>,
    /// The first day of each.
    days: Vec<NaiveDate>,
    /// Where each begins, and then where the last one ends.
    edges: Vec<DateTime<Utc>>,
}

/// Where an instant lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// Before the report's time.
    Before,
    /// In the period of this number.
    In(usize),
    /// Behind it.
    Behind,
}

/// There would be more than [`Periods::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("makes more than {max} periods: ask for a shorter time, or for longer periods", max = Periods::MAX)]
pub struct TooManyPeriods;

impl Unit {
    /// The first day of the period that a day lies in.
    fn first(self, day: NaiveDate) -> NaiveDate {
        let since = match self {
            Self::Day => 0,
            Self::Week => day.weekday().num_days_from_monday(),
            Self::Month => day.day0(),
        };
        day.checked_sub_days(Days::new(since.into())).unwrap_or(day)
    }

    /// The first day of the next period.
    fn next(self, first: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Day => first.succ_opt(),
            Self::Week => first.checked_add_days(Days::new(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
        }
    }
}

impl Periods {
    /// How many there may be: three years of days.
    pub const MAX: usize = 1_100;

    /// The time from the one instant to before the other, as a single period or in units of the zone.
    pub fn between(
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        unit: Option<Unit>,
        zone: Zone,
    ) -> Result<Self, TooManyPeriods> {
        let mut periods = Self { unit, days: Vec::new(), edges: vec![from] };
        let Some(unit) = unit else {
            periods.edges.push(to);
            return Ok(periods);
        };
        let mut begin = from;
        let mut first = Some(unit.first(zone.date(from)));
        while let (Some(day), true) = (first, begin < to) {
            first = unit.next(day);
            let end = first.map_or(to, |next| zone.midnight(next)).min(to);
            // A day that a zone left out is no period.
            if end > begin {
                periods.days.push(day);
                periods.edges.push(end);
                begin = end;
            }
            if periods.days.len() > Self::MAX {
                return Err(TooManyPeriods);
            }
        }
        Ok(periods)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    /// Whether there are none: of an empty time.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where all of them begin.
    pub fn from(&self) -> DateTime<Utc> {
        self.edges.first().copied().unwrap_or_default()
    }

    /// Where all of them end.
    pub fn to(&self) -> DateTime<Utc> {
        self.edges.last().copied().unwrap_or_default()
    }

    /// Beginning and end of each.
    pub fn iter(&self) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        self.edges.iter().copied().zip(self.edges.iter().copied().skip(1))
    }

    /// Where an instant lies.
    pub fn slot(&self, at: DateTime<Utc>) -> Slot {
        match self.edges.partition_point(|edge| *edge <= at).checked_sub(1) {
            None => Slot::Before,
            Some(period) if period >= self.len() => Slot::Behind,
            Some(period) => Slot::In(period),
        }
    }

    /// A period's name: its day, its Monday, its month.
    pub fn name(&self, period: usize) -> String {
        let day = self.days.get(period).copied().unwrap_or_default();
        match self.unit {
            Some(Unit::Month) => day.format("%Y-%m").to_string(),
            _ => day.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::instant;
    use crate::domain::report::Bound;

    fn periods(from: &str, to: &str, unit: Unit, zone: &str) -> Periods {
        let zone: Zone = zone.parse().unwrap();
        let at = |text: &str| text.parse::<Bound>().unwrap().at(zone);
        Periods::between((at(from), at(to)), Some(unit), zone).unwrap()
    }

    /// Each one's name and hours.
    fn hours(periods: &Periods) -> Vec<(String, i64)> {
        let lengths = periods.iter().map(|(from, to)| (to - from).num_hours());
        lengths.enumerate().map(|(number, hours)| (periods.name(number), hours)).collect()
    }

    fn expect(periods: &Periods, expected: &[(&str, i64)]) {
        let expected: Vec<_> = expected.iter().map(|(name, hours)| ((*name).to_owned(), *hours)).collect();
        assert_eq!(hours(periods), expected);
    }

    #[test]
    fn days_are_as_long_as_their_zone_makes_them() {
        let days = |from, to, zone| periods(from, to, Unit::Day, zone);
        expect(
            &days("2026-03-28", "2026-03-31", "Europe/Paris"),
            &[("2026-03-28", 24), ("2026-03-29", 23), ("2026-03-30", 24)],
        );
        expect(&days("2026-10-25", "2026-10-27", "Europe/Paris"), &[("2026-10-25", 25), ("2026-10-26", 24)]);
        expect(
            &days("2026-03-08", "2026-03-10", "America/New_York"),
            &[("2026-03-08", 23), ("2026-03-09", 24)],
        );
        expect(&days("2026-11-01", "2026-11-02", "America/New_York"), &[("2026-11-01", 25)]);
        expect(
            &days("2018-11-03", "2018-11-06", "America/Sao_Paulo"),
            &[("2018-11-03", 24), ("2018-11-04", 23), ("2018-11-05", 24)],
        );
        expect(&days("2022-03-26", "2022-03-28", "Asia/Beirut"), &[("2022-03-26", 24), ("2022-03-27", 23)]);
        expect(&days("2011-12-29", "2012-01-01", "Pacific/Apia"), &[("2011-12-29", 24), ("2011-12-31", 24)]);
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_their_first() {
        expect(
            &periods("2026-12-28", "2027-01-11", Unit::Week, "UTC"),
            &[("2026-12-28", 168), ("2027-01-04", 168)],
        );
        expect(
            &periods("2026-02-01", "2026-04-01", Unit::Month, "UTC"),
            &[("2026-02", 672), ("2026-03", 744)],
        );
        expect(&periods("2026-03-01", "2026-04-01", Unit::Month, "Europe/Paris"), &[("2026-03", 743)]);
    }

    #[test]
    fn the_first_and_the_last_may_be_cut() {
        expect(
            &periods("2026-11-04T12:00:00Z", "2026-11-09T06:00:00Z", Unit::Week, "UTC"),
            &[("2026-11-02", 108), ("2026-11-09", 6)],
        );
        expect(
            &periods("2026-11-04T23:30:00Z", "2026-11-05T23:30:00Z", Unit::Day, "Europe/Paris"),
            &[("2026-11-05", 23), ("2026-11-06", 0)],
        );
    }

    #[test]
    fn every_instant_lies_in_one_of_them() {
        let days = periods("2026-10-24", "2026-10-27", Unit::Day, "Europe/Paris");
        let tick = TimeDelta::microseconds(1);
        assert_eq!((days.slot(days.from() - tick), days.slot(days.to())), (Slot::Before, Slot::Behind));
        for (number, (from, to)) in days.iter().enumerate() {
            assert_eq!((days.slot(from), days.slot(to - tick)), (Slot::In(number), Slot::In(number)));
        }
        let whole = Periods::between((days.from(), days.to()), None, Zone::UTC).unwrap();
        assert_eq!(
            (whole.len(), whole.slot(days.from()), whole.slot(days.to())),
            (1, Slot::In(0), Slot::Behind)
        );
    }

    #[test]
    fn there_are_never_more_than_can_be_shown() {
        let at = |text| instant::parse(text).unwrap();
        let (from, to) = (at("0001-01-01T00:00:00Z"), at("9999-12-31T00:00:00Z"));
        for unit in [Unit::Day, Unit::Week, Unit::Month] {
            assert_eq!(Periods::between((from, to), Some(unit), Zone::UTC), Err(TooManyPeriods));
        }
        assert!(Periods::between((from, to), None, Zone::UTC).is_ok());
        let to = from + TimeDelta::days(i64::try_from(Periods::MAX).unwrap());
        let zone = "Asia/Tokyo".parse().unwrap();
        assert_eq!(Periods::between((from, to), Some(Unit::Day), Zone::UTC).unwrap().len(), Periods::MAX);
        assert_eq!(Periods::between((from, to), Some(Unit::Day), zone), Err(TooManyPeriods));
    }
}
