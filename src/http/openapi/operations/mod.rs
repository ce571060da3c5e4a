//! The operations, a file a path. **A new endpoint is a file here and a line in [`all`]**, beside its
//! path in `routes.rs`; tests compare the two.

mod attempts;
mod bulk;
mod clicks;
mod conversion;
mod conversions;
mod document;
mod export;
mod order_status;
mod orders;
mod reconciliations;
mod report;
mod webhooks;

use super::operation::Operation;
use crate::http::state::HttpLimits;

/// Every operation there is.
pub fn all(limits: &HttpLimits) -> Vec<Operation> {
    vec![
        conversions::create(limits),
        conversions::list(),
        bulk::create(limits),
        conversion::get(),
        order_status::report(limits),
        webhooks::receive(limits),
        webhooks::receive_alias(limits),
        orders::get(),
        orders::list(),
        reconciliations::reconcile(limits),
        clicks::create(limits),
        attempts::list(),
        report::attribution(),
        export::events(),
        document::get(),
    ]
}

/// What a sentence says of a body's size.
fn body_limit(bytes: usize) -> String {
    format!("The body may have {} KiB.", bytes / 1024)
}
