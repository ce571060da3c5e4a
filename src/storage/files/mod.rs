//! The files of SQLite's database while the service runs: the database itself, its log (`-wal`) and the
//! log's index (`-shm`).
//!
//! SQLite goes on writing to files that were removed, moved or replaced, and says that it committed;
//! the next process opens what the names lead to, and finds nothing of it. So the names are compared with
//! the open files before every transaction and after every COMMIT, and every second in between. While they
//! differ nothing is committed, no connection is made, and what was acknowledged is brought to safety
//! (`safety`).

mod held;
mod safety;
mod watch;

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use diesel::SqliteConnection;

use super::backend::Purpose;
use super::error::Failure;
use super::placement::{beside, real_name};
use super::{StoreError, sqlite};

use held::{Change, Held};
use safety::Safety;

pub use watch::Watch;

/// The length of the log's head, and of what stands before each page in it.
const LOG_HEAD: u64 = 32;
const FRAME_HEAD: u64 = 24;

/// How often the log's length is asked for again before it counts as cut: a command beside the service may
/// be emptying it.
const LENGTH_TRIES: u32 = 3;

/// The open files of a database.
pub struct Files {
    /// The name that is configured; it may lead through symbolic links.
    configured: PathBuf,
    database: Held,
    log: Held,
    index: Held,
    /// A connection that stays open as long as the service runs: with the last connection SQLite would
    /// delete the log, and the next one would make another. It also reaches files without a name.
    keeper: Mutex<Option<SqliteConnection>>,
    /// Why no name that comes back can make it good again.
    for_good: OnceLock<String>,
    safety: Mutex<Safety>,
}

/// A file that is not what it was when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trouble {
    part: Part,
    change: Change,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Database,
    Log,
    Index,
}

impl Files {
    /// Opens a database and takes hold of its files. To be called at the service's start alone: the
    /// database is made if need be.
    ///
    /// # Errors
    /// The database's, and those of [`super::placement::check`].
    pub fn open(configured: &Path) -> Result<Self, StoreError> {
        let keeper = sqlite::connect(configured, Purpose::Housekeeping, None)?;
        let hold = |suffix| Held::take(beside(&real_name(configured)?, suffix));
        let unusable = |error: std::io::Error| {
            StoreError::Unusable(format!("cannot look at the files of {}: {error}", configured.display()))
        };
        let files = Self {
            configured: configured.to_owned(),
            database: hold("").map_err(unusable)?,
            log: hold("-wal").map_err(unusable)?,
            index: hold("-shm").map_err(unusable)?,
            keeper: Mutex::new(Some(keeper)),
            for_good: OnceLock::new(),
            safety: Mutex::default(),
        };
        files.verify()?;
        Ok(files)
    }

    /// Whether the names still lead to the files that are open.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: whatever was committed since the last time may be lost.
    pub fn verify(&self) -> Result<(), StoreError> {
        self.state().map_err(StoreError::Unavailable)
    }

    fn state(&self) -> Result<(), String> {
        match self.for_good.get() {
            Some(why) => Err(why.clone()),
            None => self.look().map_err(|trouble| self.told(trouble)),
        }
    }

    fn look(&self) -> Result<(), Trouble> {
        let of = |part| move |change| Trouble { part, change };
        let database = self.database.look().map_err(of(Part::Database))?;
        if database.nlink() > 1 {
            return Err(Trouble { part: Part::Database, change: Change::Linked });
        }
        if self.configured != self.database.path() {
            let through_links = std::fs::metadata(&self.configured);
            let leads_there = through_links.is_ok_and(|found| self.database.is(&found));
            leads_there.then_some(()).ok_or(Trouble { part: Part::Database, change: Change::Replaced })?;
        }
        let log = self.log.look().map_err(of(Part::Log))?;
        self.index.look().map_err(of(Part::Index))?;
        let part = if !self.is_database_whole(database.len()) {
            Part::Database
        } else if !self.is_log_whole(log.len()) {
            Part::Log
        } else {
            return Ok(());
        };
        let trouble = Trouble { part, change: Change::Cut };
        // What is written behind the gap would hide it.
        let _ = self.for_good.set(self.told(trouble));
        Err(trouble)
    }

    /// The file shrinks by VACUUM alone, to the size that SQLite then tells, less what was added since and stands
    /// in the log only. Where SQLite itself tells of no smaller size, nothing may be missing.
    fn is_database_whole(&self, length: u64) -> bool {
        let known = self.database.known_length();
        is_whole(&self.database, length, || {
            self.ask(|keeper| {
                let size = sqlite::size(keeper)?;
                if size >= known {
                    return Ok(Some(size));
                }
                let Some(log) = sqlite::log(keeper)? else { return Ok(None) };
                let in_the_log = u64::from(log.pages.saturating_sub(log.copied));
                Ok(Some(size.saturating_sub(in_the_log.saturating_mul(sqlite::page_size(keeper)?))))
            })
        })
    }

    /// The log shrinks when it is emptied, and then holds all pages that its index tells of.
    fn is_log_whole(&self, length: u64) -> bool {
        is_whole(&self.log, length, || {
            self.ask(|keeper| {
                let Some(log) = sqlite::log(keeper)? else { return Ok(None) };
                let page = sqlite::page_size(keeper)?;
                let pages = u64::from(log.pages).saturating_mul(page.saturating_add(FRAME_HEAD));
                Ok(Some(if log.pages == 0 { 0 } else { pages.saturating_add(LOG_HEAD) }))
            })
        })
    }

    /// How long a file has to be; `None` = SQLite cannot tell at this moment. What it cannot read is too short.
    fn ask(
        &self,
        question: impl FnOnce(&mut SqliteConnection) -> Result<Option<u64>, StoreError>,
    ) -> Option<u64> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        match keeper.as_mut().map(question)? {
            Ok(length) => length,
            Err(StoreError::Failed(Failure::Contended, _)) => None,
            Err(_) => Some(u64::MAX),
        }
    }

    fn part(&self, part: Part) -> &Held {
        match part {
            Part::Database => &self.database,
            Part::Log => &self.log,
            Part::Index => &self.index,
        }
    }

    /// What is wrong, in words.
    fn told(&self, trouble: Trouble) -> String {
        let file = self.part(trouble.part);
        let shown = file.path().display();
        match trouble.change {
            Change::Gone if file.is_removed() => format!("{shown} was removed while it was in use"),
            Change::Gone => match file.place() {
                Some(place) => format!("{shown} was moved while it was in use, to {}", place.display()),
                None => format!("{shown} cannot be found any more"),
            },
            Change::Replaced => format!("{shown} was replaced by another file while it was in use"),
            Change::Linked => format!("{shown} was given another name (a hard link) while it was in use"),
            Change::Cut => format!("{shown} was cut short while it was in use"),
        }
    }
}

/// Whether a file is as long as it was, or at least as long as SQLite needs it to be. Another thread may
/// have seen it grow since, and where SQLite cannot tell at this moment the next look will.
fn is_whole(file: &Held, length: u64, needed: impl Fn() -> Option<u64>) -> bool {
    if length >= file.known_length() {
        file.remember_length(length);
        return true;
    }
    for _ in 0..LENGTH_TRIES {
        let needed = needed();
        let Ok(found) = file.look() else { return true };
        if found.len() >= file.known_length() {
            return true;
        }
        match needed {
            None => return true,
            Some(needed) if found.len() >= needed => {
                file.remember_length(found.len());
                return true;
            }
            Some(_) => {}
        }
    }
    false
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("database", &self.database.path()).finish_non_exhaustive()
    }
}
