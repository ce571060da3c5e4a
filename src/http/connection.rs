//! What is remembered of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by an answer that closes the connection, and by a request that asks for that (RFC 9112 section
/// 9.6). What was sent behind it, in the same packets, must not be taken for a request: the two sides may
/// not agree where it begins.
#[derive(Clone, Default)]
pub struct Connection(Arc<AtomicBool>);

impl Connection {
    /// Nothing more is taken from this connection.
    pub fn condemn(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether an earlier answer closed the connection.
    pub fn is_condemned(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
