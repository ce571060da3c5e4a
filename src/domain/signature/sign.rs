//! Making signatures: for `conversiond sign`, the demo and the tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Covered, Digests, Form, SigningKeys};
use crate::domain::secret::SigningSecret;

/// The headers that sign a request, `X-API-Key` included.
///
/// `message_id` is used by Standard Webhooks alone.
pub fn headers(
    form: Form,
    key_id: &str,
    secret: &SigningSecret,
    unix_seconds: i64,
    message_id: &str,
    covered: &Covered<'_>,
) -> Vec<(&'static str, String)> {
    let keys = SigningKeys::new(secret);
    let timestamp = unix_seconds.to_string();
    let key = ("X-API-Key", key_id.to_owned());
    match form {
        Form::Plain => {
            let value = format!("v1={}", hex::encode(keys.plain(&timestamp, covered)));
            vec![key, ("X-Timestamp", timestamp), ("X-Signature", value)]
        }
        Form::Bound => {
            let value =
                format!("v2={}", hex::encode(keys.bound(&timestamp, covered, &Digests::of(covered.body))));
            vec![key, ("X-Timestamp", timestamp), ("X-Signature", value)]
        }
        Form::StandardWebhooks => {
            let value =
                format!("v1,{}", STANDARD.encode(keys.standard_webhooks(message_id, &timestamp, covered)));
            vec![
                key,
                ("webhook-id", message_id.to_owned()),
                ("webhook-timestamp", timestamp),
                ("webhook-signature", value),
            ]
        }
    }
}

/// The exact bytes that a form signs, for explanations.
pub fn message(form: Form, timestamp: &str, message_id: &str, covered: &Covered<'_>) -> Vec<u8> {
    let mut message = match form {
        Form::Plain => format!("{timestamp}.").into_bytes(),
        Form::StandardWebhooks => format!("{message_id}.{timestamp}.").into_bytes(),
        Form::Bound => {
            let Covered { method, target, idempotency_key, external_event_id, .. } = covered;
            let digest = Digests::of(covered.body);
            let lines =
                ["v2", timestamp, method, target, idempotency_key, external_event_id, digest.body_sha256()];
            return lines.join("\n").into_bytes();
        }
    };
    message.extend_from_slice(covered.body);
    message
}
