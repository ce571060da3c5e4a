//! How far an export may go now.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::{QueryableByName, sql_query, sql_types};

use crate::domain::ids::EventId;
use crate::storage::error::Failure;
use crate::storage::{AnyConnection, StoreError, sqlite};

/// The id before which every event is there that ever will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Horizon(EventId);

/// How long to wait before the next try to get SQLite's write lock: the writer lets go of it for a
/// moment after each of its transactions.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

impl Horizon {
    fn behind(at: NaiveDateTime, by: TimeDelta) -> Self {
        Self(EventId::first_at((at - by).and_utc()))
    }

    /// The first id that may not be exported.
    pub const fn id(self) -> EventId {
        self.0
    }
}

/// The horizon, so far behind the present and behind every transaction that may record events. Must
/// not be called within a transaction, and what is exported up to it must be read after it.
///
/// On SQLite it needs a connection that may write, though it writes nothing.
///
/// # Errors
/// [`StoreError::Overloaded`] when SQLite's write lock did not come free within `wait`,
/// [`StoreError::Unusable`] when PostgreSQL does not tell since when a transaction runs.
pub fn horizon(
    connection: &mut AnyConnection,
    behind: TimeDelta,
    wait: Duration,
) -> Result<Horizon, StoreError> {
    let at = match connection {
        AnyConnection::Postgres(c) => oldest_transaction(c)?,
        AnyConnection::Sqlite(_) => after_lock(connection, wait)?,
    };
    Ok(Horizon::behind(at, behind))
}

/// A database whose transactions of other roles cannot be seen, or that does not track any.
const UNTOLD: &str = "PostgreSQL does not say since when a transaction runs that may record events: run all \
     instances as one role (or make it a member of pg_read_all_stats), with track_activities on and without \
     prepared transactions";

/// INSERT takes this lock and no other on the table, and holds it until its transaction has ended. A
/// transaction whose beginning the list does not tell, although it may (`state` is there), or whose
/// session it does not know, began or ended while it was read.
const LOCK_HOLDERS: &str = "SELECT \
     least(statement_timestamp(), min(activity.xact_start)) AT TIME ZONE 'UTC' AS oldest, \
     count(*) FILTER (WHERE lock.pid IS NULL OR (activity.pid IS NOT NULL \
        AND coalesce(activity.state, 'disabled') = 'disabled')) AS untold \
     FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid \
     WHERE lock.locktype = 'relation' AND lock.relation = 'events'::regclass AND lock.mode = 'RowExclusiveLock' \
     AND lock.granted AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn oldest_transaction(connection: &mut PgConnection) -> Result<NaiveDateTime, StoreError> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = sql_types::Timestamp)]
        oldest: NaiveDateTime,
        #[diesel(sql_type = sql_types::BigInt)]
        untold: i64,
    }
    let found: Found = sql_query(LOCK_HOLDERS).get_result(connection)?;
    if found.untold > 0 {
        return Err(StoreError::Unusable(UNTOLD.to_owned()));
    }
    Ok(found.oldest)
}

/// Holds the write lock for a moment: whoever had it before has ended.
fn after_lock(connection: &mut AnyConnection, wait: Duration) -> Result<NaiveDateTime, StoreError> {
    // SQLite's own way of waiting asks ever less often, and would hardly find the moment.
    connection.batch_execute("PRAGMA busy_timeout = 0")?;
    let found = try_lock(connection, wait);
    connection.batch_execute(sqlite::BUSY_TIMEOUT)?;
    found
}

fn try_lock(connection: &mut AnyConnection, wait: Duration) -> Result<NaiveDateTime, StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        let found = connection.write(|c| match c {
            AnyConnection::Sqlite(c) => Ok(sqlite::now(c)?),
            AnyConnection::Postgres(_) => Err(StoreError::Refused("not SQLite".to_owned())),
        });
        match found {
            Err(StoreError::Failed(Failure::Contended, _)) if waited < wait => {}
            Err(StoreError::Failed(Failure::Contended, _)) => {
                return Err(StoreError::Overloaded("a transaction holds SQLite's write lock"));
            }
            other => return other,
        }
        std::thread::sleep(LOCK_PAUSE);
        waited += LOCK_PAUSE;
    }
}
