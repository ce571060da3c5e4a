//! Holding a merchant's books against what is recorded (contract section 12). Nothing is written.

mod books;
mod reasons;
mod records;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::Ingest;
use crate::domain::event::Rejection;
use crate::domain::ids::{ExternalId, MerchantId};
use crate::domain::merchant::Mode;
use crate::domain::order::Ledger;
use crate::domain::reconciliation::{Books, Finding, Reconciliation, Row, compare};
use crate::storage::orders::{SaleRow, ledgers, sales_between};
use crate::storage::{AnyConnection, StoreError};

pub use books::{read_csv, read_json, read_ndjson};

/// How many recorded sales are read at once. Sales of one instant are sorted anew for each page of them:
/// of a million, by 200 pages, a hundred million rows are looked at instead of a million. A page takes
/// about a megabyte.
const SALES_AT_ONCE: i64 = 5_000;

/// How books are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BooksFormat {
    /// `{"from":…,"to":…,"rows":[…]}`
    Json,
    /// One row per line.
    Ndjson,
    /// A header line that names the columns, then one row per line.
    Csv,
}

/// The period, where the books themselves do not tell it.
pub type Period = (DateTime<Utc>, DateTime<Utc>);

/// Why there is no reconciliation.
#[derive(Debug)]
pub enum ReconcileError {
    /// The books as a whole cannot be read.
    Rejected(Rejection),
    /// The store does not answer.
    Store(StoreError),
}

impl From<StoreError> for ReconcileError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Reads books, whose rows may be unreadable one by one.
///
/// # Errors
/// When they are unreadable as a whole.
pub fn read(body: &[u8], format: BooksFormat, period: Option<Period>) -> Result<Books, Rejection> {
    match (format, period) {
        (BooksFormat::Ndjson, Some(period)) => read_ndjson(body, period),
        (BooksFormat::Csv, Some(period)) => read_csv(body, period),
        (BooksFormat::Json, _) | (_, None) => read_json(body),
    }
}

impl Ingest {
    /// Reads a merchant's books and holds them against what is recorded, off the web server's threads.
    pub async fn reconcile(
        &self,
        merchant: MerchantId,
        mode: Mode,
        read: impl FnOnce() -> Result<Books, Rejection> + Send + 'static,
    ) -> Result<Reconciliation, ReconcileError> {
        // First: nobody's books keep a connection from others while they are read.
        let books = self.reader.compute(merchant, read).await?.map_err(ReconcileError::Rejected)?;
        Ok(self.reader.run_long(merchant, move |c| reconcile(c, merchant, mode, books)).await?)
    }
}

/// Holds books against what is recorded, on a connection that sees one moment.
pub fn reconcile(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    books: Books,
) -> Result<Reconciliation, StoreError> {
    let Books { from, to, rows, unreadable, unreadable_count, unreadable_orders } = books;
    let mut found = Reconciliation { unreadable, ..Reconciliation::default() };
    found.summary.compared = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    found.summary.unreadable = unreadable_count;
    let mut open: HashMap<&str, &Row> = rows.iter().map(|row| (row.order.as_str(), row)).collect();
    let mut last: Option<SaleRow> = None;
    loop {
        let sales = sales_between(connection, merchant, (from, to), last.as_ref(), SALES_AT_ONCE)?;
        let Some(newest) = sales.last().cloned() else { break };
        last = Some(newest);
        let orders: Vec<&str> = sales
            .iter()
            .filter(|sale| sale.mode == mode.as_str())
            .map(|sale| sale.order_id.as_str())
            .collect();
        let ledgers = ledgers(connection, merchant, mode, &orders)?;
        for order in orders {
            match open.remove(order) {
                Some(row) => hold_against(&mut found, row, ledgers.get(order)),
                None => note_missing_there(&mut found, order, &unreadable_orders)?,
            }
        }
    }
    // In the order of the books.
    let missing: Vec<&Row> = rows.iter().filter(|row| open.contains_key(row.order.as_str())).collect();
    let reasons = reasons::of_missing(connection, merchant, mode, (from, to), &missing)?;
    for (row, reason) in missing.into_iter().zip(reasons) {
        found.note(&row.order, vec![Finding::MissingHere { reason }]);
    }
    Ok(found)
}

/// A row that cannot be read is told as such: its order is not missing, too.
fn note_missing_there(
    found: &mut Reconciliation,
    order: &str,
    unreadable_orders: &HashSet<String>,
) -> Result<(), StoreError> {
    if !unreadable_orders.contains(order) {
        let unreadable = |_| StoreError::Unusable(format!("{order:?} in the database is no order id"));
        let order = ExternalId::parse(order).map_err(unreadable)?;
        found.note(&order, vec![Finding::MissingThere]);
    }
    Ok(())
}

fn hold_against(found: &mut Reconciliation, row: &Row, ledger: Option<&Ledger>) {
    let figures = ledger.cloned().unwrap_or_default().figures();
    let findings = compare(row, &figures);
    if findings.is_empty() {
        found.summary.matched += 1;
    }
    found.note(&row.order, findings);
}
