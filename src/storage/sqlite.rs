//! SQLite: durable settings, and a version that keeps its promises.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, QueryResult, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types};

use super::StoreError;
use super::backend::Purpose;
use super::error::Failure;
use super::files::Files;
use super::{folder, placement, time_limit};

/// Versions before it can lose committed transactions in WAL mode (the "WAL-reset" race).
const VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

/// How long a statement waits for somebody else's lock.
pub const BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 5000";

/// Each on its own, the wait for locks first: the others may need it.
const SETTINGS: [&str; 9] = [
    BUSY_TIMEOUT,
    "PRAGMA journal_mode = WAL",
    // The log goes into the file when the service says so (`checkpoints`), or when the last one closes.
    "PRAGMA wal_autocheckpoint = 0",
    // Every COMMIT reaches the disk before it returns.
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = 1",
    "PRAGMA checkpoint_fullfsync = 1",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
];

/// Together as long as the time limit for locks.
const LOCKED_TRIES: u32 = 250;
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// Opens the database. Beside a running service's `files` only those are opened; else the database is
/// made if need be, with its folder.
pub fn connect(path: &Path, purpose: Purpose, files: Option<&Files>) -> Result<SqliteConnection, StoreError> {
    let shown = path.display();
    let text =
        path.to_str().ok_or_else(|| StoreError::Unusable(format!("{shown}: the path is not UTF-8")))?;
    let establish = |url: &str| {
        SqliteConnection::establish(url)
            .map_err(|error| StoreError::Unavailable(format!("cannot open {shown}: {error}")))
    };
    let mut connection = match files {
        Some(files) => {
            files.verify()?;
            let connection = establish(&existing(text))?;
            // Nothing is read or written by then: another file that has come there is left as it is.
            files.verify()?;
            connection
        }
        None => {
            make(path)?;
            establish(text)?
        }
    };
    for setting in SETTINGS {
        patiently(|| connection.batch_execute(setting))?;
    }
    time_limit::register(&connection)?;
    if purpose == Purpose::Read {
        connection.batch_execute("PRAGMA query_only = ON")?;
    } else {
        // What is taken away is overwritten in the file, instead of being left on free pages: by whoever
        // forgets, erases or replaces it, so that nobody has to find it again.
        connection.batch_execute("PRAGMA secure_delete = ON")?;
    }
    if purpose == Purpose::Write {
        // 32 MiB: the last pages of many merchants' keys, which every commit writes to.
        connection.batch_execute("PRAGMA cache_size = -32768")?;
    }
    check_version(&mut connection)?;
    check_settings(&mut connection)?;
    if purpose == Purpose::Housekeeping {
        // Its commits do not wait for the disk. Those of others that come after them do, and bring
        // them along.
        connection.batch_execute("PRAGMA synchronous = NORMAL")?;
    }
    Ok(connection)
}

/// The URL of a file that must be there (<https://www.sqlite.org/uri.html>).
fn existing(path: &str) -> String {
    let mut url = String::from("file:");
    for letter in path.chars() {
        match letter {
            '%' => url.push_str("%25"),
            '?' => url.push_str("%3f"),
            '#' => url.push_str("%23"),
            other => url.push(other),
        }
    }
    url.push_str("?mode=rw");
    url
}

/// Makes the file, and its folder, where they are missing and may lie.
fn make(path: &Path) -> Result<(), StoreError> {
    let shown = path.display();
    folder::make_for(path)
        .map_err(|error| StoreError::Unusable(format!("cannot make the folder of {shown}: {error}")))?;
    placement::check(path)?;
    // SQLite would make it readable for all; its -wal and -shm files take over the file's mode.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(StoreError::Unusable(format!("cannot make {shown}: {error}")))
        }
        _ => Ok(()),
    }
}

/// Two that turn a new file to WAL at once would wait for each other, so SQLite tells one of them
/// at once that the file is locked, whatever its time limit: it has to ask again.
fn patiently(mut set: impl FnMut() -> QueryResult<()>) -> QueryResult<()> {
    for _ in 0..LOCKED_TRIES {
        match set() {
            Err(error) if Failure::of(&error) == Failure::Contended => std::thread::sleep(LOCKED_PAUSE),
            other => return other,
        }
    }
    set()
}

/// Writes the write-ahead log into the file and empties it, if nobody is in the way at this moment;
/// whether it did. It waits for nobody, because writers would wait with it.
///
/// # Errors
/// The database's.
pub fn empty_log(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    connection.batch_execute("PRAGMA busy_timeout = 0")?;
    let found = sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result::<Checkpoint>(connection);
    connection.batch_execute(BUSY_TIMEOUT)?;
    match found {
        Ok(found) => Ok(found.busy == 0),
        Err(error) if Failure::of(&error) == Failure::Contended => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// How far the write-ahead log is, in pages.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// How many are in it.
    pub pages: u32,
    /// How many of them are in the file as well. Unless these are all, nobody has synced them there.
    pub copied: u32,
}

/// How far the write-ahead log is; nothing is done. `None` = somebody is changing it at this moment.
///
/// # Errors
/// The database's.
pub fn log(connection: &mut SqliteConnection) -> Result<Option<Log>, StoreError> {
    let found: Checkpoint = sql_query("PRAGMA wal_checkpoint(NOOP)").get_result(connection)?;
    Ok(found.log())
}

/// Copies the log into the file as far as nobody is in the way, and syncs it; the log begins anew with
/// the next transaction if that was all of it. It waits for nobody. How far the log is then; `None` =
/// somebody else was copying it.
///
/// # Errors
/// The database's.
pub fn copy_log(connection: &mut SqliteConnection) -> Result<Option<Log>, StoreError> {
    let found: Checkpoint = sql_query("PRAGMA wal_checkpoint(PASSIVE)").get_result(connection)?;
    Ok(found.log())
}

/// How long the database is, log included, in bytes.
///
/// # Errors
/// The database's.
pub fn size(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    number(connection, "SELECT page_count * page_size AS value FROM pragma_page_count, pragma_page_size")
}

/// How long a page is, in bytes.
///
/// # Errors
/// The database's.
pub fn page_size(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    number(connection, "SELECT page_size AS value FROM pragma_page_size")
}

fn number(connection: &mut SqliteConnection, query: &str) -> Result<u64, StoreError> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = sql_types::BigInt)]
        value: i64,
    }
    let found: Found = sql_query(query).get_result(connection)?;
    Ok(u64::try_from(found.value).unwrap_or(0))
}

/// Writes all that the database holds, log included, to a file that is empty.
///
/// # Errors
/// The database's.
pub fn copy_to(connection: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    let file = file.to_str().ok_or_else(|| StoreError::Unusable("the path is not UTF-8".to_owned()))?;
    sql_query("VACUUM INTO ?").bind::<sql_types::Text, _>(file).execute(connection)?;
    Ok(())
}

/// Whether a transaction that writes could begin now. It waits for nobody.
///
/// # Errors
/// The database's.
pub fn may_write(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    connection.batch_execute("PRAGMA busy_timeout = 0; PRAGMA query_only = OFF")?;
    let begun = connection.batch_execute("BEGIN IMMEDIATE; ROLLBACK");
    connection.batch_execute("PRAGMA query_only = ON")?;
    connection.batch_execute(BUSY_TIMEOUT)?;
    match begun {
        Ok(()) => Ok(true),
        Err(error) if Failure::of(&error) == Failure::Contended => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes a page at the log's end, in the open transaction, so that it is copied into the file once more.
///
/// # Errors
/// The database's.
pub fn write_page(connection: &mut SqliteConnection, number: u32, content: &[u8]) -> QueryResult<()> {
    sql_query("UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?")
        .bind::<sql_types::Binary, _>(content)
        .bind::<sql_types::BigInt, _>(i64::from(number))
        .execute(connection)?;
    Ok(())
}

/// What SQLite says of a checkpoint; -1 where there is no log.
#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = sql_types::Integer)]
    busy: i32,
    #[diesel(sql_type = sql_types::Integer)]
    log: i32,
    #[diesel(sql_type = sql_types::Integer)]
    checkpointed: i32,
}

impl Checkpoint {
    fn log(&self) -> Option<Log> {
        match (u32::try_from(self.log), u32::try_from(self.checkpointed)) {
            (Ok(pages), Ok(copied)) if self.busy == 0 => Some(Log { pages, copied }),
            _ => None,
        }
    }
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = sql_types::Text)]
    version: String,
    #[diesel(sql_type = sql_types::Bool)]
    has_pages: bool,
}

fn check_version(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let Version { version, has_pages } = sql_query(
        "SELECT sqlite_version() AS version, sqlite_compileoption_used('ENABLE_DBPAGE_VTAB') AS has_pages",
    )
    .get_result(connection)?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < VERSION_MIN {
        return Err(StoreError::Unusable(format!(
            "SQLite {version} can lose committed transactions; build with the bundled one (3.51.3 or later)"
        )));
    }
    if !has_pages {
        return Err(StoreError::Unusable(
            "SQLite was compiled without its table of pages; build in the project's folder, whose .cargo/config.toml \
             asks for it"
                .to_owned(),
        ));
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Durability {
    #[diesel(sql_type = sql_types::Text)]
    journal_mode: String,
    #[diesel(sql_type = sql_types::Integer)]
    synchronous: i32,
}

/// A PRAGMA that cannot be obeyed does not fail: it says what holds instead.
pub fn check_settings(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const FULL: i32 = 2;
    let found: Durability =
        sql_query("SELECT journal_mode, synchronous FROM pragma_journal_mode, pragma_synchronous")
            .get_result(connection)?;
    if found.journal_mode != "wal" || found.synchronous != FULL {
        return Err(StoreError::Unusable(format!(
            "SQLite runs with journal_mode = {}, synchronous = {} instead of wal, 2: what it confirms may not be on \
             disk; keep the file on a local file system",
            found.journal_mode, found.synchronous
        )));
    }
    Ok(())
}
