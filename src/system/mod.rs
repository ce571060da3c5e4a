//! The real clock and the real randomness: the one place where either is read.

mod clock_watch;
mod open_files;

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::domain::time::{Clock, Entropy};

pub use clock_watch::{ClockWatch, OFF_MAX};
pub use open_files::raise_open_files;

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        // Unlike CLOCK_MONOTONIC it counts the time that the machine slept.
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
    }
}

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::expect_used, reason = "without randomness no id or secret may be made")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random numbers");
    }
}
