//! SQLite's write-ahead log after a write or a sync has failed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::sqlite::Log;

/// How much room there has to be beside what is written already: more than most transactions need.
const ROOM: i64 = 1 << 20;

/// How much is written again at a time.
const CHUNK: usize = 1 << 20;

/// The log's first bytes: magic, version, size of a page, sequence, salt in two words; then a checksum.
/// Before each page: its number, the database's size, the salt; then a checksum
/// (<https://www.sqlite.org/fileformat2.html#walformat>).
const HEADER: u64 = 32;
const HEADER_WORDS: usize = 6;
const FRAME: u64 = 24;
const FRAME_WORDS: usize = 4;

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
    let Some(log) = open(database)? else { return Ok(()) };
    write_again(&log)?;
    make_room(&log)?;
    log.sync_all()
}

/// How many bytes the database's log takes on the disk; 0 = it is not there.
pub fn size(database: &Path) -> u64 {
    path(database).and_then(std::fs::metadata).map_or(0, |found| found.len())
}

/// Pages that SQLite has copied from the log into the file, and will not copy again.
pub struct Copied {
    log: File,
    page_size: usize,
    /// Where each page's content is in the log, by its number.
    places: BTreeMap<u32, u64>,
}

impl Copied {
    /// Of a log of so many pages, the first of which were copied. A page that stands in it once more behind
    /// them is not among these: it will be copied again. The caller must hold the database's write lock.
    ///
    /// # Errors
    /// The log cannot be read, or is not as SQLite says.
    pub fn find(database: &Path, log: Log) -> Result<Self> {
        let Log { pages, copied } = log;
        let log = open(database)?.ok_or(ErrorKind::NotFound)?;
        let [_, _, size, _, salt @ ..] = words::<HEADER_WORDS>(&log, 0)?;
        let mut places = BTreeMap::new();
        let mut at = HEADER;
        for count in 0..pages {
            let [number, _, found @ ..] = words::<FRAME_WORDS>(&log, at)?;
            if found != salt {
                return Err(Error::other("it ends before its end"));
            }
            if count < copied {
                places.insert(number, at.saturating_add(FRAME));
            } else {
                places.remove(&number);
            }
            at = at.saturating_add(FRAME).saturating_add(u64::from(size));
        }
        Ok(Self { log, page_size: usize::try_from(size).map_err(Error::other)?, places })
    }

    /// Each page's number and content.
    pub fn pages(&self) -> impl Iterator<Item = Result<(u32, Vec<u8>)>> {
        self.places.iter().map(|(number, at)| {
            let mut content = vec![0; self.page_size];
            self.log.read_exact_at(&mut content, *at).map(|()| (*number, content))
        })
    }
}

fn open(database: &Path) -> Result<Option<File>> {
    match path(database).and_then(|path| OpenOptions::new().read(true).write(true).open(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        log => log.map(Some),
    }
}

/// SQLite follows links, and keeps the log beside the real file.
fn path(database: &Path) -> Result<PathBuf> {
    let mut name = database.canonicalize()?.into_os_string();
    name.push("-wal");
    Ok(name.into())
}

/// So many numbers, as SQLite writes them.
fn words<const N: usize>(log: &File, at: u64) -> Result<[u32; N]> {
    let mut words = [[0; 4]; N];
    log.read_exact_at(words.as_flattened_mut(), at)?;
    Ok(words.map(u32::from_be_bytes))
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
    use diesel::connection::SimpleConnection as _;
    use diesel::{Connection as _, SqliteConnection};

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

    #[test]
    fn what_was_copied_and_stands_in_the_log_no_second_time_is_found_with_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(&database, &link).unwrap();
        let mut connection = SqliteConnection::establish(database.to_str().unwrap()).unwrap();
        connection
            .batch_execute(
                "PRAGMA journal_mode = WAL; CREATE TABLE a (b TEXT); CREATE TABLE c (d TEXT); \
                 INSERT INTO a VALUES (hex(randomblob(5000)))",
            )
            .unwrap();
        let content = std::fs::read(folder.path().join("a.db-wal")).unwrap();
        let frames: Vec<&[u8]> = content[32..].chunks(24 + 4096).collect();
        let number = |frame: &[u8]| u32::from(frame[3]);
        assert_eq!(frames.iter().map(|frame| number(frame)).collect::<Vec<_>>(), [1, 2, 1, 3, 1, 2, 4, 5]);
        for copied in 0..=8 {
            for path in [&database, &link] {
                let found = Copied::find(path, Log { pages: 8, copied }).unwrap();
                let found: Vec<(u32, Vec<u8>)> = found.pages().map(Result::unwrap).collect();
                let (done, left) = frames.split_at(usize::try_from(copied).unwrap());
                let mut expected: Vec<(u32, Vec<u8>)> = Vec::new();
                for frame in done {
                    expected.retain(|(n, _)| *n != number(frame));
                    if left.iter().all(|other| number(other) != number(frame)) {
                        expected.push((number(frame), frame[24..].to_vec()));
                    }
                }
                expected.sort();
                assert!(found == expected, "{copied} of 8");
            }
        }
        assert!(Copied::find(&database, Log { pages: 9, copied: 1 }).is_err(), "there are eight");
        connection.batch_execute("PRAGMA wal_checkpoint; INSERT INTO c VALUES ('x')").unwrap();
        assert!(Copied::find(&database, Log { pages: 2, copied: 1 }).is_err(), "it began anew");
        assert!(Copied::find(&folder.path().join("b.db"), Log { pages: 1, copied: 1 }).is_err());
    }
}
