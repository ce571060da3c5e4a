//! What the writer needs of a store, and what it does when a batch fails.

use std::time::Duration;

use super::quarantine::Locked;
use crate::domain::submission::{Conflict, Submission, SubmissionOutcome};
use crate::storage::StoreError;
use crate::storage::error::Failure;
use crate::storage::submissions::WriteContext;

/// A connection that writes batches, each in one transaction of its own.
pub trait BatchStore: Send + 'static {
    /// Writes a batch and commits it. Outcomes stand in the batch's order.
    ///
    /// # Errors
    /// Nothing of the batch is known to be written. It may be run again: a batch whose commit
    /// succeeded unseen gives the same outcomes again, because the proposed ids are the same.
    fn commit(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure>;

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
    /// A row is locked by somebody else's open transaction: the others must not wait for it.
    Blocked {
        /// Whether it is that of an idempotency key, whose request then still runs.
        by_key: bool,
        /// What the database said.
        why: String,
    },
    /// An event's id is too old for it to be recorded: its caller is told to come back.
    Late(String),
    /// It was committed, but perhaps on this machine alone: run it again, whose COMMIT waits anew.
    Unconfirmed(String),
    /// Every batch would fail (disk full): tell the callers to come back.
    Exhausted(String),
    /// One row's fault: run it again on a new connection, then in halves.
    Refused(String),
    /// Nobody knows whose fault: the same, but who fails alone is told to come back.
    Unknown(String),
}

/// How often a batch is run again after [`BatchFailure::Contended`], [`BatchFailure::Lost`] or
/// [`BatchFailure::Unconfirmed`].
const RETRIES_MAX: u32 = 3;

/// What a batch is written under.
pub struct Attempt<'a> {
    /// When the first transaction is opened. A retry keeps it, so that a batch whose commit
    /// succeeded unseen is answered as it was written.
    pub context: WriteContext,
    /// Whether a blocked batch is halved until what is blocked stands alone; else it is given back
    /// as it is.
    pub halve_blocked: bool,
    /// Waits before a retry.
    pub pause: &'a mut dyn FnMut(Duration),
    /// Whether so much time has gone that what is left must be told to come back: others wait.
    pub expired: &'a dyn Fn() -> bool,
}

/// What became of one submission.
pub type Written = Result<SubmissionOutcome, StoreError>;

/// What it was, and the database's word, if a submission failed because somebody else has locked what
/// it needs.
pub fn locked(written: &Written) -> Option<(Locked, String)> {
    match written {
        Err(StoreError::Failed(Failure::KeyBlocked, why)) => Some((Locked::Key, why.clone())),
        Err(StoreError::Failed(Failure::Blocked, why)) => Some((Locked::Row, why.clone())),
        _ => None,
    }
}

/// Writes a batch by the rules above; outcomes and errors stand in the batch's order. A poison row
/// ends up alone after log n splits and fails alone. The flag says whether the store has a working
/// connection afterwards.
pub fn commit<S: BatchStore>(
    store: &mut S,
    batch: &[Submission],
    attempt: &mut Attempt<'_>,
) -> (Vec<Written>, bool) {
    let (mut written, mut connected) = commit_once(store, batch, attempt, false);
    let after_refused =
        |written: &Written| matches!(written, Ok(SubmissionOutcome::Refused(Conflict::KeyInUse)));
    let (positions, again): (Vec<usize>, Vec<Submission>) = batch
        .iter()
        .zip(&written)
        .enumerate()
        .filter(|(_, (_, written))| after_refused(written))
        .map(|(position, (submission, _))| (position, submission.clone()))
        .unzip();
    // Whoever had their key left nothing under it. They have one more turn, not as many as they are.
    if !again.is_empty() && connected && !(attempt.expired)() {
        let second;
        (second, connected) = commit_once(store, &again, attempt, false);
        for (position, result) in positions.into_iter().zip(second) {
            if let Some(slot) = written.get_mut(position) {
                *slot = result;
            }
        }
    }
    (written, connected)
}

/// Writes a batch, which may have been written unseen already if `uncertain`.
fn commit_once<S: BatchStore>(
    store: &mut S,
    batch: &[Submission],
    attempt: &mut Attempt<'_>,
    mut uncertain: bool,
) -> (Vec<Written>, bool) {
    let (mut failures, mut refusals) = (0, 0);
    loop {
        let failure = match store.commit(batch, &attempt.context) {
            Ok(outcomes) => return (outcomes.into_iter().map(Ok).collect(), true),
            Err(failure) => failure,
        };
        failures += 1;
        tracing::warn!(?failure, submissions = batch.len(), failures, "a batch was not written");
        let give_up = failures > RETRIES_MAX || (attempt.expired)();
        uncertain |= !matches!(
            failure,
            BatchFailure::Contended(_) | BatchFailure::Blocked { .. } | BatchFailure::Late(_)
        );
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
            BatchFailure::Late(ref why) if batch.len() > 1 && !(attempt.expired)() => {
                return halve(store, batch, why, attempt, uncertain);
            }
            BatchFailure::Late(why) => return (all(batch, &StoreError::Unavailable(why)), true),
            // What took so long is over, so it is tried once even if others wait.
            BatchFailure::Unconfirmed(_) if failures == 1 => {}
            BatchFailure::Contended(why) | BatchFailure::Unconfirmed(why) if give_up => {
                return (all(batch, &StoreError::Unavailable(why)), true);
            }
            BatchFailure::Contended(_) | BatchFailure::Unconfirmed(_) => (attempt.pause)(backoff(failures)),
            BatchFailure::Blocked { ref why, .. }
                if attempt.halve_blocked && batch.len() > 1 && !(attempt.expired)() =>
            {
                return halve(store, batch, why, attempt, uncertain);
            }
            // Written at another time it would be answered otherwise than it may have been stored.
            BatchFailure::Blocked { why, .. } if uncertain => {
                return (all(batch, &StoreError::Unavailable(why)), true);
            }
            BatchFailure::Blocked { .. } => return (all(batch, &verdict(failure)), true),
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
                    _ => return halve(store, batch, why, attempt, uncertain),
                }
            }
        }
    }
}

/// What the caller of a submission is told that fails alone.
fn verdict(failure: BatchFailure) -> StoreError {
    match failure {
        BatchFailure::Refused(why) => {
            tracing::error!(why, "the database refuses what the service took: this is a bug");
            StoreError::Refused(why)
        }
        BatchFailure::Blocked { by_key: true, why } => StoreError::Failed(Failure::KeyBlocked, why),
        BatchFailure::Blocked { by_key: false, why } => StoreError::Failed(Failure::Blocked, why),
        BatchFailure::Unknown(why)
        | BatchFailure::Late(why)
        | BatchFailure::Lost(why)
        | BatchFailure::Contended(why)
        | BatchFailure::Unconfirmed(why)
        | BatchFailure::Exhausted(why) => StoreError::Unavailable(why),
    }
}

fn halve<S: BatchStore>(
    store: &mut S,
    batch: &[Submission],
    why: &str,
    attempt: &mut Attempt<'_>,
    uncertain: bool,
) -> (Vec<Written>, bool) {
    let (left, right) = batch.split_at(batch.len() / 2);
    let (mut outcomes, connected) = commit_once(store, left, attempt, uncertain);
    if !connected {
        outcomes.extend(all(right, &StoreError::Unavailable(why.to_owned())));
        return (outcomes, false);
    }
    let (rest, connected) = commit_once(store, right, attempt, uncertain);
    outcomes.extend(rest);
    (outcomes, connected)
}

fn all(batch: &[Submission], error: &StoreError) -> Vec<Written> {
    batch.iter().map(|_| Err(error.clone())).collect()
}

fn backoff(retries: u32) -> Duration {
    Duration::from_millis(10 << retries.min(5))
}
