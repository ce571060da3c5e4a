//! A report as lines of cells: CSV, and a table for people.

use crate::domain::spreadsheet::Cells;

use super::body::{AmountsBody, FiguresBody, ReportBody};

/// What stands behind the keys.
const FIGURES: [&str; 11] = [
    "clicks",
    "leads",
    "sales",
    "cancelled",
    "reversed",
    "refunds",
    "conversion_rate",
    "currency",
    "sold",
    "refunded",
    "net",
];

impl ReportBody {
    /// The columns' names: those that rows are told apart by, and then always the same.
    pub fn header(&self) -> Vec<&'static str> {
        self.group_by.iter().copied().chain(FIGURES).collect()
    }

    /// A line for each row and currency. What is counted stands in the first of a row's lines alone, so
    /// that every column can be added up; a row without a sale has one line without currency.
    pub fn lines(&self) -> impl Iterator<Item = Vec<String>> {
        self.rows.iter().flat_map(|row| {
            let keys: Vec<String> = self.group_by.iter().map(|name| row.key(name).to_owned()).collect();
            lines(&keys, &row.figures)
        })
    }

    /// The same of all rows together; this stands where the keys do.
    pub fn total_lines(&self, name: &str) -> Vec<Vec<String>> {
        let mut keys = vec![String::new(); self.group_by.len()];
        if let Some(first) = keys.first_mut() {
            name.clone_into(first);
        }
        lines(&keys, &self.totals)
    }

    /// As CSV (RFC 4180, lines end with a line feed). What rows are told apart by is text.
    ///
    /// # Errors
    /// None that could come about: it is written into memory.
    pub fn csv(&self, cells: Cells) -> Result<String, Box<dyn std::error::Error>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.header())?;
        let keys = self.group_by.len();
        for mut line in self.lines() {
            for key in line.iter_mut().take(keys) {
                *key = cells.text(key).into_owned();
            }
            writer.write_record(line)?;
        }
        Ok(String::from_utf8(writer.into_inner().map_err(|error| error.to_string())?)?)
    }
}

fn lines(keys: &[String], figures: &FiguresBody) -> Vec<Vec<String>> {
    let FiguresBody { clicks, leads, sales, cancelled, reversed, refunds, amounts, conversion_rate } =
        figures;
    let mut counts: Vec<String> = vec![clicks.map(|clicks| clicks.to_string()).unwrap_or_default()];
    counts.extend([leads, sales, cancelled, reversed, refunds].map(u64::to_string));
    counts.push(conversion_rate.clone().unwrap_or_default());
    let blank = vec![String::new(); counts.len()];
    let number = amounts.len().max(1);
    (0..number)
        .map(|index| {
            let counts = if index == 0 { &counts } else { &blank };
            let amounts = amounts.get(index).map(cells).unwrap_or_default();
            keys.iter().chain(counts).cloned().chain(amounts).collect()
        })
        .collect()
}

fn cells(amounts: &AmountsBody) -> [String; 4] {
    let AmountsBody { currency, sold, refunded, net } = amounts;
    [(*currency).to_owned(), sold.clone(), refunded.clone(), net.clone()]
}
