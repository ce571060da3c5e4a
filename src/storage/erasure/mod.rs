//! Erasing an order's personal data (contract section 12): what was sent and every copy of it go; ids,
//! amounts, instants and counts stay, so that a repeat is still recognised.
//!
//! It works beside running services. First it reads what there is, in short looks along the primary
//! keys; then it changes one row, or one request's lines of the journal, per transaction. Whoever holds
//! one lock at a time cannot be part of a deadlock, and no batch of a writer waits longer for it than
//! for another writer.
//!
//! Why a writer cannot bring back what is erased:
//!
//! - A repeat's upsert and the erasure lock the same row, so one comes after the other. The upsert only
//!   counts: no statement of a writer sets `body`, `metadata`, `reason` or a line's `peer`,
//!   `body_sha256` and `request_id` in a row that is there, neither does a batch that is run again after
//!   a lost answer to its COMMIT. A batch reads the original after it has locked it, so it judges the
//!   repeat by the row as it was left, erased or not.
//! - A claim of an idempotency key and its deletion lock the same row, too. If the claim is first, the
//!   stored answer is replayed once more, which was its right at that moment, and then deleted. If the
//!   deletion is first, the claim inserts a new row: the request runs, and is the DUPLICATE that its
//!   event's identity makes it. A key that another request has taken over meanwhile has another
//!   `claimed_by` and stays.
//! - What commits after the look for it, as a batch in flight does, counts as having come after the
//!   erasure: of a known event it stores no body, but a line in the journal and its key as any late
//!   repeat does. Erasing again takes these.
//!
//! It can be broken off anywhere and run again: what leads from the order to its copies is changed last.

mod find;
mod remove;
mod requests;

use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::checkpoints::Checkpoints;
use super::error::Failure;
use super::{AnyConnection, StoreError, sqlite};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;

/// How often a transaction is tried that finds its row locked, and how long after the last time.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// What is to be erased.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Whose.
    pub merchant: MerchantId,
    /// Of live keys, of test keys, or both.
    pub modes: &'a [Mode],
    /// The merchant's id of it.
    pub order: &'a str,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The order's events, erased before or now.
    pub events_known: usize,
    /// Of them erased now.
    pub events: usize,
    /// The reports of the order's state, erased before or now.
    pub statuses_known: usize,
    /// Of them erased now.
    pub statuses: usize,
    /// Lines of the journal that lost address, request id and digest now.
    pub attempts: usize,
    /// Idempotency keys that were deleted with their stored answers now.
    pub keys: usize,
    /// Whether SQLite's write-ahead log could not be emptied, because services were busy with it: until it
    /// is written over it still holds what was erased.
    pub log_left: bool,
}

impl Receipt {
    /// Whether there was nothing left to do.
    pub const fn is_empty(&self) -> bool {
        self.events == 0 && self.statuses == 0 && self.attempts == 0 && self.keys == 0
    }
}

/// Erases an order, and empties the database's log, if it has one, of it. `None` = nothing is known of it, so
/// nothing was done.
///
/// It takes as long as it takes to go through the merchant's idempotency keys, and through its journal
/// since the order's first event: no index leads from an order to its accepted attempts.
///
/// # Errors
/// When the database fails, or somebody does not let go of a row: then it is to be run again.
pub fn erase(
    connection: &mut AnyConnection,
    log: Option<Checkpoints>,
    order: &Order<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Receipt>, StoreError> {
    let found = connection.read(|c| find::recorded(c, order))?;
    let mut requests = requests::Requests::of(order, &found);
    requests.add_refused(connection, order)?;
    if found.is_empty() && requests.is_empty() {
        return Ok(None);
    }
    let keys = requests.add_by_keys(connection, order)?;
    requests.add_by_journal(connection, order, found.oldest(), now)?;

    let mut receipt = Receipt {
        events_known: found.events.len(),
        statuses_known: found.statuses.len(),
        ..Receipt::default()
    };
    for event in &found.events {
        receipt.events += patiently(connection, |c| remove::event(c, order, event, now))?;
    }
    for status in &found.statuses {
        receipt.statuses += patiently(connection, |c| remove::status(c, order, status, now))?;
    }
    for (owner, attempt) in requests.in_order() {
        receipt.attempts += patiently(connection, |c| remove::lines(c, owner, attempt))?;
    }
    for key in &keys {
        receipt.keys += patiently(connection, |c| remove::key(c, order, key))?;
    }
    if let Some(log) = log {
        receipt.log_left = !is_emptied(log, connection)?;
    }
    Ok(Some(receipt))
}

/// Empties the log at a moment at which nobody reads or writes, if there is one before long.
fn is_emptied(mut log: Checkpoints, connection: &mut AnyConnection) -> Result<bool, StoreError> {
    for _ in 1..TRIES {
        if empty(&mut log, connection)? {
            return Ok(true);
        }
        thread::sleep(PAUSE);
    }
    empty(&mut log, connection)
}

/// Tries it once. A service that was killed, or is in trouble, may have left the log in doubt: it is brought
/// in order before, or stays.
fn empty(log: &mut Checkpoints, connection: &mut AnyConnection) -> Result<bool, StoreError> {
    match log.proceed(connection) {
        Err(StoreError::Failed(Failure::Contended, _)) => return Ok(false),
        settled => settled?,
    }
    match connection {
        AnyConnection::Sqlite(connection) => sqlite::empty_log(connection),
        AnyConnection::Postgres(_) => Ok(true),
    }
}

/// Runs a transaction, again if somebody else was in the way.
fn patiently(
    connection: &mut AnyConnection,
    work: impl Fn(&mut AnyConnection) -> Result<usize, StoreError>,
) -> Result<usize, StoreError> {
    for _ in 1..TRIES {
        match connection.write(&work) {
            Err(StoreError::Failed(Failure::Blocked | Failure::Contended | Failure::Unknown, why)) => {
                tracing::debug!(why, "somebody was in the way");
                thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
    connection.write(&work)
}
