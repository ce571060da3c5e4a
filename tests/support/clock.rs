//! A clock in the test's hand: the machine's, moved.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::time::Clock;
use conversiond::system::SystemClock;

#[derive(Default)]
pub struct TestClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicI64,
    /// The machine's clocks when they were stopped.
    stopped: OnceLock<(DateTime<Utc>, Duration)>,
}

impl TestClock {
    /// A clock that stands still but for what the test lets pass.
    pub fn standing() -> Self {
        let stopped = OnceLock::from((SystemClock.now(), SystemClock.monotonic()));
        Self { stopped, ..Self::default() }
    }

    /// Lets time pass.
    pub fn advance(&self, by: TimeDelta) {
        self.wall_ms.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
        self.monotonic_ms.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }

    /// Sets the wall clock wrong, as an operator or a bad time server would.
    pub fn jump(&self, by: TimeDelta) {
        self.wall_ms.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        let now = self.stopped.get().map_or_else(|| SystemClock.now(), |(now, _)| *now);
        now + TimeDelta::milliseconds(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        let moved = u64::try_from(self.monotonic_ms.load(Ordering::SeqCst)).unwrap_or(0);
        let now = self.stopped.get().map_or_else(|| SystemClock.monotonic(), |(_, now)| *now);
        now + Duration::from_millis(moved)
    }
}
