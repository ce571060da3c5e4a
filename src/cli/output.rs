//! Printing results.
#![expect(clippy::print_stderr, reason = "this is where the command line prints")]

use std::io::Write as _;

use serde::Serialize;

use super::Failure;
use crate::domain::spreadsheet::Cells;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON, or text for people.
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are JSON.
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a line of a result that has no end, in either form.
    ///
    /// # Errors
    /// When nobody takes it: a full disk, a closed pipe.
    pub fn line(self, line: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    /// Prints a result.
    ///
    /// # Errors
    /// When nobody takes it: a full disk, a closed pipe.
    pub fn show(self, result: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let line = if self.json { serde_json::to_string(result)? } else { text() };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(|error| format!("cannot write the result to standard output: {error}").into())
    }
}

/// Prints an error.
pub fn error(text: &str) {
    eprintln!("conversiond: {text}");
}

/// The cells of CSV: a person asks, and may open it in a spreadsheet.
pub const fn cells(exact: bool) -> Cells {
    if exact { Cells::Exact } else { Cells::Safe }
}

/// Lines up columns of a table.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
