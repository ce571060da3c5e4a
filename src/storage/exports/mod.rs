//! Reading all of a merchant's events, oldest first, without ever passing one that is still to come
//! (contract section 12).
//!
//! An export goes along the primary key: event ids begin with the time at which they were made, just
//! before the queue. So an event may be committed after one with a younger id, and an export that went
//! to the youngest would leave it behind. It goes to a [`Horizon`] H instead, for which holds: **once
//! H is known, no event with an id older than H becomes visible.** Every page is read after that, so
//! what lies before H is complete, and a cursor never passes H.
//!
//! Why it holds. A transaction T that inserts events reads the database's clock, c(T), while it holds
//! a lock that others can see, and is rolled back unless every id that it proposes was made at
//! c(T) − [`ID_AGE_MAX`] or later (`events::insert`); nothing else inserts events. The lock is let go of
//! only after T's COMMIT has become visible, however long that takes. So for each T:
//!
//! - **SQLite.** The lock is the file's write lock. [`horizon`] takes it, reads the clock, B, and lets
//!   go. T either ended before, and is visible, or begins later: c(T) ≥ B. H = B − `behind`.
//! - **PostgreSQL.** The lock is the one on the table that INSERT takes before it runs. [`horizon`]
//!   reads the list of these locks, and since when the transactions run that hold them; S is when that
//!   statement began. T either has ended before the list was read, and every later snapshot sees it;
//!   or takes the lock later, and c(T) ≥ S; or stands in the list, and began before c(T). If the list
//!   does not say since when, T's transaction began while it was read, and c(T) ≥ S again; if the list
//!   may not or cannot say it, there is no horizon but an error. H = min(S, those beginnings) − `behind`.
//!   The pages' snapshots must be younger than the list, so [`horizon`] is a transaction of its own.
//!
//! In each case T is visible, or H + `behind` ≤ c(T) ≤ the time of any of its ids + [`ID_AGE_MAX`].
//! `behind` is larger than [`ID_AGE_MAX`], so those ids lie beyond H. The services' clocks do not enter,
//! nor how long anything waits, is paused or is tried again, nor how many services there are.
//! What does is that the database's clock is not set back by more than `behind` − [`ID_AGE_MAX`]: half a
//! minute or more.

mod horizon;
mod page;

use chrono::TimeDelta;

pub use horizon::{Horizon, horizon};
pub use page::{ExportedEvent, Scope, page};

/// How old an id may be when its event is recorded: as long as callbacks may wait in the queue (60 s),
/// with a clock that is as wrong as is borne (30 s).
pub const ID_AGE_MAX: TimeDelta = TimeDelta::seconds(90);
