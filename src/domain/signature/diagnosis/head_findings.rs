//! What is wrong with the headers themselves, by the words of the parser that serves requests.

use super::finding::Finding;
use super::offered::foreign_places;
use super::recorded::RecordedRequest;
use super::timestamps;
use crate::domain::ids::KeyId;
use crate::domain::signature::{HeaderError, RequestHeaders};

/// Values that every header may have: put in place of a faulty one to see what else is wrong.
const ANY_ID: &str = "any";
const ANY_TIMESTAMP: &str = "1764109104";
const ANY_HEX: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ANY_WEBHOOK: &str = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Every fault, except the writing of the signature in the header `explained`.
pub fn faults(request: &RecordedRequest, explained: Option<&str>) -> Vec<Finding> {
    let mut headers = request.signature_headers();
    let foreign = !foreign_places(request).is_empty();
    let mut findings = Vec::new();
    // A round for each header.
    for _ in 0..8 {
        let Err(error) = headers.parse() else { break };
        match error {
            HeaderError::Missing(name) if foreign && name != "X-API-Key" => {}
            HeaderError::Malformed(name, _) if explained == Some(name) => {}
            error => findings.push(describe(error, request)),
        }
        let (HeaderError::Missing(name) | HeaderError::Repeated(name) | HeaderError::Malformed(name, _)) =
            error
        else {
            break;
        };
        mend(&mut headers, name);
    }
    findings.extend(key_id(request));
    findings
}

fn describe(error: HeaderError, request: &RecordedRequest) -> Finding {
    match error {
        HeaderError::Missing(name) => {
            let alike = |own: &str| {
                !own.eq_ignore_ascii_case(name) && own.replace('_', "-").eq_ignore_ascii_case(name)
            };
            let hint = request.headers().find(|(own, _)| alike(own)).map_or_else(String::new, |(own, _)| {
                format!(" There is {own}: with underscores it is another header, which proxies drop.")
            });
            Finding::new("header_missing", format!("The header {name} is missing or empty.{hint}"))
        }
        HeaderError::Repeated(name) => Finding::new(
            "header_repeated",
            format!(
                "The header {name} is there more than once; which one counts is not guessed. Send it once."
            ),
        ),
        HeaderError::MixedSchemes => Finding::new(
            "schemes_mixed",
            "The request carries signature headers of more than one scheme. Send X-Timestamp and X-Signature, \
             or X-Nim-Timestamp and X-Nim-Signature, or webhook-id, webhook-timestamp and webhook-signature: \
             one of the three.",
        ),
        HeaderError::Malformed(name, form) if name.to_ascii_lowercase().ends_with("timestamp") => {
            match request.first(name) {
                Some(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 40 => {
                    timestamps::malformed(name, text)
                }
                _ => Finding::new("timestamp_malformed", format!("The header {name} must be {form}.")),
            }
        }
        HeaderError::Malformed(name, form) => {
            let hint = request.first(name).and_then(length_hint).unwrap_or_default();
            Finding::new("header_malformed", format!("The header {name} must be {form}.{hint}"))
        }
    }
}

/// Other hashes give themselves away by their length.
fn length_hint(line: &str) -> Option<&'static str> {
    let digits =
        line.rsplit(['=', ',', ' ']).next().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    match digits.len() {
        32 => Some(" 32 hex digits are what MD5 gives; it must be an HMAC-SHA256, which has 64."),
        40 => Some(" 40 hex digits are what SHA-1 gives; it must be an HMAC-SHA256, which has 64."),
        96 => Some(" 96 hex digits are what SHA-384 gives; it must be an HMAC-SHA256, which has 64."),
        128 => Some(" 128 hex digits are what SHA-512 gives; it must be an HMAC-SHA256, which has 64."),
        _ => None,
    }
}

fn key_id(request: &RecordedRequest) -> Option<Finding> {
    let id = request.first("X-API-Key")?;
    if id.parse::<KeyId>().is_ok() {
        return None;
    }
    let hint = if id.starts_with("whsec_") {
        " It carries a secret: a secret is never sent. Rotate the key."
    } else {
        ""
    };
    let says = "X-API-Key names no key: an id is ak_live_, ak_test_ or ak_op_ and 24 characters.";
    Some(Finding::new("key_id_malformed", format!("{says}{hint}")))
}

fn mend(headers: &mut RequestHeaders<'_>, name: &str) {
    let (lines, value) = match name {
        "X-API-Key" => (&mut headers.api_key, ANY_ID),
        "X-Timestamp" => (&mut headers.timestamp, ANY_TIMESTAMP),
        "X-Signature" => (&mut headers.signature, ANY_HEX),
        "X-Nim-Timestamp" => (&mut headers.nim_timestamp, ANY_TIMESTAMP),
        "X-Nim-Signature" => (&mut headers.nim_signature, ANY_HEX),
        "webhook-id" => (&mut headers.webhook_id, ANY_ID),
        "webhook-timestamp" => (&mut headers.webhook_timestamp, ANY_TIMESTAMP),
        _ => (&mut headers.webhook_signature, ANY_WEBHOOK),
    };
    *lines = vec![Some(value)];
}
