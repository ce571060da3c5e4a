use chrono::DateTime;

use super::check_errors;
use crate::bulk::{BulkFormat, ReadRow, read_row, rows_of};
use crate::domain::event::{Callback, ParseContext, Rejection, order_hint, parse, token_hint};
use crate::domain::fingerprint::Fingerprint;

const ROWS_MAX: usize = 1_000;

fn context(with_currency: bool) -> ParseContext {
    let now = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
    ParseContext { now, default_currency: with_currency.then(|| "USD".parse().unwrap()) }
}

fn check(text: &[u8], read: &Result<Callback, Rejection>, context: &ParseContext) {
    match read {
        Err(Rejection::Invalid(errors)) => check_errors(errors),
        Err(Rejection::MalformedJson(error)) => assert!(!error.to_string().is_empty()),
        Ok(callback) => {
            // What is taken is JSON for everybody.
            let json: Option<serde_json::Value> = serde_json::from_slice(text).ok();
            // But for numbers that no float holds.
            let has_large_number = text.iter().filter(|byte| byte.is_ascii_digit()).count() > 15;
            assert!(json.is_some() || has_large_number || text.contains(&b'e') || text.contains(&b'E'));
            // Written otherwise it is the same.
            let spaced = [b" \n".as_slice(), text, b"\t\r\n"].concat();
            let again = parse(&spaced, context).expect("white space is nothing");
            assert_eq!(*callback, again);
            assert_eq!(Fingerprint::of_event(callback), Fingerprint::of_event(&again));
            // The journal and the explanations read it as it was recorded.
            assert!(order_hint(text).is_some(), "an order that the journal does not see");
            assert_eq!(token_hint(std::str::from_utf8(text).unwrap()), callback.token);
            let order = callback.event.order().as_str();
            assert!(!order.is_empty() && order.chars().count() <= 160 && !order.contains('\0'));
            if let Some(value) = callback.event.value() {
                assert!((0..=1_000_000_000_000_000).contains(&value.minor()), "{value:?}");
            }
        }
    }
}

/// A callback of either dialect: taken as one thing, or refused with every reason.
pub fn callback(data: &[u8]) {
    for context in [context(true), context(false)] {
        check(data, &parse(data, &context), &context);
    }
}

/// A bulk request: its rows are those that everybody sees in it, and each means what it means alone.
pub fn bulk(data: &[u8]) {
    let Some((format, body)) = data.split_first() else { return };
    let format = if format % 2 == 0 { BulkFormat::Json } else { BulkFormat::Ndjson };
    let rows = match rows_of(body, format, ROWS_MAX) {
        Ok(rows) => rows,
        Err(Rejection::Invalid(errors)) => return check_errors(&errors),
        Err(Rejection::MalformedJson(_)) => return,
    };
    assert!((1..=ROWS_MAX).contains(&rows.len()));
    if let (BulkFormat::Json, Ok(json)) = (format, serde_json::from_slice::<serde_json::Value>(body)) {
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(rows.len()));
    }
    let context = context(true);
    for text in rows {
        let ReadRow { client_row_id, key, callback, .. } = read_row(text, &context);
        match &callback {
            Ok(_) => check(text, &callback, &context),
            Err(Rejection::Invalid(errors)) => check_errors(errors),
            Err(Rejection::MalformedJson(_)) => assert!(key.is_none()),
        }
        let alone = parse(text, &context);
        if let Ok(callback) = callback {
            assert_eq!(Ok(callback), alone, "a row's own fields change what it says");
        } else if client_row_id.is_none()
            && key.is_none()
            && !text.windows(3).any(|at| at == b"row" || at == b"key")
        {
            // Escapes may spell the two names, too.
            assert!(alone.is_err() || text.contains(&b'\\'), "a row is refused that is taken alone");
        }
    }
}
