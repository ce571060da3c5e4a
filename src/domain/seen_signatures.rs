//! Which signatures were seen of late, and on what: a captured request shows by a signature that comes again
//! on another path, key or delivery id, which the plain form and Standard Webhooks do not bind.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};
use std::time::Duration;

/// What a signature binds, in 128 bits that nobody outside can foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Signed(u128);

/// The signatures of the last minutes, at most twice `GENERATION_MAX`: the older half goes when the newer one is
/// full. A service that takes more in that time notices fewer captured requests, which then do what a first
/// request with their signature would do.
#[derive(Debug)]
pub struct SeenSignatures {
    hashers: [RandomState; 3],
    newer: HashMap<Signed, u64>,
    older: HashMap<Signed, u64>,
    /// How long a signature may be used.
    lifetime: Duration,
    begun: Duration,
}

/// About 1 MiB.
const GENERATION_MAX: usize = 32_768;

impl SeenSignatures {
    /// None was seen. A signature is of no use any more after `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new(), RandomState::new()],
            newer: HashMap::new(),
            older: HashMap::new(),
            lifetime,
            begun: Duration::ZERO,
        }
    }

    /// Remembers that a signature over `signed` came with `unbound`, which it does not bind. Whether it came
    /// with something else before.
    pub fn is_captured(&mut self, signed: impl Hash, unbound: impl Hash, now: Duration) -> bool {
        let [high, low, parts] = &self.hashers;
        let signed = Signed(u128::from(high.hash_one(&signed)) << 64 | u128::from(low.hash_one(&signed)));
        let unbound = parts.hash_one(unbound);
        if let Some(first) = self.newer.get(&signed).or_else(|| self.older.get(&signed)) {
            return *first != unbound;
        }
        if self.newer.len() >= GENERATION_MAX || now.saturating_sub(self.begun) >= self.lifetime {
            self.older = std::mem::take(&mut self.newer);
            self.begun = now;
        }
        self.newer.insert(signed, unbound);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_signature_that_comes_with_something_else_is_captured_and_a_repeat_is_not() {
        let mut seen = SeenSignatures::new(s(600));
        let first = ("POST", "/a", "key");
        for _ in 0..3 {
            assert!(!seen.is_captured("body", first, s(0)));
            assert!(seen.is_captured("body", ("POST", "/a", "other"), s(0)));
            assert!(seen.is_captured("body", ("POST", "/b", "key"), s(0)));
        }
        assert!(!seen.is_captured("another body", ("POST", "/b", "key"), s(0)));
    }

    #[test]
    fn a_signature_is_remembered_for_its_lifetime_and_only_so_many_are() {
        let mut seen = SeenSignatures::new(s(600));
        seen.is_captured("old", 1, s(0));
        seen.is_captured("new", 1, s(600));
        assert!(seen.is_captured("old", 2, s(1_199)));
        seen.is_captured("newer", 1, s(1_200));
        assert!(!seen.is_captured("old", 2, s(1_200)));
        for number in 0..5 * GENERATION_MAX {
            seen.is_captured(number, 1, s(1_200));
        }
        assert!(seen.newer.len() <= GENERATION_MAX && seen.older.len() <= GENERATION_MAX);
    }
}
