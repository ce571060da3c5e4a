//! What is on the disk, and who has locked what: the database as the writer knows it.
//!
//! It keeps what the writer's policy builds upon: a transaction is applied whole or not at all, an
//! event's identity and an idempotency key exist once, and what one transaction has touched another
//! one has to wait for.

use std::collections::BTreeMap;
use std::time::Duration;

use conversiond::domain::event::{Outcome, Recorded, Recording};
use conversiond::domain::fingerprint::Fingerprint;
use conversiond::domain::ids::{AttemptId, EventId, MerchantId};
use conversiond::domain::submission::{
    Conflict, Content, ContentOutcome, Entry, EntryOutcome, RowOutcome, StoredAnswer, Submission,
    SubmissionOutcome,
};
use conversiond::storage::submissions::WriteContext;

/// An event's identity: here all are sales.
pub type Identity = (MerchantId, String);

/// An idempotency key and its owner.
pub type Key = (MerchantId, String);

/// What can be locked. Keys are locked before rows, each in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    Key(Key),
    Row(Identity),
}

/// An event on the disk.
#[derive(Clone)]
pub struct EventRow {
    pub recorded: Recorded,
    /// The request that brought it.
    pub attempt: AttemptId,
}

/// A key on the disk.
#[derive(Clone)]
pub struct KeyRow {
    pub claim: String,
    pub fingerprint: Fingerprint,
    pub answer: StoredAnswer,
}

/// What a transaction writes.
#[derive(Default, Clone)]
pub struct Changes {
    events: BTreeMap<Identity, EventRow>,
    keys: BTreeMap<Key, KeyRow>,
}

/// A transaction whose client is gone, or that is somebody else's: it holds its locks until its end.
struct Orphan {
    owner: u64,
    ends_at: Duration,
    changes: Option<Changes>,
}

/// The database.
#[derive(Default)]
pub struct Disk {
    events: BTreeMap<Identity, EventRow>,
    keys: BTreeMap<Key, KeyRow>,
    locks: BTreeMap<Lock, u64>,
    orphans: Vec<Orphan>,
    owners: u64,
}

impl Disk {
    /// A name for a transaction that locks.
    pub fn owner(&mut self) -> u64 {
        self.owners += 1;
        self.owners
    }

    pub fn event(&self, identity: &Identity) -> Option<&EventRow> {
        self.events.get(identity)
    }

    pub fn key(&self, key: &Key) -> Option<&KeyRow> {
        self.keys.get(key)
    }

    /// How many events there are, and how many ids they have.
    pub fn counts(&self) -> (usize, usize) {
        let ids: std::collections::BTreeSet<EventId> =
            self.events.values().map(|row| row.recorded.event_id).collect();
        (self.events.len(), ids.len())
    }

    /// Locks for a transaction, if nobody else has it.
    pub fn try_lock(&mut self, lock: &Lock, owner: u64) -> bool {
        *self.locks.entry(lock.clone()).or_insert(owner) == owner
    }

    pub fn release(&mut self, owner: u64) {
        self.locks.retain(|_, holder| *holder != owner);
    }

    /// Whether anybody holds anything.
    pub fn is_locked(&self) -> bool {
        !self.locks.is_empty()
    }

    /// COMMIT.
    pub fn apply(&mut self, changes: Changes, owner: u64) {
        self.events.extend(changes.events);
        self.keys.extend(changes.keys);
        self.release(owner);
    }

    /// Leaves a transaction to itself: at its end it is applied or rolled back.
    pub fn orphan(&mut self, owner: u64, ends_at: Duration, changes: Option<Changes>) {
        self.orphans.push(Orphan { owner, ends_at, changes });
    }

    /// Whether this transaction was left to itself.
    pub fn is_orphan(&self, owner: u64) -> bool {
        self.orphans.iter().any(|orphan| orphan.owner == owner)
    }

    /// When the next of them ends.
    pub fn next_end(&self) -> Option<Duration> {
        self.orphans.iter().map(|orphan| orphan.ends_at).min()
    }

    /// Ends those whose time has come.
    pub fn end_orphans(&mut self, now: Duration) {
        let (due, rest) =
            std::mem::take(&mut self.orphans).into_iter().partition(|orphan| orphan.ends_at <= now);
        self.orphans = rest;
        let due: Vec<Orphan> = due;
        for orphan in due {
            self.apply(orphan.changes.unwrap_or_default(), orphan.owner);
        }
    }

    /// The transaction's work, under its locks: outcomes in the batch's order, and what it would write.
    pub fn evaluate(
        &self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> (Vec<SubmissionOutcome>, Changes) {
        let mut changes = Changes::default();
        let outcomes = batch.iter().map(|one| self.outcome(one, context, &mut changes)).collect();
        (outcomes, changes)
    }

    fn outcome(
        &self,
        submission: &Submission,
        context: &WriteContext,
        changes: &mut Changes,
    ) -> SubmissionOutcome {
        let claim = submission.claim.as_ref();
        let key = claim.map(|claim| (submission.merchant, claim.key.as_str().to_owned()));
        if let Some((claim, key)) = claim.zip(key.as_ref())
            && let Some(row) = changes.keys.get(key).or_else(|| self.keys.get(key))
            && row.claim != claim.id
        {
            return match row.fingerprint == claim.fingerprint {
                true => SubmissionOutcome::Replayed(row.answer.clone()),
                false => SubmissionOutcome::Refused(Conflict::KeyMismatch),
            };
        }
        let (content, answer) = match submission.content.as_ref() {
            Content::One(entry) => {
                let outcome = self.entry_outcome(entry, context, changes);
                let answer = submission.render.entry(entry, &outcome);
                (ContentOutcome::One(outcome), answer)
            }
            Content::Bulk(rows) => {
                let entries = rows.iter().map(|row| row.entry().expect("here every row goes on"));
                let outcomes: Vec<RowOutcome> = entries
                    .map(|entry| RowOutcome::Done(self.entry_outcome(entry, context, changes)))
                    .collect();
                let answer = submission.render.bulk("r", rows, &outcomes);
                (ContentOutcome::Bulk(outcomes), Some(answer))
            }
            Content::Click(_) => panic!("nobody clicks here"),
        };
        if let Some(((claim, key), answer)) = claim.zip(key).zip(answer.clone()) {
            let row = KeyRow { claim: claim.id.clone(), fingerprint: claim.fingerprint, answer };
            changes.keys.insert(key, row);
        }
        SubmissionOutcome::Done(content, claim.and(answer))
    }

    fn entry_outcome(&self, entry: &Entry, context: &WriteContext, changes: &mut Changes) -> EntryOutcome {
        let recording = entry.event.as_ref().expect("here every entry is an event");
        let identity = identity(recording);
        let known = changes.events.get(&identity).or_else(|| self.events.get(&identity));
        let proposed = Recorded::new(recording, context.received_at);
        let event = match known {
            Some(row) if row.recorded.event_id != recording.event_id => {
                Outcome::Duplicate { original: row.recorded.clone(), differs: Vec::new() }
            }
            // Its own, written unseen: the real store answers what it proposed, too.
            Some(_) => Outcome::Accepted(proposed),
            None => {
                let row = EventRow { recorded: proposed.clone(), attempt: recording.attempt_id };
                changes.events.insert(identity, row);
                Outcome::Accepted(proposed)
            }
        };
        EntryOutcome { event: Some(event), status: None }
    }
}

/// What makes it the same event as another.
pub fn identity(recording: &Recording) -> Identity {
    (recording.merchant.id, recording.identity().order.to_owned())
}

/// All that a batch locks, in the order in which it does.
pub fn locks_of(batch: &[Submission]) -> Vec<Lock> {
    let keys = batch
        .iter()
        .flat_map(|one| one.claims().map(|claim| Lock::Key((one.merchant, claim.key.as_str().to_owned()))));
    let events = batch.iter().flat_map(Submission::entries).flat_map(Entry::events);
    let mut locks: Vec<Lock> = keys.chain(events.map(|event| Lock::Row(identity(event)))).collect();
    locks.sort();
    locks.dedup();
    locks
}
