//! What callers see, on both databases.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "helpers of tests are tests; clippy.toml knows only the functions themselves"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod attempts;
mod attempts_kept;
mod attempts_refused;
mod attribution;
mod bad_fields;
mod bad_headers;
mod bad_json;
mod bad_requests;
mod bulk;
mod bulk_rows;
mod clicks;
mod clicks_repeated;
mod clocks;
mod conversions;
mod described;
mod exports;
mod exports_followed;
mod exports_limits;
mod fair_use;
mod forms;
mod idempotency;
mod isolation;
mod key_expiry;
mod keys_at_once;
mod limits;
mod money;
mod openapi;
mod order_status;
mod orders;
mod orders_list;
mod orders_permuted;
mod peer_limits;
mod reading;
mod reading_bounds;
mod reconciliation;
mod refusals;
mod reports;
mod signatures;
mod standard_webhooks;
mod tampered_keys;
mod vectors;
mod webhooks;
mod wire;
