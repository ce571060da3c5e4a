//! Kinds of faults, each tried so many times under a seed and judged alike: see `trial`.

mod backends;
mod callers_that_leave;
mod clock;
mod crashes;
mod disk;
mod failover;
mod files;
mod keys;
mod migrating;
mod overload;
mod pooler;
mod power_loss;
mod rolling;
mod sqlstates;
mod stalled;
mod wire;
