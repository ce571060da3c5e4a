//! Instants on the commit path, as both databases keep them: UTC, at most microseconds.

use chrono::{DateTime, Datelike as _, NaiveDateTime, Timelike as _, Utc};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{IsNull, Output, Result, ToSql};
use diesel::sql_types::Timestamp;
use diesel::sqlite::Sqlite;

/// An instant on its way into a column. SQLite's text of it is diesel's, but written without
/// interpreting a format each time: four of them are in every event.
#[derive(Debug, Clone, Copy, AsExpression)]
#[diesel(sql_type = Timestamp)]
pub struct TimeColumn(NaiveDateTime);

impl TimeColumn {
    /// As a column has it.
    pub fn of(at: DateTime<Utc>) -> Self {
        Self(at.naive_utc())
    }

    /// `2026-11-22 10:00:00`, with a fraction of three, six or nine digits unless it is nought.
    fn text(self) -> String {
        let (date, time) = (self.0.date(), self.0.time());
        let nanos = time.nanosecond();
        let Ok(year @ 0..=9999) = u32::try_from(date.year()) else { return self.formatted() };
        if nanos >= 1_000_000_000 {
            // A leap second.
            return self.formatted();
        }
        let mut text = String::with_capacity(29);
        push(&mut text, year, 4);
        for (separator, part) in [
            ('-', date.month()),
            ('-', date.day()),
            (' ', time.hour()),
            (':', time.minute()),
            (':', time.second()),
        ] {
            text.push(separator);
            push(&mut text, part, 2);
        }
        let (fraction, digits) = match nanos {
            0 => return text,
            _ if nanos % 1_000_000 == 0 => (nanos / 1_000_000, 3),
            _ if nanos % 1_000 == 0 => (nanos / 1_000, 6),
            _ => (nanos, 9),
        };
        text.push('.');
        push(&mut text, fraction, digits);
        text
    }

    fn formatted(self) -> String {
        self.0.format("%F %T%.f").to_string()
    }
}

/// The last so many digits, with leading noughts.
fn push(text: &mut String, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        text.push(char::from_digit(number / 10u32.pow(place) % 10, 10).unwrap_or('0'));
    }
}

impl From<NaiveDateTime> for TimeColumn {
    fn from(at: NaiveDateTime) -> Self {
        Self(at)
    }
}

impl ToSql<Timestamp, Sqlite> for TimeColumn {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> Result {
        out.set_value(self.text());
        Ok(IsNull::No)
    }
}

impl ToSql<Timestamp, Pg> for TimeColumn {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> Result {
        ToSql::<Timestamp, Pg>::to_sql(&self.0, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_diesel_writes_it() {
        let texts = [
            "2026-11-22T10:00:00Z",
            "0000-01-01T00:00:00.1Z",
            "1969-12-31T23:59:59.000001Z",
            "2024-02-29T09:08:07.12345Z",
            "9999-12-31T23:59:59.999999999Z",
            "2016-12-31T23:59:60.5Z",
            "+10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
        ];
        for text in texts {
            let at: DateTime<Utc> = text.parse().expect("an instant");
            assert_eq!(TimeColumn::of(at).text(), at.naive_utc().format("%F %T%.f").to_string(), "{text}");
        }
    }
}
