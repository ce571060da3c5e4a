use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::domain::signature::{HeaderError, IdempotencyKey, RequestHeaders, Scheme, SignedHead};

/// A header's text, as far as it is one: visible ASCII, spaces and tabs.
fn text(line: &[u8]) -> Option<&str> {
    let is_text = line.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(line).ok().filter(|_| is_text)
}

/// The signature headers of all schemes: one header per line, named by its first byte.
///
/// What is taken can be written in one way, which is read as the same.
pub fn signature_headers(data: &[u8]) {
    let mut headers = RequestHeaders::default();
    for line in data.split(|byte| *byte == b'\n').take(32) {
        let Some((name, value)) = line.split_first() else { continue };
        let lines = match name {
            b'k' => &mut headers.api_key,
            b't' => &mut headers.timestamp,
            b's' => &mut headers.signature,
            b'T' => &mut headers.nim_timestamp,
            b'S' => &mut headers.nim_signature,
            b'i' => &mut headers.webhook_id,
            b'w' => &mut headers.webhook_timestamp,
            _ => &mut headers.webhook_signature,
        };
        lines.push(text(value.trim_ascii()));
    }
    let head = match headers.parse() {
        Ok(head) => head,
        Err(HeaderError::Missing(name) | HeaderError::Repeated(name) | HeaderError::Malformed(name, _)) => {
            return assert!(!name.is_empty());
        }
        Err(HeaderError::MixedSchemes) => return,
    };
    assert!(!head.key_id.is_empty());
    assert_eq!(head.unix_seconds.to_string(), head.timestamp);
    let joined;
    let written = RequestHeaders { api_key: vec![Some(head.key_id)], ..RequestHeaders::default() };
    let written = match &head.scheme {
        Scheme::Hex { plain, bound } => {
            assert!((1..=8).contains(&(plain.len() + bound.len())));
            let value =
                |version: &'static str| move |value: &[u8; 32]| version.to_owned() + &hex::encode(value);
            let values = plain.iter().map(value("v1=")).chain(bound.iter().map(value("v2=")));
            joined = values.collect::<Vec<_>>().join(",");
            RequestHeaders {
                timestamp: vec![Some(head.timestamp)],
                signature: vec![Some(&joined)],
                ..written
            }
        }
        Scheme::StandardWebhooks { id, values } => {
            assert!((1..=8).contains(&values.len()) && !id.contains('.'));
            let values = values.iter().map(|value| format!("v1,{}", STANDARD.encode(value)));
            joined = values.collect::<Vec<_>>().join(" ");
            RequestHeaders {
                webhook_id: vec![Some(id)],
                webhook_timestamp: vec![Some(head.timestamp)],
                webhook_signature: vec![Some(&joined)],
                ..written
            }
        }
    };
    let again: SignedHead<'_> = written.parse().expect("what was read is read again");
    assert_eq!(again, head);
}

/// An idempotency key: bare and quoted it is the same, and nothing but visible ASCII.
pub fn idempotency_key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(key) = IdempotencyKey::parse(text) else { return };
    let name = key.as_str();
    assert!((1..=IdempotencyKey::CHARS_MAX).contains(&name.len()));
    assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    let quoted = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    assert_eq!(IdempotencyKey::parse(&quoted).as_ref(), Ok(&key), "quoted it is another one");
    if !name.starts_with('"') {
        assert_eq!(IdempotencyKey::parse(name).as_ref(), Ok(&key), "bare it is another one");
    }
    assert_eq!(IdempotencyKey::parse(&format!(" {text} ")), Ok(key), "with spaces it is another one");
}
