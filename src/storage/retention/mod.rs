//! Forgetting raw bodies and peers' addresses once they are old (contract section 12).
//!
//! No index leads to what is old: it would cost every commit. Each table is walked along its primary
//! key instead, a stretch at a time, and how far is remembered per merchant and mode. The ids of events
//! and attempts are UUIDv7, so an instant is a place among them, and what lies before it is gone through
//! once. Reports of an order's states stand by their orders: they are gone through once a day.
//!
//! Several instances may walk at once: what another one has locked is left for later, and a place is
//! moved only from where it was found.

mod look;
mod progress;
mod strip;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

pub use look::look;
pub use strip::strip;

use crate::domain::merchant::Mode;

/// Rows that are changed in one transaction: with the longest bodies SQLite's one lock is held for some
/// 30 ms, with usual ones for less than one.
const ROWS: i64 = 50;

/// Rows that are looked at in one go where most have nothing to forget.
const LOOKED_AT: i64 = 1_000;

/// How long after the beginning of the last one the order statuses are gone through again.
const PASS_EVERY: TimeDelta = TimeDelta::hours(24);

/// What is walked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The bodies of events, by their ids.
    Events,
    /// The bodies of order statuses, by their keys.
    OrderStatuses,
    /// The addresses in the journal, by the attempts' ids.
    Attempts,
}

/// A walk through what one merchant has of a table.
#[derive(Debug, Clone)]
pub struct Walk {
    /// Whose; `''` = attempts under nobody's key.
    merchant: String,
    /// In which mode; `''` where the table is not kept apart by it.
    mode: &'static str,
    subject: Subject,
}

/// When it is, and what is old.
#[derive(Debug, Clone, Copy)]
pub struct Age {
    /// The present.
    pub now: DateTime<Utc>,
    /// What is older is forgotten. At least a day ago: what is still being written is younger.
    pub before: DateTime<Utc>,
}

/// The next rows of a walk.
#[derive(Debug)]
pub struct Stretch {
    /// The place behind which it begins; `''` = at the beginning.
    from: String,
    /// The places of its rows, in their order.
    places: Vec<String>,
    /// Where the walk stands when it is done: at its last row, or at the beginning again.
    to: String,
    /// When this walk began.
    begun_at: NaiveDateTime,
}

impl Subject {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::OrderStatuses => "order_statuses",
            Self::Attempts => "attempts",
        }
    }
}

impl Walk {
    /// Every walk through what this merchant has; of nobody's there are only attempts.
    pub fn all_of(merchant: &str, attempts: bool) -> Vec<Self> {
        let mut walks = Vec::new();
        let mut add = |mode, subject| walks.push(Self { merchant: merchant.to_owned(), mode, subject });
        if !merchant.is_empty() {
            for mode in [Mode::Live, Mode::Test] {
                add(mode.as_str(), Subject::Events);
                add(mode.as_str(), Subject::OrderStatuses);
            }
        }
        if attempts {
            add("", Subject::Attempts);
        }
        walks
    }
}
