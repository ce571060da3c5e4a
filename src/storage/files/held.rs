//! One file that SQLite has open, and whether its name still leads to it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::Result;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How a file differs from the one that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its name leads nowhere.
    Gone,
    /// Its name leads to another file.
    Replaced,
    /// It has further names.
    Linked,
    /// It is shorter than what was written to it.
    Cut,
}

/// A file that the database's connections have open. Its inode number is not given to another file as
/// long as this lives.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    /// Opened with `O_PATH`: closing any other descriptor of the database's file would drop the locks that
    /// SQLite holds on it in this process (POSIX locks, fcntl(2)).
    descriptor: File,
    identity: (u64, u64),
    /// How long it was when last looked at.
    length: AtomicU64,
}

impl Held {
    /// Takes hold of the file that this name leads to now.
    pub fn take(path: PathBuf) -> Result<Self> {
        let descriptor = OpenOptions::new().read(true).custom_flags(nix::libc::O_PATH).open(&path)?;
        let found = descriptor.metadata()?;
        Ok(Self { path, descriptor, identity: identity(&found), length: AtomicU64::new(found.len()) })
    }

    /// The name by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its name leads to now.
    pub fn look(&self) -> std::result::Result<Metadata, Change> {
        let found = std::fs::symlink_metadata(&self.path).map_err(|_| Change::Gone)?;
        if self.is(&found) { Ok(found) } else { Err(Change::Replaced) }
    }

    /// Whether this is the file.
    pub fn is(&self, found: &Metadata) -> bool {
        identity(found) == self.identity
    }

    /// Whether it has no name any more: it is gone for good once it is closed.
    pub fn is_removed(&self) -> bool {
        self.descriptor.metadata().is_ok_and(|found| found.nlink() == 0)
    }

    /// Where it lies now, as the kernel tells it.
    pub fn place(&self) -> Option<PathBuf> {
        use std::os::fd::AsRawFd as _;

        std::fs::read_link(format!("/proc/self/fd/{}", self.descriptor.as_raw_fd())).ok()
    }

    /// How long it was when last looked at.
    pub fn known_length(&self) -> u64 {
        self.length.load(Ordering::Relaxed)
    }

    /// Remembers how long it is.
    pub fn remember_length(&self, length: u64) {
        self.length.store(length, Ordering::Relaxed);
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_what_it_is_and_not_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&path, "1").unwrap();
        let held = Held::take(path.clone()).unwrap();
        assert!(held.look().is_ok() && !held.is_removed());
        std::fs::rename(&path, &other).unwrap();
        assert_eq!(held.look().unwrap_err(), Change::Gone);
        assert_eq!(held.place().unwrap(), other.canonicalize().unwrap());
        std::fs::write(&path, "1").unwrap();
        assert_eq!(held.look().unwrap_err(), Change::Replaced);
        std::fs::rename(&other, &path).unwrap();
        assert!(held.look().is_ok());
        std::fs::remove_file(&path).unwrap();
        assert!(held.is_removed());
        // A new file never has the number of one that is held.
        std::fs::write(&path, "1").unwrap();
        assert_eq!(held.look().unwrap_err(), Change::Replaced);
    }
}
