//! Watching our own clock (contract section 3): timestamps are judged by it, so a wrong clock
//! would refuse every merchant with a 401 that they take as final.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::time::Clock;

/// How far off the clock may be.
pub const OFF_MAX: TimeDelta = TimeDelta::seconds(30);

/// How far a well-kept clock moves between two looks at it.
const SLEW_MAX: TimeDelta = TimeDelta::milliseconds(500);

/// Compares the wall clock with the monotonic one, and with the database's where there is one.
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    /// A moment at which the wall clock was believed.
    believed: Mutex<Believed>,
}

struct Believed {
    wall: DateTime<Utc>,
    monotonic: Duration,
}

impl ClockWatch {
    /// Believes the wall clock as it is now.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let believed = Mutex::new(Believed { wall: clock.now(), monotonic: clock.monotonic() });
        Self { clock, believed }
    }

    /// How far the wall clock has moved away from where it ought to be.
    pub fn off_by(&self) -> TimeDelta {
        self.off(self.clock.now())
    }

    fn off(&self, wall: DateTime<Utc>) -> TimeDelta {
        let monotonic = self.clock.monotonic();
        let believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = monotonic.saturating_sub(believed.monotonic);
        wall - believed.wall - TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX)
    }

    /// Whether requests can be judged by the wall clock.
    pub fn is_reliable(&self) -> bool {
        self.reliable_now().is_some()
    }

    /// The wall clock's time, if it can be judged by: the very reading that was looked at, because the
    /// next one may have jumped.
    pub fn reliable_now(&self) -> Option<DateTime<Utc>> {
        let now = self.clock.now();
        (self.off(now).abs() <= OFF_MAX).then_some(now)
    }

    /// Where there is nobody to ask: believes the wall clock anew if it has hardly moved, so that the
    /// small corrections of months do not add up to a jump.
    pub fn settle(&self) {
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        if self.off(now).abs() <= SLEW_MAX {
            self.believe(now, at);
        }
    }

    /// Takes the database's word for what time it is: it was `database_now` at the monotonic
    /// instant `at`.
    pub fn believe(&self, database_now: DateTime<Utc>, at: Duration) {
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        *believed = Believed { wall: database_now, monotonic: at };
    }
}
