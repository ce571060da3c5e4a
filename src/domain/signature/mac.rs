//! The MACs themselves.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::domain::secret::SigningSecret;

/// The parts of a request that signatures cover.
#[derive(Debug, Clone, Copy)]
pub struct Covered<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Path and query exactly as received.
    pub target: &'a str,
    /// The `Idempotency-Key` header's value as received, or empty.
    pub idempotency_key: &'a str,
    /// The `X-External-Event-Id` header's value as received, or empty.
    pub external_event_id: &'a str,
    /// The body as received.
    pub body: &'a [u8],
}

/// An HMAC-SHA256 keyed with these bytes.
#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104)")]
pub fn hmac_sha256(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// A secret made ready: the keyed states are computed once, not per request.
#[derive(Clone)]
pub struct SigningKeys {
    text: Hmac<Sha256>,
    bytes: Hmac<Sha256>,
}

impl SigningKeys {
    /// Prepares a secret.
    pub fn new(secret: &SigningSecret) -> Self {
        Self {
            text: hmac_sha256(secret.expose_text().as_bytes()),
            bytes: hmac_sha256(&secret.expose_bytes()),
        }
    }

    /// Plain form: `{timestamp}.{body}`.
    pub fn plain(&self, timestamp: &str, covered: &Covered<'_>) -> [u8; 32] {
        mac(&self.text, &[timestamp.as_bytes(), b".", covered.body])
    }

    /// Bound form: seven lines, the last of them the body's digest.
    pub fn bound(&self, timestamp: &str, covered: &Covered<'_>, digests: &Digests) -> [u8; 32] {
        mac(
            &self.text,
            &[
                b"v2\n",
                timestamp.as_bytes(),
                b"\n",
                covered.method.as_bytes(),
                b"\n",
                covered.target.as_bytes(),
                b"\n",
                covered.idempotency_key.as_bytes(),
                b"\n",
                covered.external_event_id.as_bytes(),
                b"\n",
                digests.body_sha256.as_bytes(),
            ],
        )
    }

    /// Standard Webhooks: `{id}.{timestamp}.{body}`.
    pub fn standard_webhooks(&self, id: &str, timestamp: &str, covered: &Covered<'_>) -> [u8; 32] {
        mac(&self.bytes, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", covered.body])
    }
}

/// What is computed once per request, whatever the key.
#[derive(Debug)]
pub struct Digests {
    body_sha256: String,
}

impl Digests {
    /// Hashes the body.
    pub fn of(body: &[u8]) -> Self {
        Self { body_sha256: hex::encode(Sha256::digest(body)) }
    }

    /// The body's SHA-256 in lower-case hex.
    pub fn body_sha256(&self) -> &str {
        &self.body_sha256
    }
}

fn mac(keyed: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
