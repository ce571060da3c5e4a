//! What the service knows about its trade, as pure values and functions: no web framework, no
//! database, no runtime, no clock, no environment.
//!
//! Everything that arrives from outside is parsed here once, into types that cannot hold nonsense;
//! code further in takes those types and checks nothing again.

pub mod access;
pub mod attempt;
pub mod attribution;
pub mod click;
pub mod click_token;
pub mod client_address;
pub mod event;
pub mod fingerprint;
pub mod ids;
pub mod instant;
pub mod json;
pub mod landing_url;
pub mod merchant;
pub mod merchant_buckets;
pub mod money;
pub mod order;
pub mod order_status;
pub mod peer_failures;
pub mod quota;
pub mod rate_limit;
pub mod reconciliation;
pub mod repeat;
pub mod report;
pub mod secret;
pub mod seen_signatures;
pub mod share;
pub mod signature;
pub mod spreadsheet;
pub mod submission;
pub mod time;
pub mod token_bucket;
pub mod vault;
