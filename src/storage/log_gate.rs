//! Holds back reads while SQLite's log is too long.
//!
//! The log begins anew only when all of it has been copied into the file and no reader needs it any more.
//! Reads that overlap without a gap never let that come about, and the log would grow until the disk is
//! full. So beyond a length no further read begins until the readers have ended and a copy went through;
//! whoever reads after that copy reads the file, and the next transaction begins the log anew.
//!
//! A read that takes long would keep all others waiting. So while one runs, only further long ones are
//! held back: its time limit ends it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::sqlite::Log;

/// How long a read may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Milliseconds.
    Short,
    /// Seconds.
    Long,
}

/// Whether reads may begin.
pub struct LogGate {
    pages_max: u32,
    state: Mutex<State>,
    opened: Notify,
    held_back: AtomicU64,
}

struct State {
    closed: bool,
    /// Reads that run.
    short: usize,
    long: usize,
    /// At so many pages the gate closes: more than `pages_max` while somebody outside of this process reads.
    limit: u32,
    /// How long the log was when all of it was copied and nobody read.
    copied_at: Option<u32>,
}

/// A read that runs, until it is dropped.
pub struct Pass {
    gate: Arc<LogGate>,
    length: Length,
}

impl LogGate {
    /// A gate that closes at so many pages.
    pub fn new(pages_max: u32) -> Self {
        let state = State { closed: false, short: 0, long: 0, limit: pages_max, copied_at: None };
        Self { pages_max, state: Mutex::new(state), opened: Notify::new(), held_back: AtomicU64::new(0) }
    }

    /// Lets a read begin, at once or when the log has been copied.
    pub async fn enter(self: &Arc<Self>, length: Length) -> Pass {
        let mut waited = false;
        loop {
            let opened = self.opened.notified();
            if let Some(pass) = self.try_enter(length) {
                return pass;
            }
            if !waited {
                self.held_back.fetch_add(1, Ordering::Relaxed);
                waited = true;
            }
            opened.await;
        }
    }

    /// Lets a short read of the service's own begin, whatever the log's length.
    pub fn pass_by(self: &Arc<Self>) -> Pass {
        self.with(|state| state.short += 1);
        Pass { gate: self.clone(), length: Length::Short }
    }

    /// How many reads had to wait.
    pub fn held_back(&self) -> u64 {
        self.held_back.load(Ordering::Relaxed)
    }

    /// Whether reads are held back, so that the log should be looked at soon.
    pub fn is_closed(&self) -> bool {
        self.with(|state| state.closed)
    }

    /// Whether reads are held back and none runs any more: it stays so until the gate opens.
    pub fn is_drained(&self) -> bool {
        self.with(|state| state.closed && state.short == 0 && state.long == 0)
    }

    /// Judges how far the log is after a copy; `drained` is what [`Self::is_drained`] said before it.
    pub fn judge(&self, log: Log, drained: bool) {
        let was_closed = self.is_closed();
        let is_closed = self.with(|state| {
            state.judge(log, drained, self.pages_max);
            state.closed
        });
        match (was_closed, is_closed) {
            (false, true) => tracing::warn!(
                pages = log.pages,
                "reads overlap and keep SQLite's log from being copied: further ones wait until it has been"
            ),
            (true, false) => self.opened.notify_waiters(),
            _ => {}
        }
    }

    fn try_enter(self: &Arc<Self>, length: Length) -> Option<Pass> {
        self.with(|state| {
            let may = !state.closed || (length == Length::Short && state.long > 0);
            may.then(|| {
                *state.running(length) += 1;
                Pass { gate: self.clone(), length }
            })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for LogGate {
    /// One that never closes.
    fn default() -> Self {
        Self::new(u32::MAX)
    }
}

impl State {
    const fn running(&mut self, length: Length) -> &mut usize {
        match length {
            Length::Short => &mut self.short,
            Length::Long => &mut self.long,
        }
    }

    fn judge(&mut self, log: Log, drained: bool, pages_max: u32) {
        if log.pages < pages_max {
            *self = Self { closed: false, limit: pages_max, copied_at: None, ..*self };
        } else if self.closed {
            self.judge_closed(log, drained);
        } else if log.pages >= self.limit && self.copied_at != Some(log.pages) {
            // After a copy of all of it the log should have begun anew.
            match self.copied_at.take() {
                Some(_) => self.give_up(log),
                None => self.closed = true,
            }
        }
    }

    fn judge_closed(&mut self, log: Log, drained: bool) {
        if drained && log.copied == log.pages {
            self.closed = false;
            self.copied_at = Some(log.pages);
        } else if drained {
            self.give_up(log);
        }
    }

    /// Somebody reads whom this process cannot hold back: holding back the others is of no use.
    fn give_up(&mut self, log: Log) {
        self.closed = false;
        self.limit = log.pages.saturating_mul(2);
        tracing::warn!(
            pages = log.pages,
            "another process reads the database and keeps SQLite's log from being copied: it grows"
        );
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.with(|state| {
            let running = state.running(self.length);
            *running = running.saturating_sub(1);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::Length::{Long, Short};
    use super::*;

    fn gate() -> Arc<LogGate> {
        Arc::new(LogGate::new(100))
    }

    /// What the writer does: a look, and a copy that copies so much.
    fn look(gate: &LogGate, pages: u32, copied: u32) {
        let drained = gate.is_drained();
        gate.judge(Log { pages, copied }, drained);
    }

    fn enter(gate: &Arc<LogGate>, length: Length) -> Option<Pass> {
        gate.enter(length).now_or_never()
    }

    #[test]
    fn beyond_a_length_reads_wait_until_the_others_have_ended_and_all_is_copied() {
        let gate = gate();
        let running = enter(&gate, Short).unwrap();
        look(&gate, 99, 50);
        assert!(enter(&gate, Long).is_some());
        look(&gate, 100, 50);
        assert!(enter(&gate, Short).is_none() && enter(&gate, Long).is_none());
        // All is copied, but the reader of the log's end would still keep it from beginning anew.
        look(&gate, 110, 110);
        assert!(enter(&gate, Short).is_none());
        drop(running);
        let mut waiting = Box::pin(gate.enter(Short));
        assert!(waiting.as_mut().now_or_never().is_none());
        look(&gate, 120, 120);
        assert!(waiting.now_or_never().is_some());
        assert_eq!(gate.held_back(), 4);
        // Nothing was written since, and then the log has begun anew.
        look(&gate, 120, 120);
        assert!(!gate.is_closed());
        look(&gate, 1, 0);
        look(&gate, 100, 100);
        assert!(gate.is_closed());
    }

    #[test]
    fn while_a_long_read_runs_short_ones_go_on_and_long_ones_wait() {
        let gate = gate();
        let long = enter(&gate, Long).unwrap();
        look(&gate, 100, 50);
        assert!(enter(&gate, Short).is_some() && enter(&gate, Long).is_none());
        drop(long);
        assert!(enter(&gate, Short).is_none());
        assert!(gate.is_drained());
    }

    #[test]
    fn the_services_own_reads_never_wait_and_are_waited_for() {
        let gate = gate();
        look(&gate, 100, 50);
        let own = gate.pass_by();
        look(&gate, 100, 100);
        assert!(gate.is_closed());
        drop(own);
        look(&gate, 100, 100);
        assert!(!gate.is_closed());
    }

    #[test]
    fn reads_are_not_held_back_for_somebody_outside_until_the_log_is_twice_as_long() {
        for copied in [50, 100] {
            let gate = gate();
            look(&gate, 100, 50);
            look(&gate, 100, copied);
            look(&gate, 101, copied);
            assert!(!gate.is_closed(), "{copied}");
            look(&gate, 199, copied);
            assert!(!gate.is_closed(), "{copied}");
            look(&gate, 202, copied);
            assert!(gate.is_closed(), "{copied}");
            look(&gate, 5, 0);
            assert!(!gate.is_closed(), "{copied}");
            look(&gate, 100, 50);
            assert!(gate.is_closed(), "{copied}: the limit is the first one again");
        }
    }
}
