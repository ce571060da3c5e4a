//! Kinds of faults, a file for each subject.

mod backends;
mod crashes;
mod failover;
mod pooler;
mod sqlstates;
mod wire;
