//! The commit path and the schema, below HTTP.

#[path = "../support/mod.rs"]
mod support;

mod batches;
mod events;
mod migrations;
mod writer_policy;
