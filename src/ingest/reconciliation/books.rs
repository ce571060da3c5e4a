//! Reading books in their three forms.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Period;
use super::records::{COLUMNS_MAX, RECORD_BYTES_MAX, Record, Records, TooLarge};
use crate::domain::event::{FieldError, Rejection};
use crate::domain::ids::ExternalId;
use crate::domain::instant;
use crate::domain::json::{self, Elements};
use crate::domain::reconciliation::{Books, ROWS_MAX, Row, UNREADABLE_MAX, UnreadableRow, error, read_row};

/// The columns that are read; others are the merchant's own affair.
const COLUMNS: [&str; 5] = ["order_id", "value", "net", "currency", "state"];

/// A file's mark of being UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Collects rows, and what keeps some of them from being rows.
struct Collector {
    books: Books,
    /// Where each order stands.
    lines: HashMap<String, u64>,
}

impl Collector {
    fn new((from, to): Period) -> Self {
        let books = Books {
            from,
            to,
            rows: Vec::new(),
            unreadable: Vec::new(),
            unreadable_count: 0,
            unreadable_orders: HashSet::new(),
        };
        Self { books, lines: HashMap::new() }
    }

    fn add(&mut self, line: u64, row: Result<Row, UnreadableRow>) -> Result<(), Rejection> {
        let unreadable = usize::try_from(self.books.unreadable_count).unwrap_or(usize::MAX);
        if self.books.rows.len().saturating_add(unreadable) >= ROWS_MAX {
            return Err(Rejection::Invalid(vec![too_many()]));
        }
        let row = row.and_then(|row| match self.lines.insert(row.order.as_str().to_owned(), line) {
            None => Ok(row),
            Some(before) => {
                let message = format!("stands in row {before} already");
                let errors = vec![error("/order_id", "repeated", message)];
                Err(UnreadableRow { line, order: Some(row.order), errors })
            }
        });
        match row {
            Ok(row) => self.books.rows.push(row),
            Err(unreadable) => {
                self.books.unreadable_count += 1;
                if let Some(order) = &unreadable.order {
                    self.books.unreadable_orders.insert(order.as_str().to_owned());
                }
                if self.books.unreadable.len() < UNREADABLE_MAX {
                    self.books.unreadable.push(unreadable);
                }
            }
        }
        Ok(())
    }
}

fn too_many() -> FieldError {
    error("/rows", "too_many", format!("may hold {ROWS_MAX} rows: send the period in parts"))
}

/// Books as one JSON object, which tells the period.
pub fn read_json(body: &[u8]) -> Result<Books, Rejection> {
    let rows = json::elements_of(body, "rows", ROWS_MAX).map_err(Rejection::MalformedJson)?;
    let mut errors = Vec::new();
    let mut at = |name: &str| {
        let text = json::text_in(body, name);
        let read = text.ok_or_else(|| "is required: an instant such as 2026-11-01T00:00:00Z".to_owned());
        let read = read.and_then(|text| instant::parse(&text).map_err(|error| error.to_string()));
        read.map_err(|message| errors.push(error(&format!("/{name}"), "invalid_instant", message))).ok()
    };
    let (from, to) = (at("from"), at("to"));
    let rows = match rows {
        Elements::Found(rows) => rows,
        Elements::NoObject => {
            let message = "must be an object with from, to and rows";
            return Err(Rejection::Invalid(vec![error("", "wrong_type", message)]));
        }
        Elements::TooMany(_) => {
            errors.push(too_many());
            Vec::new()
        }
        Elements::Absent => {
            errors.push(error("/rows", "required", "is required"));
            Vec::new()
        }
        Elements::NoArray => {
            errors.push(error("/rows", "wrong_type", "must be an array"));
            Vec::new()
        }
    };
    let period = period(from, to, errors)?;
    let mut collector = Collector::new(period);
    for (line, text) in (1..).zip(rows) {
        collector.add(line, read_row(line, text.as_bytes()))?;
    }
    Ok(collector.books)
}

/// Books as a row per line, each a JSON object.
pub fn read_ndjson(body: &[u8], period: Period) -> Result<Books, Rejection> {
    let mut collector = Collector::new(period);
    for (line, text) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        let text = text.trim_ascii();
        if !text.is_empty() {
            collector.add(line, read_row(line, text))?;
        }
    }
    Ok(collector.books)
}

/// Books as CSV (RFC 4180): the first line names the columns. A record that is too large is taken for a quote
/// that nobody closed, or for another file: then nothing behind it can be believed.
pub fn read_csv(body: &[u8], period: Period) -> Result<Books, Rejection> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut records = Records::of(body);
    let columns = columns_of(records.next().map_err(too_large)?.as_ref())?;
    let mut collector = Collector::new(period);
    while let Some(record) = records.next().map_err(too_large)? {
        collector.add(record.line, csv_row(&columns, &record))?;
    }
    Ok(collector.books)
}

fn too_large(found: TooLarge) -> Rejection {
    let TooLarge { line, columns, bytes } = found;
    let message = format!(
        "the record on line {line} has {columns} columns and {bytes} bytes; it may have {COLUMNS_MAX} and \
         {RECORD_BYTES_MAX}: is a quote missing?"
    );
    Rejection::Invalid(vec![error("", "too_long", message)])
}

/// The columns that are read, and where each stands.
type Columns = Vec<(usize, &'static str)>;

fn columns_of(header: Option<&Record<'_>>) -> Result<Columns, Rejection> {
    let mut columns = Columns::new();
    let mut repeated: Vec<&str> = Vec::new();
    for (place, name) in header.iter().flat_map(|header| header.cells()).enumerate() {
        let Some(column) = COLUMNS.into_iter().find(|column| column.as_bytes() == name.trim_ascii()) else {
            continue;
        };
        if !columns.iter().any(|(_, known)| *known == column) {
            columns.push((place, column));
        } else if !repeated.contains(&column) {
            repeated.push(column);
        }
    }
    let message = "is named twice in the first line";
    let mut errors: Vec<FieldError> =
        repeated.into_iter().map(|column| error(&format!("/{column}"), "repeated", message)).collect();
    if !columns.iter().any(|(_, column)| *column == "order_id") {
        let message = format!("the first line must name the columns, of {}", COLUMNS.join(", "));
        errors.push(error("/order_id", "required", message));
    }
    if errors.is_empty() { Ok(columns) } else { Err(Rejection::Invalid(errors)) }
}

/// An empty cell says nothing.
fn csv_row(columns: &[(usize, &str)], record: &Record<'_>) -> Result<Row, UnreadableRow> {
    let line = record.line;
    let mut members = Map::new();
    let mut errors = Vec::new();
    for (place, column) in columns {
        let Some(cell) = record.cell(*place).filter(|cell| !cell.is_empty()) else { continue };
        match std::str::from_utf8(cell) {
            Ok(text) => drop(members.insert((*column).to_owned(), Value::from(text))),
            Err(_) => errors.push(error(&format!("/{column}"), "invalid_text", "is not UTF-8")),
        }
    }
    if !errors.is_empty() {
        let order = members.get("order_id").and_then(Value::as_str);
        let order = order.and_then(|order| ExternalId::parse(order).ok());
        return Err(UnreadableRow { line, order, errors });
    }
    read_row(line, Value::from(members).to_string().as_bytes())
}

fn period(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    mut errors: Vec<FieldError>,
) -> Result<Period, Rejection> {
    match from.zip(to) {
        Some(period) if errors.is_empty() && period.0 < period.1 => return Ok(period),
        Some((from, to)) if from >= to => {
            errors.push(error("/to", "empty_range", "must lie after its beginning"));
        }
        _ => {}
    }
    Err(Rejection::Invalid(errors))
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
