//! Whether a lane's batches get into the database, by how the last ones ended.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use super::StoreError;
use super::batch::Written;

/// For how long every batch must have failed before the lane counts as failing.
const FAILING_AFTER: Duration = Duration::from_secs(2);

/// For how long a failure tells something: longer than a batch takes that waits for a lock all the time.
const TELLING: Duration = Duration::from_secs(7);

/// How a lane's batches ended since the last one that was written.
#[derive(Debug, Default)]
pub struct Health(Mutex<Option<Failing>>);

/// Times on the monotonic clock.
#[derive(Debug, Clone, Copy)]
struct Failing {
    since: Duration,
    last: Duration,
}

/// What a lane's last batches tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// They were written, or there were none for long.
    Well,
    /// All have failed.
    Failing,
    /// All had failed, and none has come since: only a try can tell.
    Unknown,
}

impl Health {
    /// Takes note of a batch that was begun and ended at these times.
    pub fn observe(&self, written: &[Written], begun: Duration, ended: Duration) {
        let is_away = |one: &Written| matches!(one, Err(StoreError::Unavailable(_)));
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.iter().all(is_away) {
            let since = failing.map_or(begun, |failing| failing.since);
            *failing = Some(Failing { since, last: ended });
        } else {
            *failing = None;
        }
    }

    /// What is known now.
    pub fn condition(&self, now: Duration) -> Condition {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Condition::Well,
            Some(failing) if failing.last.saturating_sub(failing.since) < FAILING_AFTER => Condition::Well,
            Some(failing) if now.saturating_sub(failing.last) < TELLING => Condition::Failing,
            Some(_) => Condition::Unknown,
        }
    }

    /// A transaction could begin: what failed is over.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn away() -> Written {
        Err(StoreError::Unavailable("locked".to_owned()))
    }

    #[test]
    fn a_lane_fails_when_all_of_its_batches_have_failed_for_a_while_and_not_by_one_of_them() {
        let health = Health::default();
        assert_eq!(health.condition(at(1)), Condition::Well);
        health.observe(&[away()], at(10), at(11));
        assert_eq!(health.condition(at(11)), Condition::Well);
        health.observe(&[away(), away()], at(12), at(13));
        assert_eq!(health.condition(at(13)), Condition::Failing);
        // One that fails beside others is that one's trouble.
        health.observe(&[away(), Err(StoreError::Overloaded("full"))], at(14), at(15));
        assert_eq!(health.condition(at(15)), Condition::Well);
    }

    #[test]
    fn without_callbacks_a_failing_lane_is_to_be_tried_and_then_forgiven() {
        let health = Health::default();
        health.observe(&[away()], at(10), at(15));
        assert_eq!(health.condition(at(21)), Condition::Failing);
        assert_eq!(health.condition(at(22)), Condition::Unknown);
        health.clear();
        assert_eq!(health.condition(at(22)), Condition::Well);
    }
}
