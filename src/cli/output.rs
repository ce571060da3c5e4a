//! Printing results.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where the command line prints")]

use serde::Serialize;

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

    /// Prints a result.
    pub fn show(self, result: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            match serde_json::to_string(result) {
                Ok(line) => println!("{line}"),
                Err(failure) => error(&failure.to_string()),
            }
        } else {
            println!("{}", text());
        }
    }
}

/// Prints an error.
pub fn error(text: &str) {
    eprintln!("conversiond: {text}");
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
