//! The timestamps that a sender may have signed.

use std::borrow::Cow;

use super::axis::Axis;
use super::finding::Finding;
use crate::domain::instant;

/// How many seconds either way are tried: a sender that asks its clock twice is off by one or two.
const SECONDS_TRIED: i64 = 5;

/// What a timestamp seems to be counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    /// Seconds with a fraction.
    Fraction,
    /// RFC 3339.
    Text,
}

/// Unix seconds of a timestamp in whatever unit it is written.
pub fn seconds_of(text: &str) -> Option<(i64, Unit)> {
    if let Ok(at) = instant::parse(text) {
        return Some((at.timestamp(), Unit::Text));
    }
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    if whole.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let (divisor, unit) = match whole.len() {
        9..=11 if fraction.is_some() => (1, Unit::Fraction),
        9..=11 => (1, Unit::Seconds),
        12..=14 => (1_000, Unit::Milliseconds),
        15..=17 => (1_000_000, Unit::Microseconds),
        18..=19 => (1_000_000_000, Unit::Nanoseconds),
        _ => return None,
    };
    whole.parse::<i64>().ok().map(|count| (count / divisor, unit))
}

/// The timestamps of the request, the one that counts first, and what may have been signed instead.
pub fn axis<'a>(sent: &[&'a str]) -> Axis<'a> {
    let first = sent.first().copied().unwrap_or_default();
    let mut axis = Axis::new(Cow::Borrowed(first.as_bytes()));
    for other in sent.iter().skip(1) {
        axis.or(other.as_bytes(), vec![another(other, "which another header of this request carries")]);
    }
    match seconds_of(first) {
        Some((seconds, Unit::Seconds)) => {
            for by in (1..=SECONDS_TRIED).flat_map(|by| [-by, by]) {
                let signed = seconds.saturating_add(by).to_string();
                let side = if by < 0 { "before" } else { "after" };
                let finding = another(&signed, &format!("{} s {side} the one in the header", by.abs()));
                axis.or(signed.into_bytes(), vec![finding]);
            }
        }
        Some((seconds, _)) => {
            // Rounded down, or to the nearest.
            for signed in [seconds, seconds.saturating_add(1)] {
                let signed = signed.to_string();
                let finding = Finding::new(
                    "seconds_signed",
                    format!(
                        "The MAC was computed with the seconds {signed}, but the header carries {first}."
                    ),
                );
                axis.or(signed.into_bytes(), vec![finding]);
            }
        }
        None => {}
    }
    if !first.is_empty() {
        let finding = Finding::new(
            "timestamp_left_out",
            "The timestamp was empty when the MAC was computed: the variable that holds it is set later, or \
             named otherwise.",
        );
        axis.or(&[][..], vec![finding]);
    }
    axis
}

fn another(signed: &str, which: &str) -> Finding {
    Finding::new(
        "other_timestamp",
        format!(
            "The MAC was computed with the timestamp {signed}, {which}. Ask the clock once, and use the same \
             text for the header and for the MAC."
        ),
    )
}

/// Every millisecond that is cut or rounded to these seconds.
pub fn milliseconds_of(seconds: i64) -> impl Iterator<Item = String> {
    let begin = seconds.saturating_mul(1_000);
    (0..1_000).chain(-500..0).map(move |by| begin.saturating_add(by).to_string())
}

/// The MAC was computed with milliseconds.
pub fn milliseconds_signed(signed: &str, sent: &str) -> Finding {
    Finding::new(
        "milliseconds_signed",
        format!(
            "The MAC was computed with the milliseconds {signed}, but the header carries the seconds {sent}. \
             Compute it with the very text of the header."
        ),
    )
}

/// What is wrong with a timestamp that the service cannot read.
pub fn malformed(name: &str, text: &str) -> Finding {
    let seconds = seconds_of(text);
    let unit = match seconds {
        Some((_, Unit::Milliseconds)) => "milliseconds",
        Some((_, Unit::Microseconds)) => "microseconds",
        Some((_, Unit::Nanoseconds)) => "nanoseconds",
        Some((_, Unit::Fraction)) => "seconds with a fraction",
        Some((_, Unit::Text)) => "a date",
        Some((_, Unit::Seconds)) | None => {
            let says = format!("{name} must be Unix seconds, such as 1764109104, and it is not.");
            return Finding::new("timestamp_malformed", says);
        }
    };
    let code = if unit == "milliseconds" { "timestamp_in_milliseconds" } else { "timestamp_malformed" };
    let whole = seconds.map(|(seconds, _)| seconds).unwrap_or_default();
    Finding::new(
        code,
        format!(
            "{name} carries {unit}: {text}. It must be whole Unix seconds, {whole}, in the header and in \
             the MAC."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_their_length() {
        for (text, expected) in [
            ("1764109104", Some((1_764_109_104, Unit::Seconds))),
            ("1764109104123", Some((1_764_109_104, Unit::Milliseconds))),
            ("1764109104123456", Some((1_764_109_104, Unit::Microseconds))),
            ("1764109104123456789", Some((1_764_109_104, Unit::Nanoseconds))),
            ("1764109104.123", Some((1_764_109_104, Unit::Fraction))),
            ("2025-11-25T22:18:24Z", Some((1_764_109_104, Unit::Text))),
            ("", None),
            (".", None),
            ("soon", None),
            ("-1764109104", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds_of(text), expected, "{text}");
        }
    }

    #[test]
    fn milliseconds_are_those_that_are_cut_or_rounded_to_the_second() {
        let all: Vec<String> = milliseconds_of(1_764_109_104).collect();
        assert_eq!(all.len(), 1_500);
        assert!(all.contains(&"1764109103500".to_owned()) && all.contains(&"1764109104999".to_owned()));
    }
}
