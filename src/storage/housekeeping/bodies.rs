//! Forgetting raw bodies and addresses, a stretch of a walk at a time.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::Retention;
use super::worker::Store;
use crate::storage::retention::{self, Age, Walk};
use crate::storage::{StoreError, attempts};

/// Walks looked at in one go: most have come to their end.
const WALKS: usize = 100;

/// What is left to walk; nothing, by default.
#[derive(Default)]
pub struct Bodies {
    walks: VecDeque<Walk>,
    age: Option<Age>,
}

impl Bodies {
    /// Looks whose there may be.
    pub fn begin(store: &mut Store, retention: &Retention, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let Some(kept) = retention.bodies else { return Ok(Self::default()) };
        let mut merchants = store.read(attempts::merchants)?;
        merchants.push(String::new());
        // Lines that are deleted sooner need no walk.
        let of_attempts = kept < retention.attempts;
        let walks = merchants.iter().flat_map(|merchant| Walk::all_of(merchant, of_attempts)).collect();
        Ok(Self { walks, age: Some(Age { now, before: now - kept }) })
    }

    /// Whether there is nothing left to do.
    pub fn is_done(&self) -> bool {
        self.walks.is_empty()
    }

    /// Does one transaction of it, at most.
    pub fn step(&mut self, store: &mut Store) -> Result<(), StoreError> {
        let Some(age) = self.age else { return Ok(()) };
        let walks = &mut self.walks;
        let found = store.read(|connection| {
            for _ in 0..WALKS {
                let Some(walk) = walks.front() else { break };
                match retention::look(connection, walk, &age)? {
                    None => walks.pop_front(),
                    stretch => return Ok(stretch),
                };
            }
            Ok(None)
        })?;
        if let Some(stretch) = found
            && let Some(walk) = self.walks.front()
            && !store.write(|connection| retention::strip(connection, walk, &stretch, &age))?
        {
            self.walks.pop_front();
        }
        Ok(())
    }
}
