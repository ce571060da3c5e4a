//! SQLite's write-ahead log after a write or a sync has failed.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use nix::errno::Errno;

/// How much room there has to be beside what is written already: more than most transactions need.
const ROOM: i64 = 1 << 20;

/// How much is written again at a time.
const CHUNK: usize = 1 << 20;

/// Writes the database's log onto itself and syncs it; there is room for more.
///
/// After a sync has failed the system takes for written what it has not written, and no later sync
/// writes it. Of that, SQLite writes again what it had not committed, but not the housekeeping's last
/// commits, which did not wait for the disk. A hole there would hide every later commit from whoever
/// reads the log after a power loss. The caller must hold the database's write lock.
///
/// # Errors
/// The disk is full or failing still.
pub fn settle(database: &Path) -> Result<()> {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    let log = match OpenOptions::new().read(true).write(true).open(&name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        log => log?,
    };
    write_again(&log)?;
    make_room(&log)?;
    log.sync_all()
}

fn write_again(log: &File) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let count = log.read_at(&mut chunk, at)?;
        let Some(found) = chunk.get(..count).filter(|found| !found.is_empty()) else { return Ok(()) };
        log.write_all_at(found, at)?;
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Who finds room can write; it is given back at once.
fn make_room(log: &File) -> Result<()> {
    let length = log.metadata()?.len();
    let end = i64::try_from(length).unwrap_or(i64::MAX);
    let found = nix::fcntl::posix_fallocate(log, end, ROOM);
    log.set_len(length)?;
    match found {
        // Not every file system can tell.
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::EINVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        settle(&database).unwrap();
        assert!(!folder.path().join("a.db-wal").exists());
        for length in [0, 1, CHUNK, CHUNK + 4_120] {
            let content: Vec<u8> = (0..=250).cycle().take(length).collect();
            std::fs::write(folder.path().join("a.db-wal"), &content).unwrap();
            settle(&database).unwrap();
            assert!(std::fs::read(folder.path().join("a.db-wal")).unwrap() == content);
        }
    }
}
