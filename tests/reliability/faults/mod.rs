//! Kinds of faults, each tried so many times under a seed and judged alike: see `trial`.

mod disk;
mod power_loss;
