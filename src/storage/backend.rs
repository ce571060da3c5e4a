//! Connections: which database is told by the URL's scheme, and each is set up for durability.

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::QueryResult;
use diesel::RunQueryDsl as _;
use diesel::connection::{AnsiTransactionManager, TransactionManager};

use super::checkpoints::{Checkpoints, Known};
use super::files::Files;
use super::log_gate::LogGate;
use super::postgres::Link;
use super::{AnyConnection, StoreError, log, postgres, sqlite};
use crate::config::{Database, DatabaseUrl};

/// One message, so one round trip. Somebody else's lock on one row must not hold up everybody's
/// callbacks; `LOCAL`, because a pooler may give the session to another client.
/// The server ends a transaction whose service has vanished, instead of keeping its locks. No
/// statement time-out, even if the role has one: it would cancel a COMMIT that waits for its
/// standby, which then says COMMIT all the same.
const BEGIN_POSTGRES: &str = "BEGIN; SET LOCAL lock_timeout = '200ms'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL statement_timeout = 0";

/// For what is known to be locked by somebody else: it is tried often, and so are those that were in
/// one batch with it, until it is found.
const BEGIN_RESCUE_POSTGRES: &str = "BEGIN; SET LOCAL lock_timeout = '10ms'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL statement_timeout = 0";

/// For what may be lost with the machine, and must not keep callbacks waiting.
const BEGIN_HOUSEKEEPING_POSTGRES: &str = "BEGIN; SET LOCAL lock_timeout = '1s'; \
     SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL synchronous_commit = off";

/// One snapshot for all that is read, and no query without an end.
const BEGIN_READ_POSTGRES: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '10s'";

/// Makes connections.
#[derive(Clone)]
pub struct Connector {
    settings: Arc<Database>,
    /// What is known of SQLite's log.
    log: Arc<Known>,
    /// SQLite's files, beside a running service.
    files: Option<Arc<Files>>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Queries alone: SQLite refuses writes on it.
    Read,
    /// Transactions that must be durable.
    Write,
    /// The same, for what somebody else has locked: waits are short.
    Rescue,
    /// Transactions of which the last ones may be lost with the machine.
    Housekeeping,
}

impl Connector {
    /// A maker of connections to the configured database: one in a process that writes with several, and
    /// its clones.
    pub fn new(settings: Database) -> Self {
        let log = Arc::new(Known::behind(LogGate::new(settings.log_pages_max)));
        Self { settings: Arc::new(settings), log, files: None }
    }

    /// Takes hold of SQLite's files, for as long as the service runs: from now on only these are opened and
    /// written, and none is made.
    ///
    /// # Errors
    /// As of [`Files::open`].
    pub fn hold_files(&mut self) -> Result<Option<Arc<Files>>, StoreError> {
        if let Some(path) = self.settings.url.sqlite_path() {
            self.files = Some(Arc::new(Files::open(path)?));
        }
        Ok(self.files.clone())
    }

    /// Whether the database's files are in their places, as far as that is known.
    ///
    /// # Errors
    /// As of [`Files::verify`].
    pub(super) fn verify_files(&self) -> Result<(), StoreError> {
        self.files.as_ref().map_or(Ok(()), |files| files.verify())
    }

    /// `[database]`.
    pub(super) fn settings(&self) -> &Database {
        &self.settings
    }

    /// The database's URL; it displays without password.
    pub fn url(&self) -> &DatabaseUrl {
        &self.settings.url
    }

    /// How large SQLite's log is on the disk, in bytes.
    pub(super) fn log_bytes(&self) -> u64 {
        self.settings.url.sqlite_path().map_or(0, log::size)
    }

    /// Where reads wait while SQLite's log is too long; on PostgreSQL it is always open.
    pub(super) fn gate(&self) -> &Arc<LogGate> {
        self.log.gate()
    }

    /// Whether several services may share the database.
    pub fn is_shared(&self) -> bool {
        matches!(self.settings.url, DatabaseUrl::Postgres(_))
    }

    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be reached, [`StoreError::Unusable`] when its
    /// settings would break the promise that an answer means on disk.
    pub fn connect(&self, purpose: Purpose) -> Result<AnyConnection, StoreError> {
        match &self.settings.url {
            DatabaseUrl::Sqlite(path) => {
                sqlite::connect(path, purpose, self.files.as_deref()).map(AnyConnection::Sqlite)
            }
            DatabaseUrl::Postgres(url) => postgres::connect(url, &self.settings).map(AnyConnection::Postgres),
        }
    }
}

impl Connector {
    /// What copies the database's log into its file, for a connection that writes: only SQLite's needs it.
    pub fn checkpoints(&self) -> Option<Checkpoints> {
        let path = self.settings.url.sqlite_path()?;
        let log = Arc::clone(&self.log);
        Some(Checkpoints::new(path, self.settings.checkpoint_pages, log).beside(self.files.clone()))
    }
}

impl AnyConnection {
    /// Runs a transaction that writes: `BEGIN IMMEDIATE` on SQLite, where a transaction that
    /// begins by reading could fail to upgrade its lock.
    pub fn write<T, E: From<diesel::result::Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_for(Purpose::Write, work)
    }

    /// The same, for a purpose that is not the usual one.
    pub fn write_for<T, E: From<diesel::result::Error>>(
        &mut self,
        purpose: Purpose,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin(purpose)?;
        match work(self) {
            Ok(value) => {
                self.commit()?;
                Ok(value)
            }
            Err(error) => {
                // The first error is the one to tell; a connection that cannot roll back is broken
                // and will be found so at its next use.
                let _ = self.rollback();
                Err(error)
            }
        }
    }

    /// Runs queries that see the database at one moment.
    pub fn read<T, E: From<diesel::result::Error>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Postgres(c) => AnsiTransactionManager::begin_transaction_sql(c, BEGIN_READ_POSTGRES)?,
            Self::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN")?,
        }
        let result = work(self);
        // Nothing was written: however it ended, it is over.
        let _ = self.rollback();
        result
    }

    /// Whether a transaction on it ended so that nothing more can be done with it.
    pub fn is_broken(&mut self) -> bool {
        match self {
            Self::Postgres(c) => AnsiTransactionManager::is_broken_transaction_manager(c),
            Self::Sqlite(c) => AnsiTransactionManager::is_broken_transaction_manager(c),
        }
    }

    fn begin(&mut self, purpose: Purpose) -> QueryResult<()> {
        let begin = match purpose {
            Purpose::Read | Purpose::Write => BEGIN_POSTGRES,
            Purpose::Rescue => BEGIN_RESCUE_POSTGRES,
            Purpose::Housekeeping => BEGIN_HOUSEKEEPING_POSTGRES,
        };
        match self {
            Self::Postgres(c) => AnsiTransactionManager::begin_transaction_sql(c, begin),
            Self::Sqlite(c) => AnsiTransactionManager::begin_transaction_sql(c, "BEGIN IMMEDIATE"),
        }
    }

    fn commit(&mut self) -> QueryResult<()> {
        match self {
            Self::Postgres(c) => AnsiTransactionManager::commit_transaction(c),
            Self::Sqlite(c) => AnsiTransactionManager::commit_transaction(c),
        }
    }

    fn rollback(&mut self) -> QueryResult<()> {
        match self {
            Self::Postgres(c) => AnsiTransactionManager::rollback_transaction(c),
            Self::Sqlite(c) => AnsiTransactionManager::rollback_transaction(c),
        }
    }
}

/// The database's own clock, where it has one: SQLite's is the machine's.
pub fn database_now(connection: &mut AnyConnection) -> Result<Option<DateTime<Utc>>, StoreError> {
    #[derive(diesel::QueryableByName)]
    struct Now {
        #[diesel(sql_type = diesel::sql_types::Timestamp)]
        now: NaiveDateTime,
    }
    match connection {
        AnyConnection::Sqlite(_) => Ok(None),
        AnyConnection::Postgres(c) => {
            let found: Now =
                diesel::sql_query("SELECT clock_timestamp() AT TIME ZONE 'UTC' AS now").get_result(c)?;
            Ok(Some(found.now.and_utc()))
        }
    }
}

/// Whether the database, as it is set now, still keeps what it confirms.
pub fn check_durability(connection: &mut AnyConnection) -> Result<(), StoreError> {
    match connection {
        AnyConnection::Postgres(c) => postgres::check_settings(c),
        AnyConnection::Sqlite(c) => sqlite::check_settings(c),
    }
}

/// Whether a COMMIT waits for a synchronous standby.
pub fn waits_for_standby(connection: &mut AnyConnection) -> Result<bool, StoreError> {
    match connection {
        AnyConnection::Postgres(c) => postgres::waits_for_standby(c),
        AnyConnection::Sqlite(_) => Ok(false),
    }
}

/// How the connection reaches its server, where there is one.
pub fn link(connection: &mut AnyConnection) -> Result<Option<Link>, StoreError> {
    match connection {
        AnyConnection::Postgres(c) => postgres::link(c).map(Some),
        AnyConnection::Sqlite(_) => Ok(None),
    }
}

/// Whether a transaction that writes could begin now, where one at a time can; else whether the database
/// is there.
pub fn may_write(connection: &mut AnyConnection) -> Result<bool, StoreError> {
    match connection {
        AnyConnection::Sqlite(c) => sqlite::may_write(c),
        AnyConnection::Postgres(_) => ping(connection).map(|()| true),
    }
}

/// Asks the database whether it is there.
pub fn ping(connection: &mut AnyConnection) -> Result<(), StoreError> {
    use diesel::connection::SimpleConnection as _;
    Ok(connection.batch_execute("SELECT 1")?)
}
