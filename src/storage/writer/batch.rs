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
    /// Perhaps one row's fault: run it again on a new connection, then in halves.
    Refused(String),
}

/// How often a batch is run again after [`BatchFailure::Contended`] or [`BatchFailure::Lost`].
const RETRIES_MAX: u32 = 3;

/// Writes a batch by the rules above; outcomes and errors stand in the batch's order.
///
/// `received_at` is when the first transaction is opened; a retry keeps it, so that a batch whose
/// commit succeeded unseen is answered as it was written. `pause` waits before a retry. A poison row ends up alone after log n splits and fails alone.
/// The flag says whether the store has a working connection afterwards.
pub fn commit<S: BatchStore>(
    store: &mut S,
    batch: &[Recording],
    received_at: DateTime<Utc>,
    pause: &mut dyn FnMut(Duration),
) -> (Vec<Result<Outcome, StoreError>>, bool) {
    let mut retries = 0;
    loop {
        let failure = match store.commit(batch, received_at) {
            Ok(outcomes) => return (outcomes.into_iter().map(Ok).collect(), true),
            Err(failure) => failure,
        };
        retries += 1;
        tracing::warn!(?failure, events = batch.len(), retries, "a batch was not written");
        match failure {
            BatchFailure::Contended(_) if retries <= RETRIES_MAX => pause(backoff(retries)),
            BatchFailure::Contended(why) => return (all(batch, &StoreError::Unavailable(why)), true),
            BatchFailure::Lost(why) => {
                if retries > RETRIES_MAX || store.reconnect().is_err() {
                    return (all(batch, &StoreError::Unavailable(why)), false);
                }
            }
            BatchFailure::Blocked(why) if batch.len() == 1 => {
                return (all(batch, &StoreError::Unavailable(why)), true);
            }
            BatchFailure::Blocked(why) => return halve(store, batch, received_at, &why, pause),
            BatchFailure::Exhausted(why) => {
                // After a failed write or fsync the connection's state is not to be trusted.
                let connected = store.reconnect().is_ok();
                return (all(batch, &StoreError::Unavailable(why)), connected);
            }
            BatchFailure::Refused(why) => {
                if store.reconnect().is_err() {
                    return (all(batch, &StoreError::Unavailable(why)), false);
                }
                if retries > 1 && batch.len() == 1 {
                    tracing::error!(
                        why,
                        "the database refuses an event that the service took: this is a bug"
                    );
                    return (all(batch, &StoreError::Refused(why)), true);
                }
                if retries > 1 {
                    return halve(store, batch, received_at, &why, pause);
                }
            }
        }
    }
}

fn halve<S: BatchStore>(
    store: &mut S,
    batch: &[Recording],
    received_at: DateTime<Utc>,
    why: &str,
    pause: &mut dyn FnMut(Duration),
) -> (Vec<Result<Outcome, StoreError>>, bool) {
    let (left, right) = batch.split_at(batch.len() / 2);
    let (mut outcomes, connected) = commit(store, left, received_at, pause);
    if !connected {
        outcomes.extend(all(right, &StoreError::Unavailable(why.to_owned())));
        return (outcomes, false);
    }
    let (rest, connected) = commit(store, right, received_at, pause);
    outcomes.extend(rest);
    (outcomes, connected)
}

fn all(batch: &[Recording], error: &StoreError) -> Vec<Result<Outcome, StoreError>> {
    batch.iter().map(|_| Err(error.clone())).collect()
}

fn backoff(retries: u32) -> Duration {
    Duration::from_millis(10 << retries.min(5))
}
