//! The journal of requests to writing endpoints.

mod by_order;
mod insert;
mod list;
mod retention;
mod row;

pub(in crate::storage) use insert::{AttemptRow, WHOLE_REQUEST, insert};
pub use list::{Filter, Owner, among, find, list, newest, owners};
pub(in crate::storage) use retention::{
    Place, Refusals, delete_before, delete_refused, merchants, newest_beyond,
};
