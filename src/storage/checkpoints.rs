//! SQLite's log goes into its file beside the commits, not within them.
//!
//! By itself SQLite copies the log inside of the COMMIT that makes it long enough: everybody waits for
//! that one, on a slow disk for seconds; and it keeps to itself that a sync failed. So a thread copies
//! most of it earlier, while commits go on. Only who writes can begin the log anew, once all of it is
//! copied: what little is left then the writer copies itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection as _;

use super::sqlite::{self, Log};
use super::{AnyConnection, Connector, Purpose, StoreError};

/// After so many events and statuses the log is looked at.
const LOOK_EVERY: usize = 64;

/// The copying, as the writer sees it. The thread ends with this.
pub struct Checkpoints {
    /// One place: who is asked twice need not copy twice.
    copy: Option<SyncSender<()>>,
    /// At so many pages the log begins anew.
    pages: u32,
    committed: usize,
    failed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Who does what now.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Nobody,
    Thread,
    Writer,
}

struct Worker {
    connector: Connector,
    connection: Option<AnyConnection>,
    failed: Arc<AtomicBool>,
}

impl Checkpoints {
    /// Starts the thread for a log that begins anew at so many pages.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(connector: Connector, pages: u32) -> std::io::Result<Self> {
        let (copy, asked) = sync_channel(1);
        let failed = Arc::new(AtomicBool::new(false));
        let worker = Worker { connector, connection: None, failed: failed.clone() };
        let thread =
            std::thread::Builder::new().name("checkpoints".to_owned()).spawn(move || worker.run(&asked))?;
        Ok(Self { copy: Some(copy), pages, committed: 0, failed, thread: Some(thread) })
    }

    /// Takes over from SQLite on the writer's connection.
    ///
    /// # Errors
    /// The database's.
    pub fn take_over(connection: &mut SqliteConnection) -> Result<(), StoreError> {
        Ok(connection.batch_execute("PRAGMA wal_autocheckpoint = 0")?)
    }

    /// So many more events and statuses are committed.
    pub const fn committed(&mut self, count: usize) {
        self.committed = self.committed.saturating_add(count);
    }

    /// Between two transactions of the writer: has copied what is to be copied, or does it.
    ///
    /// # Errors
    /// A copy has failed, this one or the last one of the thread: the disk may lack what it confirmed.
    pub fn proceed(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        if self.failed.swap(false, Ordering::AcqRel) {
            return Err(StoreError::Unavailable("the log could not be copied into the file".to_owned()));
        }
        if self.committed < LOOK_EVERY {
            return Ok(());
        }
        self.committed = 0;
        match turn(sqlite::log(connection)?, self.pages) {
            Turn::Nobody => {}
            // If it is at it, it has all that it needs.
            Turn::Thread => drop(self.copy.as_ref().map(|copy| copy.try_send(()))),
            Turn::Writer => sqlite::copy_log(connection)?,
        }
        Ok(())
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.copy = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the checkpoints' thread panicked");
        }
    }
}

impl Worker {
    fn run(mut self, asked: &Receiver<()>) {
        while asked.recv().is_ok() {
            if let Err(error) = self.copy() {
                self.failed.store(true, Ordering::Release);
                tracing::warn!(%error, "the log could not be copied into the database's file");
                self.connection = None;
            }
        }
    }

    fn copy(&mut self) -> Result<(), StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.connector.connect(Purpose::Write)?),
        };
        match connection {
            AnyConnection::Sqlite(connection) => sqlite::copy_log(connection),
            AnyConnection::Postgres(_) => Ok(()),
        }
    }
}

/// In quarters, because what is copied rarely is copied once for many changes; near the end all, so that
/// little is left for the writer.
const fn turn(log: Log, limit: u32) -> Turn {
    let left = log.pages.saturating_sub(log.copied);
    if log.pages >= limit {
        Turn::Writer
    } else if left >= limit / 4 || (left > 0 && log.pages >= limit - limit / 8) {
        Turn::Thread
    } else {
        Turn::Nobody
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    use super::*;

    /// A database whose log has some fifty pages, of a hundred at which it begins anew.
    fn database(folder: &std::path::Path) -> (Connector, AnyConnection) {
        let text = format!("[database]\nurl = \"sqlite:{}/a.db\"\ncheckpoint_pages = 100", folder.display());
        let config = crate::config::load_from(Figment::from(Toml::string(&text))).unwrap();
        let connector = Connector::new(config.database);
        let mut connection = connector.connect(Purpose::Write).unwrap();
        connection.batch_execute("CREATE TABLE a (content TEXT)").unwrap();
        for _ in 0..45 {
            connection.batch_execute("INSERT INTO a VALUES (hex(randomblob(100)))").unwrap();
        }
        (connector, connection)
    }

    fn sqlite(connection: &mut AnyConnection) -> &mut SqliteConnection {
        let AnyConnection::Sqlite(connection) = connection else { panic!("SQLite") };
        connection
    }

    fn position(connection: &mut AnyConnection) -> Log {
        sqlite::log(sqlite(connection)).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "real threads work in real time")]
    fn within_seconds(mut done: impl FnMut() -> bool) {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < Duration::from_secs(20), "it was not done");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn the_log_is_copied_beside_the_commits_as_soon_as_it_is_long_enough() {
        let folder = tempfile::tempdir().unwrap();
        let (connector, mut connection) = database(folder.path());
        let before = position(&mut connection);
        assert!(before.copied == 0 && (25..80).contains(&before.pages), "{before:?}");
        let mut checkpoints = Checkpoints::start(connector, 100).unwrap();
        checkpoints.committed(LOOK_EVERY - 1);
        checkpoints.proceed(sqlite(&mut connection)).unwrap();
        assert_eq!(checkpoints.committed, LOOK_EVERY - 1, "it was looked at");
        checkpoints.committed(1);
        checkpoints.proceed(sqlite(&mut connection)).unwrap();
        within_seconds(|| position(&mut connection).copied == before.pages);
        checkpoints.proceed(sqlite(&mut connection)).unwrap();
    }

    #[test]
    fn the_log_begins_anew_when_it_is_full_by_the_writers_own_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (connector, mut connection) = database(folder.path());
        Checkpoints::take_over(sqlite(&mut connection)).unwrap();
        let mut checkpoints = Checkpoints::start(connector, 40).unwrap();
        checkpoints.committed(LOOK_EVERY);
        let full = position(&mut connection);
        checkpoints.proceed(sqlite(&mut connection)).unwrap();
        assert_eq!(position(&mut connection).copied, full.pages);
        connection.batch_execute("INSERT INTO a VALUES ('x')").unwrap();
        assert!(position(&mut connection).pages < full.pages);
    }

    #[test]
    fn a_copy_that_fails_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut connection) = database(folder.path());
        let nowhere = folder.path().join("a.db").join("b.db");
        let text = format!("[database]\nurl = \"sqlite:{}\"", nowhere.display());
        let config = crate::config::load_from(Figment::from(Toml::string(&text))).unwrap();
        let mut checkpoints = Checkpoints::start(Connector::new(config.database), 100).unwrap();
        checkpoints.committed(LOOK_EVERY);
        checkpoints.proceed(sqlite(&mut connection)).unwrap();
        within_seconds(|| checkpoints.proceed(sqlite(&mut connection)).is_err());
        checkpoints.proceed(sqlite(&mut connection)).unwrap();
    }

    #[test]
    fn the_log_is_copied_in_quarters_then_to_its_end_and_by_the_writer_when_it_is_full() {
        let of = |pages, copied| turn(Log { pages, copied }, 1_000);
        for (pages, copied) in [(0, 0), (249, 0), (499, 250), (874, 700), (875, 875)] {
            assert_eq!(of(pages, copied), Turn::Nobody);
        }
        for (pages, copied) in [(250, 0), (874, 500), (875, 870), (999, 0)] {
            assert_eq!(of(pages, copied), Turn::Thread);
        }
        assert_eq!((of(1_000, 0), of(5_000, 5_000)), (Turn::Writer, Turn::Writer));
    }
}
