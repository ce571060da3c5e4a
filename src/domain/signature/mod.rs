//! Signatures on requests (contract section 3): how they are written in headers, what they cover,
//! and how they are made.
//!
//! Whether a request's signature is *right* is judged in [`super::access`], beside the keys.

pub mod diagnosis;
mod forms;
mod headers;
mod idempotency_key;
mod mac;
mod sign;

pub use forms::Forms;
pub use headers::{HeaderError, RequestHeaders, Scheme, SignedHead};
pub use idempotency_key::{IdempotencyKey, InvalidIdempotencyKey};
pub use mac::{Covered, Digests, SigningKeys, hmac_sha256};
pub use sign::{headers as sign, message};

/// What a signature binds, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Timestamp and body, hex: `X-Signature: v1=…` or a bare value.
    Plain,
    /// The whole request, hex: `X-Signature: v2=…`.
    Bound,
    /// Standard Webhooks 1.0: id, timestamp and body, base64.
    StandardWebhooks,
}

impl Form {
    /// The form's name in the command line and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "v1",
            Self::Bound => "v2",
            Self::StandardWebhooks => "standard-webhooks",
        }
    }
}
