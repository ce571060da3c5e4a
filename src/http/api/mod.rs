//! The merchants' endpoints.

pub mod answer;
pub mod bulk_answer;
mod create_conversion;
mod create_conversions;
mod cursor;
pub mod exports;
mod get_conversion;
mod list;
mod list_attempts;
mod list_conversions;
mod order_status;
mod respond;
mod words;

pub use create_conversion::create_conversion;
pub use create_conversions::create_conversions;
pub use get_conversion::get_conversion;
pub use list::{LIMIT_DEFAULT, LIMIT_MAX, List};
pub use list_attempts::{AttemptBody, list_attempts};
pub use list_conversions::list_conversions;
pub use order_status::report_order_status;
pub use respond::respond;
pub use words::{Words, refund_id_required};
