//! What a request may take of the service before its signature is right: a connection, memory for its body,
//! time. Nobody without a key gets more than a share of each, by address and in all.

mod body_memory;
mod connection;
mod connections;
mod forwarded;

pub use body_memory::{BodyMemory, Full, Share};
pub use connection::{Busy, Connection};
pub use connections::{ConnectionLimits, Connections};
pub use forwarded::UntrustedForwarding;
