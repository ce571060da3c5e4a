//! Instants as callers write and read them: RFC 3339 with an offset (contract section 2).

use chrono::{DateTime, Datelike, SecondsFormat, Utc};

use super::time::cut_to_micros;

/// Why a text is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstant {
    /// Not RFC 3339, or without an offset.
    #[error("must be RFC 3339 with an offset, like 2026-11-21T20:00:00Z")]
    Format,
    /// `:60` names a second that most systems never see.
    #[error("a 60th second is not taken: send the second before or after it")]
    LeapSecond,
    /// Before the year 1 or after 9999, in UTC.
    #[error("must lie in the years 1 to 9999")]
    Range,
}

/// Reads an instant, cut (not rounded) to microseconds.
pub fn parse(text: &str) -> Result<DateTime<Utc>, InvalidInstant> {
    let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| InvalidInstant::Format)?;
    if parsed.timestamp_subsec_nanos() >= 1_000_000_000 {
        return Err(InvalidInstant::LeapSecond);
    }
    let utc = parsed.with_timezone(&Utc);
    if !(1..=9999).contains(&utc.year()) {
        return Err(InvalidInstant::Range);
    }
    Ok(cut_to_micros(utc))
}

/// Writes an instant in UTC, with as many decimals as it has (none, 3 or 6).
pub fn format(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Guesses what a number given for an instant was meant to be, for the error's hint.
pub fn unit_hint(number: &str) -> &'static str {
    let digits = number.trim_start_matches('-').split(['.', 'e', 'E']).next().unwrap_or("").len();
    match digits {
        0..=11 => "this looks like Unix seconds; send RFC 3339 text like \"2026-11-21T20:00:00Z\"",
        12..=14 => "this looks like Unix milliseconds; send RFC 3339 text like \"2026-11-21T20:00:00Z\"",
        _ => "this looks like Unix micro- or nanoseconds; send RFC 3339 text like \"2026-11-21T20:00:00Z\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_cut_to_microseconds_and_moved_to_utc() {
        let at = parse("2026-11-21T21:00:00.1234569+01:00").unwrap();
        assert_eq!(format(at), "2026-11-21T20:00:00.123456Z");
        assert_eq!(format(parse("2026-11-21T20:00:00Z").unwrap()), "2026-11-21T20:00:00Z");
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        assert_eq!(parse("2026-11-21T20:00:00"), Err(InvalidInstant::Format));
        assert_eq!(parse("2026-11-21"), Err(InvalidInstant::Format));
        assert_eq!(parse("1764109104"), Err(InvalidInstant::Format));
        assert_eq!(parse("2016-12-31T23:59:60Z"), Err(InvalidInstant::LeapSecond));
        assert_eq!(parse("0001-01-01T00:00:00+10:00"), Err(InvalidInstant::Range));
    }
}
