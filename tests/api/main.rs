//! What callers see, on both databases.

#[path = "../support/mod.rs"]
mod support;

mod attribution;
mod conversions;
mod reading;
