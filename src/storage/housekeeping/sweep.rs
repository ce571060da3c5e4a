//! Deleting what is past its time, a small transaction at a time, until nothing is left of it.

use std::collections::VecDeque;

use chrono::{DateTime, NaiveDate, Utc};

use super::Retention;
use super::worker::Store;
use crate::storage::attempts::{self, Place, Refusals};
use crate::storage::{StoreError, idempotency, usage};

/// Rows deleted in one transaction, so that no lock is held for long.
const ROWS: i64 = 500;

/// Merchants looked at in one transaction: most have nothing to forget.
const MERCHANTS: usize = 100;

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
    /// Refused attempts beyond the number that is kept of each kind: first looked for, then deleted.
    Refused { looked_for: Vec<Refusals>, kept: i64, beyond: Vec<(Refusals, Place)> },
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
        let refused = |looked_for, kept| Task::Refused { looked_for, kept, beyond: Vec::new() };
        tasks.push_back(refused(vec![Refusals::Forged], retention.forged_max));
        for group in merchants.chunks(MERCHANTS) {
            let of_each = group.iter().cloned().map(Refusals::Of).collect();
            tasks.push_back(refused(of_each, retention.refused_of_merchant_max));
        }
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
            Self::Refused { looked_for, kept, beyond } => {
                if !looked_for.is_empty() {
                    let looked_for = std::mem::take(looked_for);
                    *beyond = store.read(|c| {
                        let mut beyond = Vec::new();
                        for which in looked_for {
                            let place = attempts::newest_beyond(c, &which, *kept)?;
                            beyond.extend(place.map(|place| (which, place)));
                        }
                        Ok(beyond)
                    })?;
                } else if let Some((which, place)) = beyond.last() {
                    let deleted = store.write(|c| attempts::delete_refused(c, which, place, ROWS))?;
                    if i64::try_from(deleted).is_ok_and(|deleted| deleted < ROWS) {
                        beyond.pop();
                    }
                }
                Ok(!beyond.is_empty())
            }
        }
    }
}
