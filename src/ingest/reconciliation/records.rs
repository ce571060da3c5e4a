//! CSV (RFC 4180) record by record, in memory whose size does not depend on the file.

use csv_core::{ReadRecordResult, Reader};

/// How many cells a record may have.
pub const COLUMNS_MAX: usize = 64;

/// How many bytes its cells may have together.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Reads records.
pub struct Records<'a> {
    reader: Reader,
    rest: &'a [u8],
    /// The line on which the rest begins.
    line: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// A record that was read.
pub struct Record<'r> {
    /// The line on which it begins.
    pub line: u64,
    bytes: &'r [u8],
    ends: &'r [usize],
}

/// A record that is larger than one may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge {
    /// The line on which it begins.
    pub line: u64,
    /// How many cells it has.
    pub columns: usize,
    /// How many bytes they have together.
    pub bytes: usize,
}

impl<'a> Records<'a> {
    /// Of this text.
    pub fn of(text: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(),
            rest: text,
            line: 1,
            // Room for one more: the reader says that it is full before it knows whether another one comes.
            bytes: vec![0; RECORD_BYTES_MAX + 1],
            ends: vec![0; COLUMNS_MAX + 1],
        }
    }

    /// The next one that is not an empty line; `None` = there is none.
    ///
    /// # Errors
    /// When it is too large; it has been passed then.
    pub fn next(&mut self) -> Result<Option<Record<'_>>, TooLarge> {
        let blank = self.rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        self.pass(blank);
        let line = self.line;
        let (mut columns, mut length) = (0, 0);
        let mut fits = true;
        loop {
            let (bytes_from, ends_from) = if fits { (length, columns) } else { (0, 0) };
            let bytes = self.bytes.get_mut(bytes_from..).unwrap_or_default();
            let ends = self.ends.get_mut(ends_from..).unwrap_or_default();
            let (result, read, written, ended) = self.reader.read_record(self.rest, bytes, ends);
            self.pass(read);
            length += written;
            columns += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => fits = false,
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record if fits && columns <= COLUMNS_MAX && length <= RECORD_BYTES_MAX => {
                    let bytes = self.bytes.get(..length).unwrap_or_default();
                    let ends = self.ends.get(..columns).unwrap_or_default();
                    return Ok(Some(Record { line, bytes, ends }));
                }
                ReadRecordResult::Record => return Err(TooLarge { line, columns, bytes: length }),
            }
        }
    }

    fn pass(&mut self, count: usize) {
        let (passed, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        let lines = passed.iter().filter(|byte| **byte == b'\n').count();
        self.line = self.line.saturating_add(u64::try_from(lines).unwrap_or(u64::MAX));
        self.rest = rest;
    }
}

impl<'r> Record<'r> {
    /// Its cells.
    pub fn cells(&self) -> impl Iterator<Item = &'r [u8]> + use<'r> {
        let (bytes, ends) = (self.bytes, self.ends);
        (0..ends.len()).map(move |place| {
            let from = place.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
            let to = ends.get(place).copied().unwrap_or(from);
            bytes.get(from..to).unwrap_or_default()
        })
    }

    /// The cell at a place, if it has so many.
    pub fn cell(&self, place: usize) -> Option<&'r [u8]> {
        self.cells().nth(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<(u64, Vec<Vec<u8>>), TooLarge>;

    fn read(text: &str) -> Vec<Read> {
        let mut records = Records::of(text.as_bytes());
        let mut found = Vec::new();
        loop {
            match records.next() {
                Ok(Some(record)) => {
                    found.push(Ok((record.line, record.cells().map(<[u8]>::to_vec).collect())))
                }
                Ok(None) => return found,
                Err(error) => found.push(Err(error)),
            }
        }
    }

    fn cells(cells: &[&str]) -> Vec<Vec<u8>> {
        cells.iter().map(|cell| cell.as_bytes().to_vec()).collect()
    }

    #[test]
    fn records_begin_on_the_files_lines_whatever_ends_them() {
        let text = "a,b\n\"x\ny\",2\n\n\n\"q\"\"\",\nlast";
        let expected = [
            Ok((1, cells(&["a", "b"]))),
            Ok((2, cells(&["x\ny", "2"]))),
            Ok((6, cells(&["q\"", ""]))),
            Ok((7, cells(&["last"]))),
        ];
        assert_eq!(read(text), expected);
        let crlf = read(&text.replace('\n', "\r\n"));
        let lines: Vec<u64> = crlf.into_iter().map(|record| record.unwrap().0).collect();
        assert_eq!(lines, [1, 2, 6, 7]);
        assert_eq!(read(""), []);
        assert_eq!(read("\n\r\n"), []);
    }

    #[test]
    fn a_record_that_is_too_large_is_counted_and_passed() {
        let fitting = ["x"; COLUMNS_MAX].join(",");
        let wide = ",".repeat(100_000);
        let long = "y".repeat(RECORD_BYTES_MAX + 7);
        let expected = [
            Ok((1, cells(&["x"; COLUMNS_MAX]))),
            Err(TooLarge { line: 2, columns: 100_001, bytes: 0 }),
            Err(TooLarge { line: 3, columns: 2, bytes: RECORD_BYTES_MAX + 8 }),
            Ok((4, cells(&["last"]))),
            // A quote that nobody closes.
            Err(TooLarge { line: 5, columns: 1, bytes: RECORD_BYTES_MAX + 7 }),
        ];
        assert_eq!(read(&format!("{fitting}\n{wide}\n{long},z\nlast\n\"{long}")), expected);
        let one_more = format!("{fitting},x\n{}\n", "z".repeat(RECORD_BYTES_MAX));
        let found = read(&one_more);
        assert_eq!(found[0], Err(TooLarge { line: 1, columns: COLUMNS_MAX + 1, bytes: COLUMNS_MAX + 1 }));
        assert!(found[1].is_ok());
    }
}
