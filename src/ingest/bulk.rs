//! Many events in one request (contract 6.2): each row has a fate of its own, all are one transaction.

use super::entry::EntryMaker;
use super::{Call, Ingest, IngestError, Prepared};
use crate::domain::event::{
    self, Callback, Errors, FieldError, Fields, ParseContext, Rejection, object, order_hint_of,
};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::ids::ExternalId;
use crate::domain::json::{self, Elements};
use crate::domain::signature::IdempotencyKey;
use crate::domain::submission::{Claim, Content, Row, RowContent};

/// How the rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkFormat {
    /// `{"rows":[…]}`
    Json,
    /// One row per line.
    Ndjson,
}

/// A row, read as far as it could be.
struct ReadRow {
    client_row_id: Option<String>,
    key: Option<IdempotencyKey>,
    callback: Result<Callback, Rejection>,
    order: Option<ExternalId>,
}

impl Ingest {
    /// A bulk request of at most `rows_max` rows.
    pub fn prepare_bulk(
        &self,
        call: Call<'_>,
        format: BulkFormat,
        rows_max: usize,
    ) -> Result<Prepared, IngestError> {
        let texts = match format {
            BulkFormat::Json => rows_of_json(call.body, rows_max)?,
            BulkFormat::Ndjson => lines(call.body),
        };
        check_count(texts.len(), rows_max, format)?;
        let maker = EntryMaker::new(self, &call)?;
        let context = ParseContext { now: maker.now, default_currency: call.merchant.currency };
        let rows = texts.into_iter().enumerate().map(|(index, text)| {
            let ReadRow { client_row_id, key, callback, order } = read_row(text, &context);
            let content = match callback {
                Err(rejection) => RowContent::Rejected { rejection, order },
                Ok(callback) => {
                    let claim = key.clone().map(|key| Claim {
                        key,
                        fingerprint: Fingerprint::of_event(&callback),
                        id: format!("{}/{index}", call.attempt.id),
                    });
                    let body = String::from_utf8_lossy(text);
                    // A refund without an id of its own is told from others by the operation that brings
                    // it: the row's, else the whole request's.
                    let key = key.or_else(|| call.idempotency_key.clone());
                    RowContent::Entry { claim, entry: maker.event(callback, &body, key) }
                }
            };
            Row { client_row_id, content }
        });
        let rows = rows.collect();
        let (body, id) = (call.body, call.external_event_id);
        Ok(call.submit(Content::Bulk(rows), || Fingerprint::of_request("conversions/bulk", id, body)))
    }
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

fn read_row(text: &[u8], context: &ParseContext) -> ReadRow {
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
