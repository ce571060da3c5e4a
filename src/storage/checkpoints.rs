//! When SQLite's log goes into its file, and what is done when that fails.
//!
//! By itself SQLite copies the log inside of the COMMIT that makes it long enough, and keeps to itself that a
//! sync failed there; the system then tells nobody else on that connection. So who writes copies it.
//!
//! While somebody reads what is older, only a part can be copied. SQLite then syncs the file with the
//! next part, and never copies the first one again: should that sync fail, nothing would ever write what
//! the system has dropped of the first. So its pages are written at the log's end again, out of the log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use diesel::SqliteConnection;

use super::error::Failure;
use super::files::Files;
use super::log_gate::LogGate;
use super::{AnyConnection, Purpose, StoreError, log, sqlite};

/// After so many events and statuses the log is looked at.
const LOOK_EVERY: usize = 64;

/// The same after a copy has failed: to write the log again takes long.
const LOOK_AFTER_FAILURE: usize = 1_024;

/// The log, as one connection that writes sees it.
pub struct Checkpoints {
    database: PathBuf,
    /// At so many pages the log is copied, and begins anew.
    pages: u32,
    /// How many events and statuses there may be until it is looked at.
    left: usize,
    known: Arc<Known>,
    /// The files, beside a running service.
    files: Option<Arc<Files>>,
}

/// What all that write in this process know of the log. One at a time copies it or brings it in order, and
/// nobody commits before that.
#[derive(Default)]
pub struct Known {
    state: Mutex<State>,
    gate: Arc<LogGate>,
}

struct State {
    doubt: Option<Doubt>,
    /// By it the log is looked at while a transaction is open.
    watch: Option<SqliteConnection>,
}

/// What the disk may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Something of the log.
    Log,
    /// That, and something that was copied into the file.
    File,
}

impl Default for State {
    /// A process before this one may have ended in doubt.
    fn default() -> Self {
        Self { doubt: Some(Doubt::File), watch: None }
    }
}

impl Drop for State {
    /// Whoever closes the database last copies what is left of the log, and deletes it. In doubt the
    /// database stays open until the process ends, so that nobody does. The next one copies all of it.
    fn drop(&mut self) {
        if self.doubt.is_some() {
            std::mem::forget(self.watch.take());
        }
    }
}

impl Known {
    /// Reads wait at this gate while the log is too long.
    pub fn behind(gate: LogGate) -> Self {
        Self { state: Mutex::default(), gate: Arc::new(gate) }
    }

    /// Where reads wait.
    pub const fn gate(&self) -> &Arc<LogGate> {
        &self.gate
    }
}

impl Checkpoints {
    /// For the log of a database that is copied at so many pages.
    pub fn new(database: &Path, pages: u32, known: Arc<Known>) -> Self {
        Self { database: database.to_owned(), pages, left: LOOK_EVERY, known, files: None }
    }

    /// The same beside a running service, which has these files open.
    pub fn beside(self, files: Option<Arc<Files>>) -> Self {
        Self { files, ..self }
    }

    /// So many more events and statuses are committed.
    pub const fn committed(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
    }

    /// A write has failed so that the disk may lack more than was refused.
    pub fn doubt(&self) {
        let mut state = self.known.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.doubt = state.doubt.or(Some(Doubt::Log));
    }

    /// Before a transaction that writes: copies the log, if it is long enough, and sees to it that the disk
    /// lacks nothing of what stands before that transaction. A copy that fails does no harm but that.
    ///
    /// # Errors
    /// The disk is full or failing still: nothing may be committed.
    pub fn proceed(&mut self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let AnyConnection::Sqlite(sqlite) = connection else { return Ok(()) };
        if let Some(files) = &self.files {
            files.verify()?;
        }
        let known = Arc::clone(&self.known);
        let mut state = known.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Not past a hole that is still in the log.
        if state.doubt.is_none()
            && let Err(error) = self.copy(sqlite)
        {
            tracing::warn!(%error, "the log could not be copied into the database's file: it is written again");
            state.doubt = Some(Doubt::File);
        }
        if let Some(doubt) = state.doubt {
            self.settle(connection, doubt, &mut state.watch)?;
            state.doubt = None;
        }
        Ok(())
    }

    fn copy(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        // Reads that are held back wait for it; but not each time after a failure.
        let is_waited_for = self.is_waited_for() && self.left <= LOOK_EVERY;
        if self.left > 0 && !is_waited_for {
            return Ok(());
        }
        self.left = LOOK_AFTER_FAILURE;
        let gate = &self.known.gate;
        let drained = gate.is_drained();
        let mut log = sqlite::log(connection)?;
        if log.is_some_and(|log| log.pages >= self.pages) {
            log = sqlite::copy_log(connection)?;
        }
        if let Some(log) = log {
            gate.judge(log, drained);
        }
        self.left = LOOK_EVERY;
        Ok(())
    }

    /// Whether reads are held back until the log has been copied.
    pub fn is_waited_for(&self) -> bool {
        self.known.gate.is_closed()
    }

    fn settle(
        &self,
        connection: &mut AnyConnection,
        doubt: Doubt,
        watch: &mut Option<SqliteConnection>,
    ) -> Result<(), StoreError> {
        let watch = match watch {
            Some(watch) => watch,
            none => {
                let files = self.files.as_deref();
                none.insert(sqlite::connect(&self.database, Purpose::Read, files)?)
            }
        };
        connection.write(|connection| {
            log::settle(&self.database).map_err(|error| self.failed(&error))?;
            match connection {
                AnyConnection::Sqlite(connection) if doubt == Doubt::File => {
                    self.copy_again(connection, watch)
                }
                _ => Ok(()),
            }
        })
    }

    /// Writes what was copied into the file, and not synced there, at the log's end.
    fn copy_again(
        &self,
        connection: &mut SqliteConnection,
        watch: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let busy = || StoreError::Failed(Failure::Contended, "the log is being changed".to_owned());
        let log = sqlite::log(watch)?.ok_or_else(busy)?;
        // Who copies all of it syncs the file.
        if log.copied == 0 || log.copied == log.pages {
            return Ok(());
        }
        let copied = log::Copied::find(&self.database, log).map_err(|error| self.failed(&error))?;
        for page in copied.pages() {
            let (number, content) = page.map_err(|error| self.failed(&error))?;
            sqlite::write_page(connection, number, &content)?;
        }
        Ok(())
    }

    fn failed(&self, error: &std::io::Error) -> StoreError {
        StoreError::Unavailable(format!("cannot write the log of {} again: {error}", self.database.display()))
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;
    use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, sql_query, sql_types};
    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    use super::*;
    use crate::storage::{Connector, Purpose};

    /// A database whose log is copied at ten pages.
    fn database(folder: &Path) -> (Connector, AnyConnection) {
        let text = format!("[database]\nurl = \"sqlite:{}/a.db\"", folder.display());
        let config = crate::config::load_from(Figment::from(Toml::string(&text))).unwrap();
        let connector = Connector::new(config.database);
        let mut connection = connector.connect(Purpose::Write).unwrap();
        connection.batch_execute("CREATE TABLE a (b TEXT)").unwrap();
        (connector, connection)
    }

    fn sqlite(connection: &mut AnyConnection) -> &mut SqliteConnection {
        let AnyConnection::Sqlite(connection) = connection else { panic!("SQLite") };
        connection
    }

    /// Adds a row, which fills a page, and says how far the log is.
    fn insert(connection: &mut AnyConnection) -> sqlite::Log {
        connection.batch_execute("INSERT INTO a VALUES (hex(randomblob(1800)))").unwrap();
        log_of(connection)
    }

    fn log_of(connection: &mut AnyConnection) -> sqlite::Log {
        sqlite::log(sqlite(connection)).unwrap().unwrap()
    }

    fn in_doubt(checkpoints: &Checkpoints, doubt: Option<Doubt>) {
        checkpoints.known.state.lock().unwrap().doubt = doubt;
    }

    /// What is found in the file alone.
    fn in_the_file(folder: &Path) -> (String, i64) {
        #[derive(QueryableByName)]
        struct Found {
            #[diesel(sql_type = sql_types::Text)]
            sound: String,
            #[diesel(sql_type = sql_types::BigInt)]
            count: i64,
        }
        let alone = tempfile::tempdir().unwrap();
        let copy = alone.path().join("a.db");
        std::fs::copy(folder.join("a.db"), &copy).unwrap();
        let mut connection = SqliteConnection::establish(copy.to_str().unwrap()).unwrap();
        let query = "SELECT (SELECT group_concat(integrity_check) FROM pragma_integrity_check) AS sound, \
                     (SELECT count(*) FROM a) AS count";
        let Found { sound, count } = sql_query(query).get_result(&mut connection).unwrap();
        (sound, count)
    }

    #[test]
    fn the_log_begins_anew_when_it_is_long_enough_by_the_writers_own_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut connection) = database(folder.path());
        let mut checkpoints = Checkpoints::new(&folder.path().join("a.db"), 10, Arc::default());
        let mut before = 0;
        while before < 10 {
            before = insert(&mut connection).pages;
        }
        checkpoints.proceed(&mut connection).unwrap();
        checkpoints.committed(LOOK_EVERY - 1);
        checkpoints.proceed(&mut connection).unwrap();
        assert!(insert(&mut connection).pages > before, "it was not looked at yet");
        checkpoints.committed(1);
        checkpoints.proceed(&mut connection).unwrap();
        assert!(insert(&mut connection).pages < before);
    }

    #[test]
    fn what_a_failed_sync_has_dropped_of_an_earlier_copy_is_written_to_the_file_again() {
        let folder = tempfile::tempdir().unwrap();
        let (connector, mut connection) = database(folder.path());
        for _ in 0..5 {
            insert(&mut connection);
        }
        let mut reader = connector.connect(Purpose::Read).unwrap();
        reader.batch_execute("BEGIN; SELECT count(*) FROM a").unwrap();
        for _ in 0..5 {
            insert(&mut connection);
        }
        let file = folder.path().join("a.db");
        let before = std::fs::read(&file).unwrap();
        sqlite::copy_log(sqlite(&mut connection)).unwrap();
        let log = log_of(&mut connection);
        assert!(log.copied > 0 && log.copied < log.pages, "the reader was in the way: {log:?}");
        // So it is on the disk, and in memory once the system has forgotten what it could not write.
        std::fs::write(&file, before).unwrap();
        reader.batch_execute("COMMIT").unwrap();

        // Whoever had it in memory may be gone as well.
        let mut other = connector.connect(Purpose::Write).unwrap();
        let mut checkpoints = Checkpoints::new(&file, 1, Arc::default());
        checkpoints.proceed(&mut other).unwrap();
        let settled = log_of(&mut other);
        in_doubt(&checkpoints, Some(Doubt::File));
        checkpoints.proceed(&mut other).unwrap();
        assert_eq!(log_of(&mut other).pages, settled.pages, "once is enough");
        checkpoints.committed(LOOK_EVERY);
        checkpoints.proceed(&mut other).unwrap();
        let log = log_of(&mut other);
        assert_eq!(log.copied, log.pages);
        assert_eq!(in_the_file(folder.path()), ("ok".to_owned(), 10));
    }

    #[test]
    fn who_is_in_doubt_leaves_the_log_for_the_next_process() {
        for (doubt, stays) in [(None, false), (Some(Doubt::Log), true), (Some(Doubt::File), true)] {
            let folder = tempfile::tempdir().unwrap();
            let (connector, mut connection) = database(folder.path());
            let mut checkpoints = connector.checkpoints().unwrap();
            checkpoints.proceed(&mut connection).unwrap();
            in_doubt(&checkpoints, doubt);
            drop((checkpoints, connection));
            drop(connector.connect(Purpose::Write).unwrap());
            drop(connector);
            assert_eq!(folder.path().join("a.db-wal").exists(), stays, "{doubt:?}");
        }
    }

    #[test]
    fn what_one_connection_doubts_another_brings_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (connector, mut connection) = database(folder.path());
        let (one, mut other) = (connector.checkpoints().unwrap(), connector.checkpoints().unwrap());
        other.proceed(&mut connection).unwrap();
        one.doubt();
        assert_eq!(other.known.state.lock().unwrap().doubt, Some(Doubt::Log));
        other.proceed(&mut connection).unwrap();
        assert_eq!(one.known.state.lock().unwrap().doubt, None);
    }
}
