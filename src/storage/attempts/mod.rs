//! The journal of requests to writing endpoints.

mod insert;
mod retention;

pub(in crate::storage) use insert::{AttemptRow, WHOLE_REQUEST, insert};
pub(in crate::storage) use retention::{count_refused, delete_before, delete_oldest_refused, merchants};
