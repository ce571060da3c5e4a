//! The events: append-only but for receipt counters and a late attribution.

mod count;
mod insert;
mod list;
mod originals;
mod record;
mod row;

pub use super::Page;
pub use list::{Filter, find, list};
pub(in crate::storage) use list::{ID_LAG_MAX, ID_LEAD_MAX};
pub use record::record;
pub(in crate::storage) use row::{Row, attribution_of, column};
