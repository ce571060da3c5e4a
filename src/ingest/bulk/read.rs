//! Reading a bulk request's rows. It knows the trade alone.

use crate::domain::event::{
    self, Callback, Errors, FieldError, Fields, ParseContext, Rejection, object, order_hint_of,
};
use crate::domain::ids::ExternalId;
use crate::domain::json::{self, Elements};
use crate::domain::signature::IdempotencyKey;

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkFormat {
    /// `{"rows":[…]}`
    Json,
    /// One row per line.
    Ndjson,
}

impl BulkFormat {
    /// The media type of a body in this format.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// A row, read as far as it could be.
pub struct ReadRow {
    /// What the caller calls it.
    pub client_row_id: Option<String>,
    /// Its idempotency key.
    pub key: Option<IdempotencyKey>,
    /// What it says, or all that is wrong with it.
    pub callback: Result<Callback, Rejection>,
    /// The order that it is about, where one can be read.
    pub order: Option<ExternalId>,
}

/// At least as many as a bulk request has rows that are objects, without reading it.
pub fn rows_at_most(body: &[u8]) -> usize {
    body.iter().map(|byte| usize::from(*byte == b'{')).sum()
}

/// The texts of a bulk request's rows, of which there are 1 to `max`.
///
/// # Errors
/// The request as a whole cannot be read. What is wrong inside a row is its own affair.
pub fn rows_of(body: &[u8], format: BulkFormat, max: usize) -> Result<Vec<&[u8]>, Rejection> {
    let texts = match format {
        BulkFormat::Json => rows_of_json(body, max)?,
        BulkFormat::Ndjson => lines(body),
    };
    check_count(texts.len(), max, format)?;
    Ok(texts)
}

fn rows_of_json(body: &[u8], max: usize) -> Result<Vec<&[u8]>, Rejection> {
    let invalid = |pointer: &str, code, message: &str| {
        Err(Rejection::Invalid(vec![FieldError {
            pointer: pointer.to_owned(),
            code,
            message: message.to_owned(),
        }]))
    };
    match json::elements_of(body, "rows", max).map_err(Rejection::MalformedJson)? {
        Elements::Found(rows) => Ok(rows.into_iter().map(str::as_bytes).collect()),
        Elements::TooMany(count) => invalid("/rows", "too_many", &too_many(count, max)),
        Elements::Absent => invalid("/rows", "required", "is required"),
        Elements::NoArray => invalid("/rows", "wrong_type", "must be an array"),
        Elements::NoObject => invalid("", "wrong_type", "must be an object with rows"),
    }
}

/// The lines that hold anything.
fn lines(body: &[u8]) -> Vec<&[u8]> {
    body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect()
}

fn check_count(count: usize, max: usize, format: BulkFormat) -> Result<(), Rejection> {
    let pointer = match format {
        BulkFormat::Json => "/rows",
        BulkFormat::Ndjson => "",
    };
    let (code, message) = match count {
        0 => ("too_few", "must hold at least one row".to_owned()),
        count if count > max => ("too_many", too_many(count, max)),
        _ => return Ok(()),
    };
    Err(Rejection::Invalid(vec![FieldError { pointer: pointer.to_owned(), code, message }]))
}

fn too_many(count: usize, max: usize) -> String {
    format!("may hold {max} rows, not {count}")
}

/// Reads a row, as far as it can be.
pub fn read_row(text: &[u8], context: &ParseContext) -> ReadRow {
    // Its name is told even of a row that cannot be read otherwise.
    let unread = |rejection| ReadRow {
        client_row_id: json::text_in(text, "client_row_id")
            .and_then(|name| ExternalId::parse(&name).ok())
            .map(|name| name.as_str().to_owned()),
        key: None,
        callback: Err(rejection),
        order: None,
    };
    let json = match json::parse(text) {
        Ok(json) => json,
        Err(error) => return unread(Rejection::MalformedJson(error)),
    };
    let object = match object(&json) {
        Ok(object) => object,
        Err(rejection) => return unread(rejection),
    };
    let errors = Errors::default();
    let fields = Fields::new(Some(object), "", &errors);
    let client_row_id = fields.id("client_row_id").map(|id| id.as_str().to_owned());
    let key = fields.text("idempotency_key").and_then(|text| {
        let key = IdempotencyKey::parse(text);
        if let Err(error) = key {
            fields.error("idempotency_key", "invalid_key", format!("is malformed: {error}"));
        }
        key.ok()
    });
    let own = errors.into_inner();
    let callback = match event::read(object, context) {
        callback if own.is_empty() => callback,
        Ok(_) => Err(Rejection::Invalid(own)),
        Err(Rejection::Invalid(others)) => Err(Rejection::Invalid(own.into_iter().chain(others).collect())),
        Err(other) => Err(other),
    };
    ReadRow { client_row_id, key, callback, order: order_hint_of(object) }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn blank_lines_are_no_rows() {
        assert_eq!(lines(b"{}\r\n\n  \n{\"a\":1}\n"), [b"{}".as_slice(), b"{\"a\":1}"]);
        assert!(lines(b"\n\n").is_empty());
    }

    #[test]
    fn a_row_that_cannot_be_read_keeps_its_name() {
        let context = ParseContext { now: DateTime::UNIX_EPOCH, default_currency: None };
        let name = |row: &str| read_row(row.as_bytes(), &context).client_row_id;
        assert_eq!(name(r#"{"client_row_id":"r1","a":1,"a":2}"#).as_deref(), Some("r1"));
        for nameless in [r#"{"a":1,"a":2}"#, r#"{"client_row_id":7,"a":1,"a":2}"#, "oops", "[]"] {
            assert_eq!(name(nameless), None, "{nameless}");
        }
    }

    #[test]
    fn a_row_tells_all_its_errors_and_keeps_its_name() {
        let context = ParseContext { now: DateTime::UNIX_EPOCH, default_currency: None };
        let row = br#"{"client_row_id":"r1","idempotency_key":"a b","event_name":"sale","custom_data":{"order_id":"O"}}"#;
        let ReadRow { client_row_id, callback, order, .. } = read_row(row, &context);
        assert_eq!(client_row_id.as_deref(), Some("r1"));
        assert_eq!(order.unwrap().as_str(), "O");
        let Err(Rejection::Invalid(errors)) = callback else { panic!() };
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/idempotency_key", "/custom_data/value", "/custom_data/currency"]);
    }
}
