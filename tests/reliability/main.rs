//! Nothing acknowledged is lost, nothing is counted twice: real processes, real kills.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets the unexpected fails; its runtime is multi-threaded and its time real"
)]

#[path = "../support/mod.rs"]
mod support;

mod bulk;
mod faults;
mod instances;
mod kills;
mod load;
mod memory;
mod neighbours;
mod outages;
mod retries;
mod shutdown;
mod still_running;
mod trial;
