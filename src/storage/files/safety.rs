//! What is done for acknowledged events when the names of the database's files lead elsewhere: the log is
//! copied into the open file, and a file that has no name, or whose place is empty, is written anew.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use diesel::SqliteConnection;

use super::held::Change;
use super::{Files, Part, Trouble};
use crate::storage::folder::make_for;
use crate::storage::placement::{beside, folder};
use crate::storage::sqlite;

/// How many rescued copies may lie beside each other.
const COPIES_MAX: u32 = 100;

/// After a copy has failed, as on a full disk, so many looks go by before the next try.
const PAUSE: u32 = 30;

/// How far it has come.
#[derive(Debug, Default)]
pub struct Safety {
    /// What was told last.
    told: Option<String>,
    /// Whether all of the log is in the open file.
    emptied: bool,
    /// Whether there is a copy.
    copied: bool,
    /// How many looks are to go by.
    pause: u32,
}

impl Files {
    /// Looks at the files, tells what has changed, and brings to safety what can be. `is_last` = the
    /// process is about to end: a file that was moved is not waited for any longer.
    ///
    /// # Errors
    /// The names do not lead to the open files.
    pub fn attend(&self, is_last: bool) -> std::result::Result<(), String> {
        let found = self.look();
        let state = match self.for_good.get() {
            Some(why) => Err(why.clone()),
            None => found.map_err(|trouble| self.told(trouble)),
        };
        let mut safety = self.safety.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.as_ref().err() != safety.told.as_ref();
        safety.told = state.as_ref().err().cloned();
        match &state {
            Err(why) if is_new => tracing::error!(
                why,
                process = std::process::id(),
                "callbacks are answered 503: end nothing and remove nothing before what was acknowledged is safe"
            ),
            Ok(()) if is_new => tracing::warn!("the database's files are in their places again"),
            _ => {}
        }
        if let Err(trouble) = found
            && !(safety.emptied && safety.copied)
        {
            self.bring_to_safety(trouble, !is_new || is_last, &mut safety);
        }
        state
    }

    fn bring_to_safety(&self, trouble: Trouble, is_lasting: bool, safety: &mut Safety) {
        // A log that was cut must not go into the file; without its index others cannot be kept out.
        let can_copy_log = trouble.change != Change::Cut && trouble.part != Part::Index;
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keeper) = keeper.as_mut().filter(|_| can_copy_log && trouble.change != Change::Linked)
        else {
            return;
        };
        if !safety.emptied {
            safety.emptied = sqlite::empty_log(keeper).unwrap_or(false);
            if safety.emptied {
                tracing::warn!("everything acknowledged is in the database's open file");
            }
        }
        let is_removed = self.database.is_removed();
        // What is moved may be on its way back. Else the next start would begin an empty database.
        let is_missed = trouble == Trouble { part: Part::Database, change: Change::Gone } && is_lasting;
        let wants_copy = is_removed || is_missed;
        if !wants_copy || safety.copied || !waited(&mut safety.pause) {
            return;
        }
        match self.copy(keeper) {
            Ok(copy) => {
                safety.copied = true;
                let place = copy.display().to_string();
                let _ = self.for_good.set(format!(
                    "{}: everything acknowledged until then is in {place}; restart the service on it",
                    self.told(trouble)
                ));
                tracing::error!(place, "everything acknowledged was written anew: restart the service on it");
            }
            Err(error) => {
                safety.pause = PAUSE;
                tracing::error!(
                    %error,
                    open_file = self.database.place().map(|place| place.display().to_string()),
                    process = std::process::id(),
                    is_removed,
                    "what was acknowledged could not be written anew: make room. What was removed is lost when this \
                     process ends; until then /proc/PROCESS/fd has it"
                );
            }
        }
    }

    /// Writes all that the open files hold to a file of its own, at the database's place if that is free.
    fn copy(&self, keeper: &mut SqliteConnection) -> Result<PathBuf> {
        let database = self.database.path();
        let partial = beside(database, ".copying");
        make_for(database)?;
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // SQLite would make it readable for all.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        let placed = sqlite::copy_to(keeper, &partial)
            .map_err(|error| Error::other(error.to_string()))
            .and_then(|()| file.sync_all())
            .and_then(|()| self.place(&partial));
        if placed.is_err() {
            let _ = std::fs::remove_file(&partial);
        }
        placed
    }

    fn place(&self, partial: &Path) -> Result<PathBuf> {
        let database = self.database.path();
        let placed = match database.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound && self.has_room_for_log()? => {
                rename_to_new(partial, database)
            }
            _ => Err(ErrorKind::AlreadyExists.into()),
        };
        let place = match placed {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => rename_beside(partial, database)?,
            placed => placed.map(|()| database.to_owned())?,
        };
        File::open(folder(database))?.sync_all()?;
        Ok(place)
    }

    /// Takes the log and its index away from beside the database's place: they belong to the file that was
    /// there, not to the copy. False = another log is there.
    fn has_room_for_log(&self) -> Result<bool> {
        for file in [&self.log, &self.index] {
            match file.look() {
                Ok(_) => std::fs::remove_file(file.path())?,
                Err(Change::Gone) => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// At the service's end, after the last commit: whether everything acknowledged lies where the next
    /// start looks for it.
    ///
    /// # Errors
    /// Where it lies else, or that it is lost.
    pub fn finish(&self) -> std::result::Result<(), String> {
        let state = self.attend(true);
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if state.is_err() {
            // As long as it is open no other connection of this process is the last one, which would copy the
            // log and delete what lies under its name by now.
            std::mem::forget(keeper);
        }
        state
    }
}

fn waited(pause: &mut u32) -> bool {
    let over = *pause == 0;
    *pause = pause.saturating_sub(1);
    over
}

/// Gives a file a name that no other file has: a rename would take the other one's place.
fn rename_to_new(from: &Path, to: &Path) -> Result<()> {
    std::fs::hard_link(from, to)?;
    std::fs::remove_file(from)
}

fn rename_beside(from: &Path, database: &Path) -> Result<PathBuf> {
    for number in 1..=COPIES_MAX {
        let place = beside(database, &format!(".rescued-{number}"));
        match rename_to_new(from, &place) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| place),
        }
    }
    Err(Error::other(format!("there are {COPIES_MAX} rescued copies already")))
}
