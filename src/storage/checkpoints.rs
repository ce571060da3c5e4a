//! When SQLite's log goes into its file.
//!
//! By itself SQLite copies the log inside of the COMMIT that makes it long enough, and keeps to itself
//! that a sync failed there; the system then tells nobody else on that connection. So the writer does it
//! itself, between two transactions.

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection as _;

use super::{StoreError, sqlite};

/// After so many events and statuses the log is looked at.
const LOOK_EVERY: usize = 64;

/// The same after a copy has failed: to write the log again each time takes long.
const LOOK_AFTER_FAILURE: usize = 1_024;

/// The writer's checkpoints.
#[derive(Debug)]
pub struct Checkpoints {
    /// At so many pages the log is copied, and begins anew.
    pages: u32,
    /// How many events and statuses there may be until it is looked at.
    left: usize,
}

impl Checkpoints {
    /// For a log of so many pages.
    pub const fn new(pages: u32) -> Self {
        Self { pages, left: LOOK_EVERY }
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
        self.left = self.left.saturating_sub(count);
    }

    /// Between two transactions of the writer: copies the log, if it is long enough.
    ///
    /// # Errors
    /// The database's: the disk may lack what it confirmed.
    pub fn proceed(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        if self.left > 0 {
            return Ok(());
        }
        self.left = LOOK_AFTER_FAILURE;
        if sqlite::log_pages(connection)? >= self.pages {
            sqlite::copy_log(connection)?;
        }
        self.left = LOOK_EVERY;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    use super::*;
    use crate::storage::{AnyConnection, Connector, Purpose};

    #[test]
    fn the_log_begins_anew_when_it_is_long_enough_by_the_writers_own_copy() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[database]\nurl = \"sqlite:{}/a.db\"", folder.path().display());
        let config = crate::config::load_from(Figment::from(Toml::string(&text))).unwrap();
        let AnyConnection::Sqlite(mut connection) =
            Connector::new(config.database).connect(Purpose::Write).unwrap()
        else {
            panic!("SQLite")
        };
        Checkpoints::take_over(&mut connection).unwrap();
        let insert = |connection: &mut SqliteConnection| {
            connection
                .batch_execute("CREATE TABLE IF NOT EXISTS a (b TEXT); INSERT INTO a VALUES ('x')")
                .unwrap();
            sqlite::log_pages(connection).unwrap()
        };
        let mut checkpoints = Checkpoints::new(10);
        let mut before = 0;
        while before < 10 {
            before = insert(&mut connection);
        }
        checkpoints.committed(LOOK_EVERY - 1);
        checkpoints.proceed(&mut connection).unwrap();
        assert!(insert(&mut connection) > before, "it was not looked at yet");
        checkpoints.committed(1);
        checkpoints.proceed(&mut connection).unwrap();
        assert!(insert(&mut connection) < before);
    }
}
