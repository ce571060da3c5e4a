//! Printing results.
#![expect(clippy::print_stderr, reason = "this is where the command line prints")]

use std::borrow::Cow;
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
        self.write(line)
    }

    /// Nothing that a terminal or an editor obeys instead of showing it gets through.
    fn write(self, line: &str) -> std::io::Result<()> {
        let line = if self.json { visible_json(line) } else { visible(line) };
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
        self.write(&line)
            .map_err(|error| format!("cannot write the result to standard output: {error}").into())
    }
}

/// Prints an error.
pub fn error(text: &str) {
    eprintln!("conversiond: {}", visible(text));
}

/// The cells of CSV: a person asks, and may open it in a spreadsheet.
pub const fn cells(exact: bool) -> Cells {
    if exact { Cells::Exact } else { Cells::Safe }
}

/// Prints a warning.
pub fn warning(text: &str) {
    eprintln!("conversiond: warning: {}", visible(text));
}

/// Text in which every character shows itself: controls, and those that turn the direction of what
/// follows, join, hide or tag it, are written as `\u{202e}`. Line feeds and tabs are layout and stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c, to| to.extend(c.escape_unicode()))
}

/// The same in a line of JSON, which still reads as what it did: `\u202e`.
fn visible_json(line: &str) -> Cow<'_, str> {
    escaped(line, |c, to| {
        let mut units = [0u16; 2];
        to.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { escape(c, &mut shown) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Unicode's controls (Cc), formats (Cf), separators of lines and paragraphs (Zl, Zp), and letters that
/// have no shape.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}'
        | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Lines up columns of a table. A cell is one line.
pub fn table(rows: &[Vec<String>]) -> String {
    let cell = |cell: &String| visible(cell).replace('\n', "\\n").replace('\t', "\\t");
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: [char; 30] = [
        '\0',
        '\r',
        '\u{1b}',
        '\u{7f}',
        '\u{80}',
        '\u{9b}',
        '\u{9f}',
        '\u{ad}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200c}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202b}',
        '\u{202c}',
        '\u{202d}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2067}',
        '\u{2068}',
        '\u{2069}',
        '\u{feff}',
        '\u{fff9}',
        '\u{e0001}',
        '\u{e0041}',
    ];

    #[test]
    fn what_would_not_show_itself_is_escaped_in_text_and_in_json() {
        for c in HIDDEN {
            let text = format!("a{c}b");
            assert_eq!(visible(&text), format!("a\\u{{{:x}}}b", u32::from(c)));
            let json = serde_json::to_string(&text).unwrap();
            let shown = visible_json(&json);
            assert!(!shown.contains(c), "{c:?}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text, "{c:?}");
        }
    }

    #[test]
    fn what_shows_itself_stays_and_so_does_the_layout() {
        for text in ["", "Café Ünï", "订单-1", "заказ", "طلب", "a\n\tb", "😀 1 €", "\u{a0}x"]
        {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn columns_are_lined_up_as_they_are_shown() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let shown = table(&[row(["a\u{202e}b", "x"]), row(["c\nd", "y"])]);
        assert_eq!(shown, "a\\u{202e}b  x\nc\\nd        y");
    }
}
