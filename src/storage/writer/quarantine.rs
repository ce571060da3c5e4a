//! What somebody else has locked: whoever needs it too must not hold up the others.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::submission::{Content, Submission, identities};

/// What of a submission is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// An idempotency key: its request still runs.
    Key,
    /// An event, a status, a delivery id or a click.
    Row,
}

/// The keys and rows that the submissions in the rescue lane were found to wait for.
///
/// Kept as hashes: two that fall together cost a detour, nothing else.
#[derive(Default)]
pub struct Quarantine {
    hasher: RandomState,
    held: Mutex<HashMap<u64, usize>>,
    /// How many are held, to be read without the lock: nearly always none.
    count: AtomicUsize,
}

impl Quarantine {
    /// What a submission needs of that which is held, if anything.
    pub fn concerns(&self, submission: &Submission) -> Option<Locked> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kinds = [Locked::Key, Locked::Row].into_iter();
        kinds.find(|kind| self.needs(submission, *kind).iter().any(|hash| held.contains_key(hash)))
    }

    /// What a submission needs that may be what is locked. Of a bulk request nobody knows which row
    /// it is.
    pub fn needs(&self, submission: &Submission, locked: Locked) -> Vec<u64> {
        let scope = (submission.merchant, submission.mode);
        match locked {
            Locked::Key => {
                submission.claims().map(|claim| self.hasher.hash_one((scope, claim.key.as_str()))).collect()
            }
            Locked::Row => {
                let delivery = submission.delivery.iter().map(|one| self.hasher.hash_one((scope, &one.id)));
                let statuses = submission.entries().filter_map(|entry| entry.status.as_ref());
                let statuses = statuses.map(|status| {
                    let report = &status.report;
                    self.hasher.hash_one((scope, report.order.as_str(), report.status.as_str()))
                });
                let events = identities(submission).map(|identity| self.hasher.hash_one(&identity));
                let click = match submission.content.as_ref() {
                    Content::Click(click) => Some(self.hasher.hash_one((scope, click.click_id))),
                    Content::One(_) | Content::Bulk(_) => None,
                };
                // The day's row of a quota, which every request of the merchant adds to.
                let usage = submission.metered.then(|| self.hasher.hash_one((submission.merchant, "usage")));
                delivery.chain(statuses).chain(events).chain(click).chain(usage).collect()
            }
        }
    }

    /// Holds what is needed.
    pub fn hold(&self, needs: &[u64]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in needs {
            *held.entry(*hash).or_insert(0) += 1;
        }
        self.count.store(held.len(), Ordering::Release);
    }

    /// Lets go of it again.
    pub fn release(&self, needs: &[u64]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in needs {
            if let Some(times) = held.get_mut(hash) {
                *times -= 1;
                if *times == 0 {
                    held.remove(hash);
                }
            }
        }
        self.count.store(held.len(), Ordering::Release);
    }
}
