//! The commit path and the schema, below HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets the unexpected fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod clicks;
mod earlier_schema;
mod events;
mod exports;
mod files;
mod keys_one_by_one;
mod migrations;
mod rescue_lane;
mod retention;
mod scripted;
mod tampering;
mod writer_policy;
