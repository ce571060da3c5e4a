//! A time limit for what a thread reads.
//!
//! PostgreSQL ends a statement by itself (`statement_timeout`). SQLite's own interrupt cannot be reached
//! from safe code, so queries that may look at many rows call an SQL function row by row, which fails once
//! the limit has passed. SQLite calls it on the thread that runs the query.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Bool;
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, SqliteConnection};

use super::StoreError;

/// The condition to put into a query on SQLite. It is true, or it fails.
pub const IN_TIME: &str = "in_time()";

#[diesel::declare_sql_function]
extern "SQL" {
    fn in_time() -> Bool;
}

thread_local! {
    static CURRENT: RefCell<Option<TimeLimit>> = const { RefCell::new(None) };
}

/// Whether somebody still waits for a read.
#[derive(Debug, Clone, Default)]
pub struct TimeLimit(Arc<AtomicBool>);

/// Ends a time limit when it is dropped: its caller has its answer, or has gone.
pub struct Waiting(TimeLimit);

impl TimeLimit {
    /// Somebody waits as long as this is kept.
    pub fn wait(&self) -> Waiting {
        Waiting(self.clone())
    }

    /// Does work that ends soon after nobody waits for it any more.
    pub fn hold<T>(self, work: impl FnOnce() -> T) -> T {
        /// Puts back what was there before, also after a panic.
        struct Before(Option<TimeLimit>);
        impl Drop for Before {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _before = Before(CURRENT.replace(Some(self)));
        work()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

fn has_passed() -> bool {
    CURRENT.with_borrow(|limit| limit.as_ref().is_some_and(|limit| limit.0.load(Ordering::Relaxed)))
}

/// Between statements, and between rows that are read one by one.
///
/// # Errors
/// The time limit of this thread's work has passed.
pub fn check() -> Result<(), StoreError> {
    if has_passed() { Err(StoreError::Unavailable(PASSED.to_owned())) } else { Ok(()) }
}

const PASSED: &str = "nobody waits for this query any more";

/// The function's result: `true`, or an error that ends the query.
#[derive(Debug)]
struct InTime;

impl ToSql<Bool, Sqlite> for InTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        if has_passed() {
            return Err(PASSED.into());
        }
        out.set_value(1_i32);
        Ok(IsNull::No)
    }
}

/// Makes the function known to a connection.
pub fn register(connection: &SqliteConnection) -> QueryResult<()> {
    in_time_utils::register_nondeterministic_impl(connection, || InTime)
}

#[cfg(test)]
mod tests {
    use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, sql_query, sql_types};

    use super::*;

    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = sql_types::BigInt)]
        count: i64,
    }

    /// Counts numbers, and stops waiting when it comes to the tenth.
    fn count(connection: &mut SqliteConnection, numbers: u32) -> QueryResult<i64> {
        let text = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {numbers}) \
             SELECT count(*) AS count FROM n WHERE {IN_TIME}"
        );
        sql_query(text).get_result::<Found>(connection).map(|found| found.count)
    }

    #[test]
    fn a_query_ends_within_a_row_of_the_time_limit_and_its_connection_goes_on() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        register(&connection).unwrap();
        assert_eq!(count(&mut connection, 1_000).unwrap(), 1_000, "there is no limit");
        let limit = TimeLimit::default();
        let waiting = limit.wait();
        let found = limit.clone().hold(|| count(&mut connection, 1_000));
        assert_eq!(found.unwrap(), 1_000);
        let other = std::thread::spawn(move || {
            // It would take hours.
            limit.hold(|| (count(&mut connection, u32::MAX), check(), connection))
        });
        drop(waiting);
        let (found, checked, mut connection) = other.join().unwrap();
        assert!(found.unwrap_err().to_string().contains(PASSED));
        assert!(matches!(checked, Err(StoreError::Unavailable(_))));
        assert_eq!(count(&mut connection, 10).unwrap(), 10);
        assert!(check().is_ok());
    }
}
