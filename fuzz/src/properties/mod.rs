//! One property per target: what must hold of every input, beside that nothing panics.

mod addresses;
mod bodies;
mod books;
mod headers;
mod settings;
mod tokens;

pub use addresses::client_address;
pub use bodies::{bulk, callback};
pub use books::reconciliation;
pub use headers::{idempotency_key, signature_headers};
pub use settings::{configuration, cursor};
pub use tokens::{click_token, landing_url};

use crate::domain::event::FieldError;

/// All errors of a request say where they stand, and why.
fn check_errors(errors: &[FieldError]) {
    assert!(!errors.is_empty(), "refused without a reason");
    for error in errors {
        assert!(error.pointer.is_empty() || error.pointer.starts_with('/'), "{error:?}");
        assert!(!error.code.is_empty() && !error.message.is_empty(), "{error:?}");
    }
}
