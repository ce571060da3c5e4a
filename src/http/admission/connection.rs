//! What is remembered of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::connections::Place;
use crate::domain::time::Clock;

/// A connection, from its opening until it is closed.
#[derive(Clone, Default)]
pub struct Connection(Arc<State>);

#[derive(Default)]
struct State {
    /// Set by an answer that closes the connection, and by a request that asks for that (RFC 9112 section
    /// 9.6). What was sent behind it, in the same packets, must not be taken for a request: the two sides may
    /// not agree where it begins.
    condemned: AtomicBool,
    usage: Arc<Usage>,
    /// Its place among the open connections, given back when it is closed.
    _place: Option<Place>,
}

/// What a connection is used for, as far as it decides which connection goes when there are too many.
#[derive(Debug, Default)]
pub struct Usage {
    proven: AtomicBool,
    requests: AtomicUsize,
    used_at_ms: AtomicU64,
}

/// A request on its way through a connection, until its answer is over.
pub struct Busy {
    usage: Arc<Usage>,
    clock: Arc<dyn Clock>,
}

impl Connection {
    /// A connection that has a place among the open ones.
    pub fn at(place: Place, usage: Arc<Usage>) -> Self {
        Self(Arc::new(State { condemned: AtomicBool::new(false), usage, _place: Some(place) }))
    }

    /// Nothing more is taken from this connection.
    pub fn condemn(&self) {
        self.0.condemned.store(true, Ordering::Relaxed);
    }

    /// Whether an earlier answer closed the connection.
    pub fn is_condemned(&self) -> bool {
        self.0.condemned.load(Ordering::Relaxed)
    }

    /// A request with a right signature came through it.
    pub fn prove(&self) {
        self.0.usage.prove();
    }

    /// A request begins; it ends with what is returned.
    pub fn begin(&self, clock: Arc<dyn Clock>) -> Busy {
        self.0.usage.requests.fetch_add(1, Ordering::Relaxed);
        Busy { usage: self.0.usage.clone(), clock }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.usage.touch(self.clock.monotonic());
        self.usage.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Usage {
    /// Used at this monotonic time for the first time.
    pub fn new(now: Duration, proven: bool) -> Self {
        let usage = Self::default();
        usage.touch(now);
        usage.proven.store(proven, Ordering::Relaxed);
        usage
    }

    fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    fn touch(&self, now: Duration) {
        self.used_at_ms.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether a request with a right signature came through it.
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Whether a request is on its way through it.
    pub fn is_busy(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// When it was last used.
    pub fn used_at(&self) -> Duration {
        Duration::from_millis(self.used_at_ms.load(Ordering::Relaxed))
    }
}
