//! One `serve` per SQLite file.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::{StoreError, folder};

/// Held as long as the service runs; the operating system frees it with the process.
#[derive(Debug)]
pub struct ServeLock(#[expect(dead_code, reason = "held, not used")] File);

impl ServeLock {
    /// Takes the lock beside the database file.
    ///
    /// # Errors
    /// When another service has it, or the folder cannot be written.
    pub fn take(database: &Path) -> Result<Self, StoreError> {
        let unusable = |error: std::io::Error| {
            StoreError::Unusable(format!("cannot lock {}: {error}", database.display()))
        };
        folder::make_for(database).map_err(unusable)?;
        // By its real name: a symbolic link is the same file. Before the first start there is none.
        let mut name =
            std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned()).into_os_string();
        name.push(".lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(name).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Unusable(format!(
                "another conversiond serves {} already; SQLite has one writer (use PostgreSQL for several)",
                database.display()
            ))),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}
