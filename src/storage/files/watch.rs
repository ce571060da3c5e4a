//! The thread that looks at the database's files, and at the room on their disk.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Files;
use crate::storage::disk::Free;
use crate::storage::placement::folder;
use crate::telemetry::FreeBytes;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// What the thread has found last.
#[derive(Debug, Default)]
struct Found {
    files: Option<String>,
    disk: Option<String>,
}

/// The thread, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    files: Arc<Files>,
    found: Arc<Mutex<Found>>,
    thread: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Watch {
    /// Starts it, after a first look.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(files: Arc<Files>, free_min: u64, gauge: FreeBytes) -> std::io::Result<Self> {
        let found = Arc::new(Mutex::new(Found::default()));
        let (stop, stopped) = channel();
        let look = {
            let (files, found) = (files.clone(), found.clone());
            move || look(&files, free_min, &gauge, &found)
        };
        look();
        let thread = std::thread::Builder::new().name("files".to_owned()).spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                look();
            }
        })?;
        Ok(Self { files, found, thread: Mutex::new(Some((stop, thread))) })
    }

    /// Why the database's files are not to be relied on, if so.
    pub fn files(&self) -> Option<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).files.clone()
    }

    /// Why there is too little room, if so.
    pub fn disk(&self) -> Option<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).disk.clone()
    }

    /// Ends it, after the last commit.
    ///
    /// # Errors
    /// As of [`Files::finish`].
    pub fn finish(&self) -> Result<(), String> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = thread {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the thread that looks at the database's files panicked");
            }
        }
        self.files.finish()
    }
}

fn look(files: &Files, free_min: u64, gauge: &FreeBytes, found: &Mutex<Found>) {
    let trouble = files.attend(false).err();
    let free = Free::at(folder(files.database.path()));
    let disk = match free {
        Ok(free) => {
            gauge.set(i64::try_from(free.bytes).unwrap_or(i64::MAX));
            free.complaint(free_min)
        }
        // The folder is gone: that is told of the files.
        Err(_) => None,
    };
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    match (&found.disk, &disk) {
        (None, Some(why)) => {
            tracing::error!(why, "the service is not ready, and goes on as long as there is room")
        }
        (Some(_), None) => tracing::info!("there is room on the database's disk again"),
        _ => {}
    }
    *found = Found { files: trouble, disk };
}
