//! How requests are signed, as security schemes (contract section 3).

use serde_json::{Map, Value, json};

use crate::http::routes::Signed;

/// The three headers' sets, each a conjunction of schemes.
const HEX: [&str; 3] = ["KeyId", "Timestamp", "Signature"];
const NIM: [&str; 3] = ["KeyId", "NimTimestamp", "NimSignature"];
const STANDARD_WEBHOOKS: [&str; 4] = ["KeyId", "WebhookId", "WebhookTimestamp", "WebhookSignature"];

const OPERATORS_HEX: [&str; 3] = ["OperatorKeyId", "Timestamp", "Signature"];
const OPERATORS_NIM: [&str; 3] = ["OperatorKeyId", "NimTimestamp", "NimSignature"];

impl Signed {
    /// The operation's `security`.
    pub fn requirements(self) -> Vec<Value> {
        let sets: &[&[&str]] = match self {
            Self::AnyForm => &[&HEX, &STANDARD_WEBHOOKS, &NIM],
            Self::Bound => &[&HEX, &NIM],
            Self::ByOperator => &[&OPERATORS_HEX, &OPERATORS_NIM],
            Self::No => &[],
        };
        let requirement = |set: &&[&str]| -> Value {
            set.iter().map(|name| ((*name).to_owned(), json!([]))).collect::<Map<_, _>>().into()
        };
        sets.iter().map(requirement).collect()
    }
}

/// Every scheme: one a header.
pub fn schemes(tolerance_s: i64) -> Value {
    let header = |name: &str, description: String| json!({ "type": "apiKey", "in": "header", "name": name, "description": description });
    let timestamp = format!(
        "Unix seconds, `^[1-9][0-9]{{8,10}}$`, within {tolerance_s} s of the service's clock. It is part of what is signed."
    );
    let signature = "Up to 8 values, comma-separated, of which any may fit (for rotation): `v2=` and 64 hex digits is the bound form, \
        which binds the whole request; `v1=` and 64 hex digits, or the digits alone, is the plain form over timestamp and body. \
        Only the endpoints that take callbacks take the plain form; all others need `v2`.";
    json!({
        "KeyId": header("X-API-Key", "The key's id: `ak_live_…` or `ak_test_…`. Public; it names the secret to sign with.".to_owned()),
        "OperatorKeyId": header("X-API-Key", "The id of an operator's key: `ak_op_…`. Public; it names the secret to sign with.".to_owned()),
        "Timestamp": header("X-Timestamp", timestamp.clone()),
        "Signature": header("X-Signature", signature.to_owned()),
        "WebhookId": header(
            "webhook-id",
            "Standard Webhooks: the message's id, 1 to 255 visible ASCII characters without a dot. It serves as the idempotency \
             key unless one is given.".to_owned(),
        ),
        "WebhookTimestamp": header("webhook-timestamp", format!("Standard Webhooks: as `X-Timestamp`. {timestamp}")),
        "WebhookSignature": header(
            "webhook-signature",
            "Standard Webhooks: up to 8 values `v1,<base64>`, separated by spaces, of which any may fit.".to_owned(),
        ),
        "NimTimestamp": header("X-Nim-Timestamp", format!("Another name for `X-Timestamp`. {timestamp}")),
        "NimSignature": header("X-Nim-Signature", format!("Another name for `X-Signature`. {signature}")),
    })
}
