//! Reading the headers that name the key and carry the signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The headers of a request, as far as signatures go: each value with its lines in order.
///
/// `None` stands for a value that is not visible ASCII.
#[derive(Debug, Default, Clone)]
pub struct RequestHeaders<'a> {
    /// `X-API-Key`
    pub api_key: Vec<Option<&'a str>>,
    /// `X-Timestamp`
    pub timestamp: Vec<Option<&'a str>>,
    /// `X-Signature`
    pub signature: Vec<Option<&'a str>>,
    /// `X-Nim-Timestamp`
    pub nim_timestamp: Vec<Option<&'a str>>,
    /// `X-Nim-Signature`
    pub nim_signature: Vec<Option<&'a str>>,
    /// `webhook-id`
    pub webhook_id: Vec<Option<&'a str>>,
    /// `webhook-timestamp`
    pub webhook_timestamp: Vec<Option<&'a str>>,
    /// `webhook-signature`
    pub webhook_signature: Vec<Option<&'a str>>,
}

/// Well-formed signature headers. Nothing is proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead<'a> {
    /// The key that the caller names.
    pub key_id: &'a str,
    /// The timestamp as sent: this text is signed.
    pub timestamp: &'a str,
    /// The same in Unix seconds.
    pub unix_seconds: i64,
    /// The signatures.
    pub scheme: Scheme<'a>,
}

/// The signatures by scheme. No list holds more than eight entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `X-Signature`: plain (`v1`) and bound (`v2`) values.
    Hex {
        /// Values over timestamp and body.
        plain: Vec<[u8; 32]>,
        /// Values over the whole request.
        bound: Vec<[u8; 32]>,
    },
    /// `webhook-signature`.
    StandardWebhooks {
        /// The message id, which is signed.
        id: &'a str,
        /// The `v1` values.
        values: Vec<[u8; 32]>,
    },
}

/// How many signatures one request may carry (rotation needs two).
pub const SIGNATURES_MAX: usize = 8;

/// What is wrong with the headers. What it says is safe to tell anyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// 401: nothing to judge by.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// 400: which one counts?
    #[error("the header {0} is there more than once")]
    Repeated(&'static str),
    /// 400: which one counts?
    #[error("signature headers of more than one scheme")]
    MixedSchemes,
    /// 400: unreadable.
    #[error("the header {0} must be {1}")]
    Malformed(&'static str, &'static str),
}

const TIMESTAMP_FORM: &str = "Unix seconds, such as 1764109104";
const HEX_FORM: &str = "1 to 8 comma-separated values, each 64 hex digits, bare or after v1= or v2=";
const WEBHOOK_FORM: &str = "1 to 8 space-separated values, each v1, followed by base64 of 32 bytes";

impl<'a> RequestHeaders<'a> {
    /// Reads the headers of one scheme.
    pub fn parse(&self) -> Result<SignedHead<'a>, HeaderError> {
        let key_id = one("X-API-Key", &self.api_key, "visible ASCII")?;
        let plain = present(&[&self.timestamp, &self.signature]);
        let nim = present(&[&self.nim_timestamp, &self.nim_signature]);
        let webhook = present(&[&self.webhook_id, &self.webhook_timestamp, &self.webhook_signature]);
        if usize::from(plain) + usize::from(nim) + usize::from(webhook) > 1 {
            return Err(HeaderError::MixedSchemes);
        }
        if webhook {
            self.standard_webhooks(key_id)
        } else if nim {
            hex_scheme(key_id, "X-Nim-Timestamp", &self.nim_timestamp, "X-Nim-Signature", &self.nim_signature)
        } else {
            hex_scheme(key_id, "X-Timestamp", &self.timestamp, "X-Signature", &self.signature)
        }
    }

    fn standard_webhooks(&self, key_id: &'a str) -> Result<SignedHead<'a>, HeaderError> {
        const ID_FORM: &str = "1 to 255 visible ASCII characters without a dot";
        let id = one("webhook-id", &self.webhook_id, ID_FORM)?;
        let timestamp = one("webhook-timestamp", &self.webhook_timestamp, TIMESTAMP_FORM)?;
        let list = one("webhook-signature", &self.webhook_signature, WEBHOOK_FORM)?;
        let visible = id.bytes().all(|byte| byte.is_ascii_graphic());
        if !(1..=255).contains(&id.len()) || id.contains('.') || !visible {
            return Err(HeaderError::Malformed("webhook-id", ID_FORM));
        }
        let malformed = HeaderError::Malformed("webhook-signature", WEBHOOK_FORM);
        let mut values = Vec::new();
        for (index, entry) in list.split(' ').enumerate() {
            let (version, encoded) = entry.split_once(',').ok_or(malformed)?;
            if index >= SIGNATURES_MAX || version.is_empty() {
                return Err(malformed);
            }
            if version == "v1" {
                let bytes = STANDARD.decode(encoded).map_err(|_| malformed)?;
                values.push(bytes.try_into().map_err(|_| malformed)?);
            }
        }
        if values.is_empty() {
            return Err(malformed);
        }
        let unix_seconds = unix_seconds("webhook-timestamp", timestamp)?;
        Ok(SignedHead { key_id, timestamp, unix_seconds, scheme: Scheme::StandardWebhooks { id, values } })
    }
}

fn hex_scheme<'a>(
    key_id: &'a str,
    timestamp_name: &'static str,
    timestamp: &[Option<&'a str>],
    signature_name: &'static str,
    signature: &[Option<&'a str>],
) -> Result<SignedHead<'a>, HeaderError> {
    let timestamp = one(timestamp_name, timestamp, TIMESTAMP_FORM)?;
    let list = one(signature_name, signature, HEX_FORM)?;
    let malformed = HeaderError::Malformed(signature_name, HEX_FORM);
    let (mut plain, mut bound) = (Vec::new(), Vec::new());
    for (index, entry) in list.split(',').map(str::trim).enumerate() {
        if index >= SIGNATURES_MAX {
            return Err(malformed);
        }
        let (values, digits) = match entry.split_once('=') {
            None => (&mut plain, entry),
            Some(("v1", digits)) => (&mut plain, digits),
            Some(("v2", digits)) => (&mut bound, digits),
            Some((version, _)) if is_version(version) => continue,
            Some(_) => return Err(malformed),
        };
        let mut value = [0u8; 32];
        hex::decode_to_slice(digits, &mut value).map_err(|_| malformed)?;
        values.push(value);
    }
    if plain.is_empty() && bound.is_empty() {
        return Err(malformed);
    }
    let unix_seconds = unix_seconds(timestamp_name, timestamp)?;
    Ok(SignedHead { key_id, timestamp, unix_seconds, scheme: Scheme::Hex { plain, bound } })
}

/// `v3`, `v1a`, …: a version that this service does not know and skips.
fn is_version(name: &str) -> bool {
    name.strip_prefix('v').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.len() <= 8
            && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn present(headers: &[&Vec<Option<&str>>]) -> bool {
    headers.iter().any(|lines| !lines.is_empty())
}

fn one<'a>(
    name: &'static str,
    lines: &[Option<&'a str>],
    form: &'static str,
) -> Result<&'a str, HeaderError> {
    match lines {
        [] => Err(HeaderError::Missing(name)),
        [Some("")] => Err(HeaderError::Missing(name)),
        [Some(value)] => Ok(value),
        [None] => Err(HeaderError::Malformed(name, form)),
        _ => Err(HeaderError::Repeated(name)),
    }
}

/// `^[1-9][0-9]{8,10}$`: neither milliseconds, nor signs, nor leading zeros.
fn unix_seconds(name: &'static str, text: &str) -> Result<i64, HeaderError> {
    let well_formed =
        (9..=11).contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    let malformed = HeaderError::Malformed(name, TIMESTAMP_FORM);
    if well_formed { text.parse().map_err(|_| malformed) } else { Err(malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "32d029c351da0f351237b11ee89246b178fda6db3c0a03262078602cb6dcbead";

    fn headers<'a>(timestamp: &'a str, signature: &'a str) -> RequestHeaders<'a> {
        RequestHeaders {
            api_key: vec![Some("ak_live_x")],
            timestamp: vec![Some(timestamp)],
            signature: vec![Some(signature)],
            ..RequestHeaders::default()
        }
    }

    #[test]
    fn a_list_may_mix_forms_and_unknown_versions_are_skipped() {
        let list = format!("{HEX}, v1={},v2={HEX},v3=zzz", HEX.to_uppercase());
        let head = headers("1764109104", &list);
        let Scheme::Hex { plain, bound } = head.parse().unwrap().scheme else { panic!() };
        assert_eq!((plain.len(), bound.len()), (2, 1));
    }

    #[test]
    fn malformed_signatures_are_told_apart_from_missing_ones() {
        let nine = [HEX; 9].join(",");
        for bad in [
            "abc",
            "v1=",
            "v2=zz",
            "v3=abc",
            "sha256=abc",
            ",",
            &format!("{HEX},"),
            &nine,
            HEX.trim_start_matches('3'),
        ] {
            assert!(matches!(headers("1764109104", bad).parse(), Err(HeaderError::Malformed(..))), "{bad}");
        }
        assert_eq!(headers("1764109104", "").parse(), Err(HeaderError::Missing("X-Signature")));
    }

    #[test]
    fn timestamps_are_unix_seconds_and_nothing_else() {
        for bad in
            ["0", "-1764109104", "+1764109104", "1764109104000", "1764109104.0", "01764109104", "1e9", "NaN"]
        {
            assert!(matches!(headers(bad, HEX).parse(), Err(HeaderError::Malformed(..))), "{bad}");
        }
    }

    #[test]
    fn one_scheme_and_one_of_each_header() {
        let mut mixed = headers("1764109104", HEX);
        mixed.webhook_id = vec![Some("msg_1")];
        assert_eq!(mixed.parse(), Err(HeaderError::MixedSchemes));
        let mut doubled = headers("1764109104", HEX);
        doubled.signature.push(Some(HEX));
        assert_eq!(doubled.parse(), Err(HeaderError::Repeated("X-Signature")));
    }
}
