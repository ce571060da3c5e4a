//! HTTP: from bytes to typed calls, and from outcomes to answers.
//!
//! [`routes`] is the only file that knows paths, [`error`] the only table of error codes. What a
//! handler takes says what has been checked: it cannot run on an unsigned request.

mod admin;
mod admission;
mod api;
mod attempts;
mod bulk_shares;
mod daily_quotas;
pub mod error;
mod extract;
mod middleware;
pub mod openapi;
mod problem_response;
mod quota;
mod rate_limits;
mod request_context;
pub mod routes;
mod state;
mod webhooks;
mod workbench;

pub use admission::{ConnectionLimits, Connections, UntrustedForwarding};
pub use api::ReconciliationBody;
pub use api::exports;
pub use api::report::ReportBody;
pub use attempts::RefusedAttempts;
pub use bulk_shares::BulkShares;
pub use daily_quotas::DailyQuotas;
pub use extract::BodyMemories;
pub use rate_limits::RateLimits;
pub use state::{AppState, HttpLimits};
pub use workbench::Workbench;
