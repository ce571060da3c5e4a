//! The headers that signatures and retries are about.

use actix_web::http::header::HeaderMap;

use crate::domain::signature::{IdempotencyKey, RequestHeaders};
use crate::http::error::{Code, Problem};

/// Collects the signature headers, each with all its lines.
pub fn signature_headers(headers: &HeaderMap) -> RequestHeaders<'_> {
    let lines = |name: &str| headers.get_all(name).map(|value| value.to_str().ok()).collect();
    RequestHeaders {
        api_key: lines("x-api-key"),
        timestamp: lines("x-timestamp"),
        signature: lines("x-signature"),
        nim_timestamp: lines("x-nim-timestamp"),
        nim_signature: lines("x-nim-signature"),
        webhook_id: lines("webhook-id"),
        webhook_timestamp: lines("webhook-timestamp"),
        webhook_signature: lines("webhook-signature"),
    }
}

/// The idempotency key's header as received, and the key it names.
pub fn idempotency_key(headers: &HeaderMap) -> Result<(&str, Option<IdempotencyKey>), Problem> {
    let malformed = |detail: &str| Problem::new(Code::IdempotencyKeyMalformed, detail);
    let mut lines = headers.get_all("idempotency-key").chain(headers.get_all("x-idempotency-key"));
    let Some(first) = lines.next() else { return Ok(("", None)) };
    let text = first.to_str().map_err(|_| malformed("An idempotency key is visible ASCII."))?;
    let key = IdempotencyKey::parse(text).map_err(|error| malformed(&format!("{error}.")))?;
    for other in lines {
        let same =
            other.to_str().ok().and_then(|text| IdempotencyKey::parse(text).ok()).as_ref() == Some(&key);
        if !same {
            return Err(malformed("Idempotency-Key and X-Idempotency-Key differ."));
        }
    }
    Ok((text, Some(key)))
}

/// `X-External-Event-Id` as received, or empty.
pub fn external_event_id(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut lines = headers.get_all("x-external-event-id");
    match (lines.next().map(|value| value.to_str()), lines.next()) {
        (None, _) => Ok(""),
        (Some(Ok(text)), None)
            if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(text)
        }
        _ => Err(Problem::new(
            Code::MalformedRequest,
            "X-External-Event-Id must be one line of 1 to 255 visible ASCII characters.",
        )),
    }
}
