//! The merchants' endpoints.

mod answer;
mod create_conversion;
mod cursor;
mod get_conversion;
mod list_conversions;

pub use create_conversion::create_conversion;
pub use get_conversion::get_conversion;
pub use list_conversions::list_conversions;
