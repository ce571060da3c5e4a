//! Kinds of faults, each tried so many times under a seed and judged alike: see `trial`.

mod callers_that_leave;
mod clock;
mod disk;
mod keys;
mod migrating;
mod overload;
mod power_loss;
mod rolling;
