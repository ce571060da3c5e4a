//! Time zones, and the days that begin in them.

use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

use crate::domain::instant;

/// A time zone of the IANA database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

/// No zone of the IANA database has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an IANA time zone such as Europe/Paris or UTC")]
pub struct InvalidZone;

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(Tz::UTC);

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The day that an instant lies in.
    pub fn date(self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.0).date_naive()
    }

    /// The first instant of a day. Where clocks are set at midnight there may be no midnight: then the day
    /// begins when they are set. Or there are two: the first.
    pub fn midnight(self, date: NaiveDate) -> DateTime<Utc> {
        let local = date.and_time(NaiveTime::MIN);
        match self.0.from_local_datetime(&local) {
            LocalResult::Single(at) => at.to_utc(),
            LocalResult::Ambiguous(one, other) => one.min(other).to_utc(),
            LocalResult::None => self.after_gap(local),
        }
    }

    /// The first instant at which clocks show more than a time that they never show.
    fn after_gap(self, local: NaiveDateTime) -> DateTime<Utc> {
        let shown = |second: i64| {
            let at = DateTime::from_timestamp(second, 0)?;
            Some(at.with_timezone(&self.0).naive_local())
        };
        // No zone is two days from UTC: before the gap at the one end, behind it at the other.
        let reach = TimeDelta::days(2).num_seconds();
        let middle = local.and_utc().timestamp();
        let (mut before, mut behind) = (middle - reach, middle + reach);
        while behind - before > 1 {
            let between = before + (behind - before) / 2;
            if shown(between).is_some_and(|shown| shown < local) {
                before = between;
            } else {
                behind = between;
            }
        }
        DateTime::from_timestamp(behind, 0).unwrap_or_else(|| local.and_utc())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(name: &str) -> Result<Self, InvalidZone> {
        name.parse().map(Self).map_err(|_| InvalidZone)
    }
}

/// An end of the time that a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// An instant.
    Instant(DateTime<Utc>),
    /// The beginning of a day.
    Date(NaiveDate),
}

impl Bound {
    /// The instant.
    pub fn at(self, zone: Zone) -> DateTime<Utc> {
        match self {
            Self::Instant(at) => at,
            Self::Date(date) => zone.midnight(date),
        }
    }

    /// Where a report begins that is not told: so that it has thirty days, the last one being that in which
    /// its end lies.
    pub fn default_from(to: DateTime<Utc>, zone: Zone) -> DateTime<Utc> {
        let last = zone.date(to - TimeDelta::microseconds(1));
        last.checked_sub_days(Days::new(29)).map_or(DateTime::UNIX_EPOCH, |first| zone.midnight(first))
    }
}

impl FromStr for Bound {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let date = || {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            (text.len() == 10 && (1..=9999).contains(&date.year())).then_some(Self::Date(date))
        };
        date()
            .or_else(|| instant::parse(text).ok().map(Self::Instant))
            .ok_or("must be a date like 2026-11-21, or RFC 3339 with an offset like 2026-11-21T20:00:00Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn midnight(zone: &str, date: &str) -> String {
        instant::format(zone.parse::<Zone>().unwrap().midnight(date.parse().unwrap()))
    }

    #[test]
    fn a_day_begins_at_its_first_instant_whatever_is_done_to_the_clocks() {
        for (zone, date, expected) in [
            ("UTC", "2026-11-21", "2026-11-21T00:00:00Z"),
            ("Europe/Paris", "2026-03-29", "2026-03-28T23:00:00Z"),
            ("Europe/Paris", "2026-03-30", "2026-03-29T22:00:00Z"),
            ("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z"),
            ("America/New_York", "2026-11-02", "2026-11-02T05:00:00Z"),
            // There is no midnight: the clocks go from 23:59:59 to 01:00.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
            ("Asia/Beirut", "2022-03-27", "2022-03-26T22:00:00Z"),
            // Two of them, an hour apart.
            ("America/Havana", "2023-11-05", "2023-11-05T04:00:00Z"),
            // Not a moment of this day: its beginning is the next one's.
            ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
        ] {
            assert_eq!(midnight(zone, date), expected, "{zone} {date}");
        }
    }

    #[test]
    fn a_bound_is_a_date_or_an_instant() {
        let zone: Zone = "Europe/Paris".parse().unwrap();
        let at = |text: &str| text.parse::<Bound>().map(|bound| instant::format(bound.at(zone)));
        assert_eq!(at("2026-11-21"), Ok("2026-11-20T23:00:00Z".to_owned()));
        assert_eq!(at("2026-11-21T01:00:00+01:00"), Ok("2026-11-21T00:00:00Z".to_owned()));
        for text in [
            "",
            "2026-11",
            "2026-1-1",
            "2026-02-30",
            "20261121",
            "2026-11-21T00:00:00",
            "today",
            "0000-01-01",
        ] {
            assert!(at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_untold_beginning_gives_thirty_days() {
        let zone: Zone = "Europe/Paris".parse().unwrap();
        let from = |to: &str| instant::format(Bound::default_from(instant::parse(to).unwrap(), zone));
        assert_eq!(from("2026-12-01T12:00:00Z"), "2026-11-01T23:00:00Z");
        // The end of November is not in December.
        assert_eq!(from("2026-11-30T23:00:00Z"), "2026-10-31T23:00:00Z");
    }

    #[test]
    fn what_is_no_zone_is_none() {
        for name in ["", "Paris", "europe/paris", "+01:00", "Mars/Olympus"] {
            assert_eq!(name.parse::<Zone>(), Err(InvalidZone), "{name}");
        }
    }
}
