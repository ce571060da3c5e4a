//! What the writer needs of a store, and what it does when a batch fails.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::event::{Outcome, Recording};
use crate::storage::StoreError;

/// A connection that writes batches, each in one transaction of its own.
pub trait BatchStore: Send + 'static {
    /// Writes a batch and commits it. Outcomes stand in the batch's order.
    ///
    /// # Errors
    /// Nothing of the batch is known to be written. It may be run again: a batch whose commit
    /// succeeded unseen gives the same outcomes again, because the proposed ids are the same.
    fn commit(
        &mut self,
        batch: &[Recording],
        received_at: DateTime<Utc>,
    ) -> Result<Vec<Outcome>, BatchFailure>;

    /// Replaces the connection by a new one.
    ///
    /// # Errors
    /// The database is away.
    fn reconnect(&mut self) -> Result<(), StoreError>;
}

/// A batch that was not written, by what is to be done next. Texts are for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchFailure {
    /// The connection is gone: reconnect and run it again.
    Lost(String),
    /// Somebody else was in the way: run it again.
    Contended(String),
    /// A row is locked by somebody else: run it again in halves, so that the others need not wait.
    Blocked(String),
    /// Every batch would fail (disk full): tell the callers to come back.
    Exhausted(String),
    /// One row's fault: run it again on a new connection, then in halves.
    Refused(String),
    /// Nobody knows whose fault: the same, but who fails alone is told to come back.
    Unknown(String),
}

/// How often a batch is run again after [`BatchFailure::Contended`] or [`BatchFailure::Lost`].
const RETRIES_MAX: u32 = 3;

/// What a batch is written under.
pub struct Attempt<'a> {
    /// When the first transaction is opened. A retry keeps it, so that a batch whose commit
    /// succeeded unseen is answered as it was written.
    pub received_at: DateTime<Utc>,
    /// Waits before a retry.
    pub pause: &'a mut dyn FnMut(Duration),
    /// Whether so much time has gone that what is left must be told to come back: others wait.
    pub expired: &'a dyn Fn() -> bool,
}

/// Writes a batch by the rules above; outcomes and errors stand in the batch's order. A poison row
/// ends up alone after log n splits and fails alone. The flag says whether the store has a working
/// connection afterwards.
pub fn commit<S: BatchStore>(
    store: &mut S,
    batch: &[Recording],
    attempt: &mut Attempt<'_>,
) -> (Vec<Result<Outcome, StoreError>>, bool) {
    let (mut failures, mut refusals) = (0, 0);
    loop {
        let failure = match store.commit(batch, attempt.received_at) {
            Ok(outcomes) => return (outcomes.into_iter().map(Ok).collect(), true),
            Err(failure) => failure,
        };
        failures += 1;
        tracing::warn!(?failure, events = batch.len(), failures, "a batch was not written");
        let give_up = failures > RETRIES_MAX || (attempt.expired)();
        match failure {
            BatchFailure::Lost(why) => {
                if give_up || store.reconnect().is_err() {
                    return (all(batch, &StoreError::Unavailable(why)), false);
                }
            }
            BatchFailure::Exhausted(why) => {
                // After a failed write or fsync the connection's state is not to be trusted.
                let connected = store.reconnect().is_ok();
                return (all(batch, &StoreError::Unavailable(why)), connected);
            }
            BatchFailure::Contended(why) if give_up => {
                return (all(batch, &StoreError::Unavailable(why)), true);
            }
            BatchFailure::Contended(_) => (attempt.pause)(backoff(failures)),
            BatchFailure::Blocked(why) if give_up || batch.len() == 1 => {
                return (all(batch, &StoreError::Unavailable(why)), true);
            }
            BatchFailure::Blocked(why) => return halve(store, batch, &why, attempt),
            BatchFailure::Refused(why) | BatchFailure::Unknown(why) if (attempt.expired)() => {
                return (all(batch, &StoreError::Unavailable(why)), true);
            }
            BatchFailure::Refused(ref why) | BatchFailure::Unknown(ref why) => {
                refusals += 1;
                if store.reconnect().is_err() {
                    return (all(batch, &StoreError::Unavailable(why.clone())), false);
                }
                match (refusals, batch.len()) {
                    (1, _) => {}
                    (_, 1) => return (vec![Err(verdict(failure))], true),
                    _ => return halve(store, batch, why, attempt),
                }
            }
        }
    }
}

/// What the caller of an event is told that fails alone.
fn verdict(failure: BatchFailure) -> StoreError {
    match failure {
        BatchFailure::Refused(why) => {
            tracing::error!(why, "the database refuses an event that the service took: this is a bug");
            StoreError::Refused(why)
        }
        BatchFailure::Unknown(why)
        | BatchFailure::Lost(why)
        | BatchFailure::Contended(why)
        | BatchFailure::Blocked(why)
        | BatchFailure::Exhausted(why) => StoreError::Unavailable(why),
    }
}

fn halve<S: BatchStore>(
    store: &mut S,
    batch: &[Recording],
    why: &str,
    attempt: &mut Attempt<'_>,
) -> (Vec<Result<Outcome, StoreError>>, bool) {
    let (left, right) = batch.split_at(batch.len() / 2);
    let (mut outcomes, connected) = commit(store, left, attempt);
    if !connected {
        outcomes.extend(all(right, &StoreError::Unavailable(why.to_owned())));
        return (outcomes, false);
    }
    let (rest, connected) = commit(store, right, attempt);
    outcomes.extend(rest);
    (outcomes, connected)
}

fn all(batch: &[Recording], error: &StoreError) -> Vec<Result<Outcome, StoreError>> {
    batch.iter().map(|_| Err(error.clone())).collect()
}

fn backoff(retries: u32) -> Duration {
    Duration::from_millis(10 << retries.min(5))
}
