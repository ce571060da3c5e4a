//! The endpoints of merchants and of the link shortener.

pub mod answer;
pub mod bulk_answer;
pub mod click_answer;
mod create_click;
mod create_conversion;
mod create_conversions;
mod cursor;
mod get_conversion;
mod get_order;
mod list;
mod list_attempts;
mod list_conversions;
mod list_orders;
mod order_answer;
mod order_status;
mod reconcile;
mod reconciliation_answer;
pub mod report;
mod respond;
mod words;

pub use create_click::create_click;
pub use create_conversion::create_conversion;
pub use create_conversions::create_conversions;
pub use get_conversion::get_conversion;
pub use get_order::get_order;
pub use list::{LIMIT_DEFAULT, LIMIT_MAX, List};
pub use list_attempts::{AttemptBody, list_attempts};
pub use list_conversions::list_conversions;
pub use list_orders::list_orders;
pub use order_answer::OrderBody;
pub use order_status::report_order_status;
pub use reconcile::reconcile;
pub use reconciliation_answer::ReconciliationBody;
pub use report::report_attribution;
pub use respond::respond;
pub use words::{Words, refund_id_required};
