//! Query parameters: known ones, once each, every error at once.

use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use url::form_urlencoded;

use crate::domain::event::FieldError;
use crate::domain::ids::{ExternalId, InvalidId};
use crate::domain::instant;
use crate::domain::spreadsheet::Cells;
use crate::http::error::Problem;

/// The parameters of a request, taken out one by one; what is left at the end is unknown.
///
/// In errors a parameter's pointer is `/` and its name.
pub struct Query {
    values: BTreeMap<String, String>,
    errors: Vec<FieldError>,
}

impl Query {
    /// Reads a query string.
    pub fn parse(text: &str) -> Self {
        let mut query = Self { values: BTreeMap::new(), errors: Vec::new() };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if query.values.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                query.error(&name, "repeated", "stands more than once");
            }
        }
        query
    }

    /// A parameter, read by `read`, whose error says what it must be.
    pub fn take<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.values.remove(name)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.error(name, "invalid", &message);
                None
            }
        }
    }

    /// An instant.
    pub fn instant(&mut self, name: &str) -> Option<DateTime<Utc>> {
        self.take(name, |text| instant::parse(text).map_err(|error| error.to_string()))
    }

    /// An instant that must be there.
    pub fn required_instant(&mut self, name: &str) -> Option<DateTime<Utc>> {
        if !self.values.contains_key(name) {
            self.error(name, "required", "is required: an instant such as 2026-11-01T00:00:00Z");
        }
        self.instant(name)
    }

    /// Whether text in cells must be no formula.
    pub fn cells(&mut self, name: &str) -> Cells {
        let read = |text: &str| match text {
            "true" => Ok(Cells::Safe),
            "false" => Ok(Cells::Exact),
            _ => Err("must be true or false".to_owned()),
        };
        self.take(name, read).unwrap_or_default()
    }

    /// An id that the merchant made.
    pub fn merchants_id(&mut self, name: &str) -> Option<String> {
        self.take(name, |text| match ExternalId::parse(text) {
            Ok(id) => Ok(id.as_str().to_owned()),
            Err(InvalidId(wanted)) => Err(format!("must be {wanted}")),
        })
    }

    /// Notes that `to` does not lie after `from`.
    pub fn check_range(&mut self, to: &str, range: (Option<DateTime<Utc>>, Option<DateTime<Utc>>)) {
        if let (Some(from), Some(until)) = range
            && from >= until
        {
            self.error(to, "empty_range", "must lie after its beginning");
        }
    }

    /// Whether anything is wrong so far with what was taken.
    pub const fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// All errors, unknown parameters included.
    pub fn finish(mut self) -> Result<(), Problem> {
        for name in std::mem::take(&mut self.values).into_keys() {
            self.error(&name, "unknown_parameter", "is no parameter of this endpoint");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }

    /// Notes that something is wrong with a parameter.
    pub fn error(&mut self, name: &str, code: &'static str, message: &str) {
        // RFC 6901: ~ and / are escaped.
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        self.errors.push(FieldError { pointer, code, message: message.to_owned() });
    }
}
