//! Deleting what is past its time, a small transaction at a time, until nothing is left of it.

use std::collections::VecDeque;

use chrono::{DateTime, NaiveDate, Utc};

use super::Retention;
use super::worker::Store;
use crate::storage::{StoreError, attempts, idempotency, usage};

/// Rows deleted in one transaction, so that no lock is held for long.
const ROWS: i64 = 500;

/// Merchants looked at in one transaction: most have nothing to forget.
const MERCHANTS: usize = 100;

/// After so many transactions the refused attempts are counted again: another instance may have
/// deleted them, too.
const RECOUNT: u32 = 10;

/// What is left to do; nothing, by default.
#[derive(Default)]
pub struct Sweep {
    tasks: VecDeque<Task>,
}

/// One kind of what is deleted.
enum Task {
    /// Expired idempotency keys.
    Keys { expired_by: DateTime<Utc> },
    /// Old attempts of these merchants; `''` stands for nobody's.
    Attempts { merchants: Vec<String>, before: DateTime<Utc> },
    /// What merchants used of their quotas on days that are over.
    Usage { before: NaiveDate },
    /// Refused attempts beyond their number.
    Refused { kept: i64, excess: i64, until_count: u32 },
}

impl Sweep {
    /// Looks what there is to do. Keys are deleted where the time is reliable alone.
    pub fn begin(
        store: &mut Store,
        retention: &Retention,
        now: DateTime<Utc>,
        reliable: Option<DateTime<Utc>>,
    ) -> Result<Self, StoreError> {
        let mut merchants = store.read(attempts::merchants)?;
        merchants.push(String::new());
        let before = now - retention.attempts;
        let attempts =
            merchants.chunks(MERCHANTS).map(|group| Task::Attempts { merchants: group.to_vec(), before });
        let keys = reliable.map(|expired_by| Task::Keys { expired_by });
        let mut tasks: VecDeque<Task> = keys.into_iter().collect();
        // A clock that is a day off forgets nothing of today.
        tasks.extend(
            reliable.and_then(|now| now.date_naive().pred_opt()).map(|before| Task::Usage { before }),
        );
        tasks.extend(attempts);
        tasks.push_back(Task::Refused { kept: retention.refused_max, excess: 0, until_count: 0 });
        Ok(Self { tasks })
    }

    /// Whether there is nothing left to do.
    pub fn is_done(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Does one transaction of it. A task that fails is not tried again before the next sweep.
    pub fn step(&mut self, store: &mut Store) -> Result<(), StoreError> {
        if let Some(mut task) = self.tasks.pop_front()
            && task.step(store)?
        {
            self.tasks.push_front(task);
        }
        Ok(())
    }
}

impl Task {
    /// Does one transaction. Whether there is more to do.
    fn step(&mut self, store: &mut Store) -> Result<bool, StoreError> {
        match self {
            Self::Keys { expired_by } => Ok(store.write(|c| idempotency::sweep(c, *expired_by, ROWS))? > 0),
            Self::Attempts { merchants, before } => {
                let mut left = ROWS;
                store.write(|c| {
                    for merchant in merchants.iter() {
                        let deleted = attempts::delete_before(c, merchant, *before, left)?;
                        left -= i64::try_from(deleted).unwrap_or(left);
                        if left <= 0 {
                            break;
                        }
                    }
                    Ok(())
                })?;
                Ok(left <= 0)
            }
            Self::Usage { before } => {
                store.write(|c| usage::forget_before(c, *before))?;
                Ok(false)
            }
            Self::Refused { kept, excess, until_count } => {
                if *until_count == 0 {
                    *excess = store.read(attempts::count_refused)? - *kept;
                    *until_count = RECOUNT;
                }
                *until_count -= 1;
                if *excess <= 0 {
                    return Ok(false);
                }
                let deleted = store.write(|c| attempts::delete_oldest_refused(c, (*excess).min(ROWS)))?;
                *excess -= i64::try_from(deleted).unwrap_or(i64::MAX);
                Ok(true)
            }
        }
    }
}
