//! What the benchmarks share: databases, services as processes of their own, the load, and how
//! figures are shown.
#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod cast;
pub mod child;
#[path = "../../tests/support/cluster.rs"]
pub mod cluster;
pub mod databases;
pub mod filled;
pub mod load;
pub mod machine;
pub mod measure;
pub mod one_insert;
pub mod output;
pub mod plot;
pub mod process;
pub mod questions;
pub mod requests;
pub mod series;
pub mod service;
pub mod table;

use std::str::FromStr;
use std::time::Instant;

/// A number from the environment.
pub fn setting<T: FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is no number"))
}

/// A list from the environment, separated by commas.
pub fn list<T: FromStr>(name: &str) -> Option<Vec<T>> {
    let text = std::env::var(name).ok()?;
    let entry = |one: &str| one.trim().parse().unwrap_or_else(|_| panic!("{name}: {one:?}"));
    Some(text.split(',').map(entry).collect())
}

/// The time, for measuring.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Counts are far below what a float tells apart.
#[allow(clippy::cast_precision_loss, reason = "as above")]
pub fn float(count: u64) -> f64 {
    count as f64
}
