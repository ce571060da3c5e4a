//! What happens to every request.

mod observe;
mod precheck;

pub use observe::observe;
