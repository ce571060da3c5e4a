//! From requests to what handlers take.

mod body;
mod client;
mod headers;
mod media_type;
mod merchant_call;
mod operator_call;
mod proof;
mod query;

pub use body::{BodyMemories, drain};
pub use client::client_of;
pub use merchant_call::{BooksCall, BulkCall, MerchantCall, attempt_of};
pub use operator_call::OperatorCall;
pub use query::Query;
