//! What somebody else has locked: whoever needs it too must not hold up the others.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::submission::{Submission, identities};

/// The keys and events of the submissions that wait in the rescue lane.
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
    /// Whether a submission needs anything that is held.
    pub fn concerns(&self, submission: &Submission) -> bool {
        if self.count.load(Ordering::Acquire) == 0 {
            return false;
        }
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        self.needs(submission).any(|hash| held.contains_key(&hash))
    }

    /// Holds what a submission needs.
    pub fn hold(&self, submission: &Submission) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in self.needs(submission) {
            *held.entry(hash).or_insert(0) += 1;
        }
        self.count.store(held.len(), Ordering::Release);
    }

    /// Lets go of it again.
    pub fn release(&self, submission: &Submission) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in self.needs(submission) {
            if let Some(times) = held.get_mut(&hash) {
                *times -= 1;
                if *times == 0 {
                    held.remove(&hash);
                }
            }
        }
        self.count.store(held.len(), Ordering::Release);
    }

    fn needs(&self, submission: &Submission) -> impl Iterator<Item = u64> {
        let scope = (submission.merchant, submission.mode);
        let keys = submission.claims().map(move |claim| self.hasher.hash_one((scope, claim.key.as_str())));
        let delivery =
            submission.delivery.iter().map(move |one| self.hasher.hash_one((scope, "delivery", &one.id)));
        keys.chain(delivery).chain(identities(submission).map(|identity| self.hasher.hash_one(&identity)))
    }
}
