//! What reports are added up from (contract section 12).
//!
//! All sales of a period are added up by the database, as if nothing were ever taken back. Only the
//! orders that something happened to are read, and what that changes is decided by
//! [`crate::domain::report`]. So a report costs what it has sales, and little memory however many.

mod clicked;
mod sold;
mod touched;

use diesel::result::Error as DieselError;

use super::{AnyConnection, StoreError};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::report::{Basis, Dimension, Report, ReportQuery, Tally, TooManyRows};

/// Whose report.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// The merchant.
    pub merchant: MerchantId,
    /// Real or test.
    pub mode: Mode,
}

/// Why a report was given up.
enum Stop {
    Store(StoreError),
    TooManyRows(TooManyRows),
}

/// A report. The connection must be in a transaction that sees the database at one moment.
///
/// # Errors
/// The inner one when it would have more rows than a report may have.
pub fn report(
    connection: &mut AnyConnection,
    scope: Scope,
    query: &ReportQuery,
) -> Result<Result<Report, TooManyRows>, StoreError> {
    let mut tally = Tally::new(query);
    match fill(connection, scope, &mut tally, query) {
        Ok(()) => Ok(Ok(tally.report())),
        Err(Stop::TooManyRows(error)) => Ok(Err(error)),
        Err(Stop::Store(error)) => Err(error),
    }
}

fn fill(
    connection: &mut AnyConnection,
    scope: Scope,
    tally: &mut Tally<'_>,
    query: &ReportQuery,
) -> Result<(), Stop> {
    be_quick(connection)?;
    sold::add(connection, scope, tally, query)?;
    // Of test keys there are none, and a click is never unattributed.
    if scope.mode == Mode::Live && !query.group_by.has(Dimension::Attribution) {
        clicked::add(connection, scope, tally, query)?;
    }
    touched::correct_sold(connection, scope, tally, query)?;
    match query.basis {
        Basis::Sale => Ok(()),
        Basis::Event => touched::correct_earlier(connection, scope, tally, query),
    }
}

/// Compiling these queries takes PostgreSQL longer than running them; and a plan that it keeps for all
/// merchants and times looks up each sale, where for many a join of two indexes takes a third. Both hold
/// for this transaction; where there is no such setting it does nothing.
fn be_quick(connection: &mut AnyConnection) -> Result<(), DieselError> {
    use diesel::RunQueryDsl as _;

    if let AnyConnection::Postgres(c) = connection {
        diesel::sql_query(
            "SELECT set_config(name, CASE name WHEN 'jit' THEN 'off' ELSE 'force_custom_plan' END, true) \
             FROM pg_settings WHERE name IN ('jit', 'plan_cache_mode')",
        )
        .execute(c)?;
    }
    Ok(())
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DieselError> for Stop {
    fn from(error: DieselError) -> Self {
        Self::Store(error.into())
    }
}

impl From<TooManyRows> for Stop {
    fn from(error: TooManyRows) -> Self {
        Self::TooManyRows(error)
    }
}

/// An id of a link shortener, as a column.
fn link(text: Option<&str>) -> Result<Option<uuid::Uuid>, StoreError> {
    text.map(|text| text.parse().map_err(|_| unreadable(text))).transpose()
}

fn unreadable(text: &str) -> StoreError {
    StoreError::Unusable(format!("{text:?} in the database is not readable"))
}
