//! From requests to what handlers take.

mod body;
mod client;
mod headers;
mod merchant_call;
mod query;

pub use body::drain;
pub use client::client_of;
pub use merchant_call::{BooksCall, BulkCall, MerchantCall};
pub use query::Query;
