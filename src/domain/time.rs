//! Time and randomness as parameters, so that tests hold both in their hands.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Where the present comes from.
pub trait Clock: Send + Sync {
    /// The wall clock, in UTC.
    fn now(&self) -> DateTime<Utc>;

    /// Time since an arbitrary fixed point that no clock adjustment moves.
    fn monotonic(&self) -> Duration;
}

/// Where unpredictable bytes come from: ids, secrets, nonces.
pub trait Entropy: Send + Sync {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// Cuts an instant to the microseconds that both databases keep.
pub fn cut_to_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}
