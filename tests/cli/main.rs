//! The command line as operators use it (contract section 11): the real binary, on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may fail loudly"
)]

#[path = "../support/mod.rs"]
mod support;

mod attempts;
mod database;
mod database_files;
mod diagnose;
mod erase;
mod explain;
mod export;
mod keys;
mod logs;
mod master_key;
mod master_key_file;
mod merchants;
mod reconcile;
mod report;
mod roles;
mod secrets_hidden;
mod serving;
mod settings;
mod shell;
mod signing;
mod tokens;
mod usage;
