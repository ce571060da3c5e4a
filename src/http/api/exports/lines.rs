//! Events as lines of text.

use std::io::Write as _;
use std::str::FromStr;

use super::export::unreadable;
use crate::domain::merchant::Mode;
use crate::domain::spreadsheet::Cells;
use crate::http::api::answer::{COLUMNS, EventBody, NUMBERS};
use crate::storage::StoreError;
use crate::storage::exports::ExportedEvent;

/// How an export is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// An object a line, as lists have them; the last line is `{"next_cursor":"…","complete":…}`.
    #[default]
    Ndjson,
    /// A table with a line of names above it; the last line is `#next_cursor,…,…`.
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Ndjson, Self::Csv];

    /// Its name in queries and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// The body's media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// What the file is called.
    pub const fn disposition(self) -> &'static str {
        match self {
            Self::Ndjson => "attachment; filename=\"events.ndjson\"",
            Self::Csv => "attachment; filename=\"events.csv\"",
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.as_str() == name);
        found.ok_or_else(|| "must be ndjson or csv".to_owned())
    }
}

/// Lines of an export.
pub struct Lines {
    format: Format,
    cells: Cells,
    mode: Mode,
    bytes: Vec<u8>,
}

impl Lines {
    /// No lines yet.
    pub const fn new(format: Format, cells: Cells, mode: Mode) -> Self {
        Self { format, cells, mode, bytes: Vec::new() }
    }

    /// What stands above the events.
    pub fn begin(&mut self) {
        if self.format == Format::Csv {
            self.bytes.extend_from_slice(COLUMNS.join(",").as_bytes());
            self.bytes.push(b'\n');
        }
    }

    /// An event.
    pub fn event(&mut self, event: &ExportedEvent) -> Result<(), StoreError> {
        let body = EventBody::of_columns(event, self.mode).ok_or_else(|| unreadable(&event.event_id))?;
        let start = self.bytes.len();
        let written = match self.format {
            Format::Ndjson => {
                serde_json::to_writer(&mut self.bytes, &body).map_err(|error| error.to_string())
            }
            Format::Csv => self.record(&body).map_err(|error| error.to_string()),
        };
        written.map_err(StoreError::Refused)?;
        if self.format == Format::Ndjson {
            // Line breaks stand in a merchant's own object alone, between its members.
            for byte in self.bytes.iter_mut().skip(start).filter(|byte| matches!(byte, b'\n' | b'\r')) {
                *byte = b' ';
            }
            self.bytes.push(b'\n');
        }
        Ok(())
    }

    fn record(&mut self, body: &EventBody<'_>) -> Result<(), csv::Error> {
        let mut writer = csv::Writer::from_writer(&mut self.bytes);
        for (name, field) in COLUMNS.into_iter().zip(&body.fields()) {
            if NUMBERS.contains(&name) {
                writer.write_field(field.as_bytes())?;
            } else {
                writer.write_field(self.cells.text(field).as_bytes())?;
            }
        }
        writer.write_record(None::<&[u8]>)?;
        Ok(writer.flush()?)
    }

    /// The last line, which no event's can be: where the next export goes on, and whether nothing can come
    /// any more of what was asked for.
    pub fn end(&mut self, cursor: &str, is_complete: bool) {
        let word = if is_complete { "complete" } else { "incomplete" };
        // A cursor is base64: it needs no quotes in either. Writing into memory does not fail.
        let _ = match self.format {
            Format::Ndjson => {
                writeln!(self.bytes, r#"{{"next_cursor":"{cursor}","complete":{is_complete}}}"#)
            }
            Format::Csv => writeln!(self.bytes, "#next_cursor,{cursor},{word}"),
        };
    }

    /// The lines.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
