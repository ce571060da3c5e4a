//! What callers were told, judged at the moment at which they were told it.

use std::collections::HashMap;

use conversiond::domain::event::{Outcome, Recording};
use conversiond::domain::submission::{
    Conflict, ContentOutcome, Entry, EntryOutcome, RowOutcome, StoredAnswer, Submission, SubmissionOutcome,
};
use conversiond::storage::StoreError;
use conversiond::storage::error::Failure;

use crate::disk::{Identity, identity};
use crate::shop::{Shop, Wish, ids_in};
use crate::store::World;

pub type Written = Result<SubmissionOutcome, StoreError>;

/// What an answer means to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It is recorded.
    Acknowledged,
    /// It is refused for good.
    Refused,
    /// It is to be sent again.
    Again,
}

/// Every event that was acknowledged to anybody, by the id told.
#[derive(Default)]
pub struct Promises {
    told: HashMap<Identity, String>,
}

impl Promises {
    /// How many events were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.told.len()
    }

    /// Judges an answer by what is on the disk now, and remembers it.
    pub fn judge(
        &mut self,
        world: &mut World,
        shop: &Shop,
        wish: &Wish,
        submission: &Submission,
        written: &Written,
    ) -> Meaning {
        match written {
            Ok(SubmissionOutcome::Done(content, answer)) => {
                self.judge_content(world, submission, content);
                let stored = self.stored(world, wish, submission);
                world.check(stored == *answer, || {
                    format!("{wish:?} is answered {answer:?}; under its key stands {stored:?}")
                });
                Meaning::Acknowledged
            }
            Ok(SubmissionOutcome::Replayed(answer)) => {
                let stored = self.stored(world, wish, submission);
                world.check(stored.as_ref() == Some(answer), || {
                    format!("{wish:?} is replayed {answer:?}; under its key stands {stored:?}")
                });
                for (order, id) in wish.orders.iter().zip(ids_in(answer)) {
                    self.tell(world, &shop.identity(wish, order), &id);
                }
                Meaning::Acknowledged
            }
            Err(StoreError::Unavailable(why)) if why.contains("dropped") => {
                world.check(false, || format!("nobody cared for {wish:?}"));
                Meaning::Again
            }
            Ok(SubmissionOutcome::Refused(Conflict::KeyMismatch)) if wish.conflicts => Meaning::Refused,
            Ok(SubmissionOutcome::Refused(Conflict::KeyInUse))
            | Err(
                StoreError::Unavailable(_)
                | StoreError::Overloaded(_)
                | StoreError::Failed(Failure::Blocked | Failure::KeyBlocked, _),
            ) => Meaning::Again,
            Err(StoreError::Refused(_)) if wish.is_poison() => Meaning::Refused,
            other => {
                world.check(false, || format!("{wish:?} is told {other:?}"));
                Meaning::Refused
            }
        }
    }

    /// At the end: whatever was acknowledged is there, under the id told, once.
    pub fn check(&self, world: &mut World) {
        for (identity, id) in &self.told {
            let stored = world.disk.event(identity).map(|row| row.recorded.event_id.to_string());
            world.check(stored.as_ref() == Some(id), || format!("{identity:?} was {id}, and is {stored:?}"));
        }
        let (events, ids) = world.disk.counts();
        world.check(events == ids, || format!("{events} events have {ids} ids"));
    }

    fn stored(&self, world: &World, wish: &Wish, submission: &Submission) -> Option<StoredAnswer> {
        let key = (submission.merchant, wish.key.clone()?);
        world.disk.key(&key).map(|row| row.answer.clone())
    }

    fn judge_content(&mut self, world: &mut World, submission: &Submission, content: &ContentOutcome) {
        let done: Vec<Option<&EntryOutcome>> = match content {
            ContentOutcome::One(outcome) => vec![Some(outcome)],
            ContentOutcome::Bulk(rows) => rows
                .iter()
                .map(|row| match row {
                    RowOutcome::Done(outcome) => Some(outcome),
                    _ => None,
                })
                .collect(),
            ContentOutcome::Click => Vec::new(),
        };
        let wanted: Vec<&Recording> = submission.entries().flat_map(Entry::events).collect();
        world.check(done.len() == wanted.len(), || format!("{submission:?} is told {content:?}"));
        for (recording, outcome) in wanted.into_iter().zip(done) {
            match outcome.and_then(|outcome| outcome.event.as_ref()) {
                Some(outcome) => self.judge_event(world, recording, outcome),
                None => world.check(false, || format!("{recording:?} is told {outcome:?}")),
            }
        }
    }

    fn judge_event(&mut self, world: &mut World, recording: &Recording, outcome: &Outcome) {
        let identity = identity(recording);
        let Some(row) = world.disk.event(&identity).cloned() else {
            return world.check(false, || format!("{identity:?} is acknowledged and not on the disk"));
        };
        let stored = &row.recorded;
        let right = match outcome {
            // The id and the time under which it is on the disk, no others.
            Outcome::Accepted(told) => told == stored && recording.event_id == stored.event_id,
            // Somebody else's: no request is a duplicate of itself.
            Outcome::Duplicate { original, .. } => original == stored && row.attempt != recording.attempt_id,
            Outcome::RefundIdRequired => false,
        };
        world.check(right, || format!("on the disk is {stored:?}, told is {outcome:?}"));
        self.tell(world, &identity, &stored.event_id.to_string());
    }

    fn tell(&mut self, world: &mut World, identity: &Identity, id: &str) {
        let stored = world.disk.event(identity).map(|row| row.recorded.event_id.to_string());
        world.check(stored.as_deref() == Some(id), || {
            format!("{identity:?} is told to be {id}, and is {stored:?}")
        });
        let first = self.told.entry(identity.clone()).or_insert_with(|| id.to_owned());
        let same = *first == id;
        world.check(same, || format!("{identity:?} was told to be another one than {id} before"));
    }
}
