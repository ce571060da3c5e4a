//! The events: append-only but for receipt counters and a late attribution.

mod columns;
mod insert_postgres;
mod insert_sqlite;
mod list;
mod originals;
mod record;
mod row;

pub use list::{Filter, Page, find, list};
pub use record::record;
