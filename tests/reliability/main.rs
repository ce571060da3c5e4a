//! Nothing acknowledged is lost, nothing is counted twice: real processes, real kills.

#[path = "../support/mod.rs"]
mod support;

mod kills;
mod load;
mod outages;
mod shutdown;
