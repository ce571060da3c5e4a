//! The events: append-only but for receipt counters and a late attribution.

mod count;
mod insert;
mod list;
mod originals;
mod record;
mod row;

pub use list::{Filter, Page, find, list};
pub use record::record;
