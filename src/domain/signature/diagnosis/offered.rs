//! The signature values that a request carries, wherever and however they are written.

use super::finding::Finding;
use super::lenient_base64;
use super::recorded::RecordedRequest;
use crate::domain::signature::Form;

/// A header that signatures are found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    XSignature,
    XNimSignature,
    WebhookSignature,
    Svix,
    Stripe,
    GitHub,
    Slack,
    Shopify,
}

const OURS: [Place; 3] = [Place::XSignature, Place::XNimSignature, Place::WebhookSignature];
const FOREIGN: [Place; 5] = [Place::Svix, Place::Stripe, Place::GitHub, Place::Slack, Place::Shopify];

/// How a value's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Hex,
    Base64,
    /// Base64 without padding, or in the URL-safe alphabet.
    OtherBase64,
    /// Base64 over hex digits.
    Base64OfHex,
}

/// A value that could be a MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    pub place: Place,
    /// What stands before the value: `v1`, `sha256`, …
    label: Option<String>,
    /// Whether `=` stands between label and value, and not a comma.
    equals: bool,
    writing: Writing,
    /// The bytes: 32, or 64 for SHA-512.
    pub digest: Vec<u8>,
}

impl Place {
    /// The header's name.
    pub const fn header(self) -> &'static str {
        match self {
            Self::XSignature => "X-Signature",
            Self::XNimSignature => "X-Nim-Signature",
            Self::WebhookSignature => "webhook-signature",
            Self::Svix => "svix-signature",
            Self::Stripe => "Stripe-Signature",
            Self::GitHub => "X-Hub-Signature-256",
            Self::Slack => "X-Slack-Signature",
            Self::Shopify => "X-Shopify-Hmac-Sha256",
        }
    }

    /// What is wrong with a header that only other services read.
    pub fn foreign(self) -> Option<Finding> {
        match self {
            Self::XSignature | Self::XNimSignature | Self::WebhookSignature => None,
            Self::Svix => Some(Finding::new(
                "svix_headers",
                "The headers are named svix-id, svix-timestamp and svix-signature. Here they are webhook-id, \
                 webhook-timestamp and webhook-signature, as Standard Webhooks 1.0 names them.",
            )),
            Self::Stripe => Some(stripe()),
            Self::GitHub => Some(github()),
            Self::Slack => Some(slack()),
            Self::Shopify => Some(Finding::new(
                "shopify_scheme",
                "The request is signed as Shopify signs: base64 in X-Shopify-Hmac-Sha256, over the body alone. \
                 Here X-Signature carries hex, and the timestamp is signed, too.",
            )),
        }
    }
}

/// The foreign headers that a request carries.
pub fn foreign_places(request: &RecordedRequest) -> Vec<Place> {
    FOREIGN.into_iter().filter(|place| !request.lines(place.header()).is_empty()).collect()
}

/// Every value of the request. Other services' headers are read only where ours carry none: a sender
/// may serve several.
pub fn offered(request: &RecordedRequest) -> Vec<Offered> {
    let of = |places: &[Place]| -> Vec<Offered> {
        let lines = places
            .iter()
            .flat_map(|place| request.lines(place.header()).into_iter().flatten().map(|line| (*place, line)));
        lines.flat_map(|(place, line)| values(place, line)).collect()
    };
    let ours = of(&OURS);
    if ours.is_empty() { of(&FOREIGN) } else { ours }
}

/// The timestamp inside a value as Stripe writes it: `t=…,v1=…`.
pub fn inner_timestamp(request: &RecordedRequest) -> Option<&str> {
    [Place::Stripe, Place::XSignature, Place::XNimSignature].into_iter().find_map(|place| {
        request.first(place.header())?.split(',').find_map(|entry| entry.trim().strip_prefix("t="))
    })
}

fn values(place: Place, line: &str) -> Vec<Offered> {
    let standard_webhooks = matches!(place, Place::WebhookSignature | Place::Svix);
    let entries: Vec<&str> =
        if standard_webhooks { line.split(' ').collect() } else { line.split(',').map(str::trim).collect() };
    let timed = entries.iter().any(|entry| entry.starts_with("t="));
    let mut found = Vec::new();
    for entry in entries {
        let by_comma = entry.split_once(',').filter(|(label, _)| is_label(label));
        let by_equals = entry.split_once('=').filter(|(label, rest)| {
            // Not the padding of a bare base64 value.
            is_label(label) && !rest.trim_matches('=').is_empty()
        });
        let (label, text, equals) = match (by_comma, by_equals) {
            (Some((label, text)), _) if standard_webhooks => (Some(label), text, false),
            (_, Some((label, text))) => (Some(label), text, true),
            _ => (None, entry, false),
        };
        if let Some((digest, writing)) = decode(text) {
            let label = if timed { Some("t".to_owned()) } else { label.map(str::to_owned) };
            found.push(Offered { place, label, equals, writing, digest });
        }
    }
    found
}

/// Short, so that a secret mistaken for a label is never shown.
fn is_label(text: &str) -> bool {
    (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn decode(text: &str) -> Option<(Vec<u8>, Writing)> {
    let fits = |bytes: &Vec<u8>| matches!(bytes.len(), 32 | 64);
    if let Some(bytes) = hex::decode(text).ok().filter(fits) {
        return Some((bytes, Writing::Hex));
    }
    let bytes = lenient_base64::decode(text)?;
    if let Some(inner) = hex::decode(&bytes).ok().filter(fits) {
        return Some((inner, Writing::Base64OfHex));
    }
    let standard = text.len().is_multiple_of(4) && !text.contains(['-', '_']);
    let writing = if standard { Writing::Base64 } else { Writing::OtherBase64 };
    Some(bytes).filter(fits).map(|bytes| (bytes, writing))
}

impl Offered {
    /// What is wrong with the place, the label and the writing of a value whose MAC is of this form.
    pub fn mistakes(&self, form: Form) -> Vec<Finding> {
        if let Some(finding) = self.place.foreign() {
            return vec![finding];
        }
        let mut mistakes = Vec::new();
        if self.place == Place::WebhookSignature {
            if form != Form::StandardWebhooks {
                mistakes.push(hex_form_in_webhook_signature(form));
            } else if self.equals || self.label.as_deref() != Some("v1") {
                mistakes.push(webhook_label());
            }
        } else {
            mistakes.extend(self.label_mistake(form));
        }
        mistakes.extend(self.writing_mistake());
        mistakes
    }

    /// What is wrong with the label of a value in `X-Signature`.
    fn label_mistake(&self, form: Form) -> Option<Finding> {
        match (form, self.label.as_deref()) {
            (Form::Plain, None | Some("v1")) | (Form::Bound, Some("v2")) => None,
            (_, Some("t")) => Some(stripe()),
            (_, Some("sha256")) => Some(github()),
            (_, Some("v0")) => Some(slack()),
            (Form::StandardWebhooks, _) => Some(Finding::new(
                "webhook_value_in_x_signature",
                format!(
                    "{} carries the MAC of Standard Webhooks. Send it in webhook-signature, with webhook-id and \
                     webhook-timestamp and without the other headers; or sign v1 or v2.",
                    self.place.header()
                ),
            )),
            (Form::Plain, Some("v2")) => Some(Finding::new(
                "plain_labelled_v2",
                "The value is a right v1 (over timestamp and body) but is labelled v2. Label it v1=, or sign \
                 the seven lines of v2.",
            )),
            (Form::Bound, None | Some("v1")) => Some(Finding::new(
                "bound_labelled_v1",
                "The value is a right v2 (over the seven lines) but is bare or labelled v1. Label it v2=.",
            )),
            (_, Some(label)) => Some(Finding::new(
                "unknown_label",
                format!("The value is labelled {label}=. Here a v1 is bare or labelled v1=, and a v2 v2=."),
            )),
        }
    }

    fn writing_mistake(&self) -> Option<Finding> {
        let webhook = self.place == Place::WebhookSignature;
        match self.writing {
            Writing::Hex if webhook => Some(Finding::new(
                "hex_in_webhook_signature",
                "webhook-signature carries the MAC in hex; Standard Webhooks writes it in base64.",
            )),
            Writing::Hex => None,
            Writing::Base64 if webhook => None,
            Writing::OtherBase64 if webhook => Some(Finding::new(
                "base64_not_standard",
                "webhook-signature carries the MAC in URL-safe base64 or without its padding; it must be \
                 standard base64, with padding.",
            )),
            Writing::Base64OfHex => Some(Finding::new(
                "base64_of_hex",
                format!(
                    "{} carries base64 over the MAC's hex digits: it was encoded twice. {}",
                    self.place.header(),
                    if webhook { "Encode the 32 bytes themselves." } else { "Send the hex digits." }
                ),
            )),
            Writing::Base64 | Writing::OtherBase64 => Some(Finding::new(
                "base64_in_x_signature",
                format!("{} carries the MAC in base64; it must be hex.", self.place.header()),
            )),
        }
    }
}

fn hex_form_in_webhook_signature(form: Form) -> Finding {
    Finding::new(
        "hex_form_in_webhook_signature",
        format!(
            "webhook-signature carries the MAC of {}. Send it in X-Signature, with X-Timestamp, in hex; or \
             sign {{id}}.{{timestamp}}.{{body}} with the decoded secret, as Standard Webhooks does.",
            form.as_str()
        ),
    )
}

fn webhook_label() -> Finding {
    Finding::new(
        "webhook_label",
        "The value in webhook-signature must be written as v1,<base64>: the version, a comma, the MAC.",
    )
}

fn stripe() -> Finding {
    Finding::new(
        "stripe_scheme",
        "The signature is written as Stripe writes it, t=…,v1=…. Here the timestamp has a header of its own, \
         X-Timestamp, and X-Signature carries v1=<hex> alone.",
    )
}

fn github() -> Finding {
    Finding::new(
        "github_scheme",
        "The signature is written as GitHub writes it, sha256=<hex>. Here X-Signature carries v1=<hex> or the \
         bare hex, and the timestamp is signed, too: {timestamp}.{body}.",
    )
}

/// Slack's way: the label, the string, or both.
pub fn slack() -> Finding {
    Finding::new(
        "slack_scheme",
        "The request is signed as Slack signs: v0=<hex> over v0:{timestamp}:{body}. Here X-Signature carries \
         v1=<hex> over {timestamp}.{body}.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "32d029c351da0f351237b11ee89246b178fda6db3c0a03262078602cb6dcbead";

    fn only(header: &str) -> Offered {
        let request = RecordedRequest::read(header, None, None).unwrap();
        let [value] = offered(&request).try_into().unwrap();
        value
    }

    #[test]
    fn values_are_read_in_every_writing() {
        let base64 = "MtApw1HaDzUSN7Ee6JJGsXj9pts8CgMmIHhgLLbcvq0=";
        for (header, label, writing) in [
            (format!("X-Signature: {HEX}"), None, Writing::Hex),
            (format!("X-Signature: v1={}", HEX.to_uppercase()), Some("v1"), Writing::Hex),
            (format!("X-Signature: {base64}"), None, Writing::Base64),
            (format!("X-Signature: v2={base64}"), Some("v2"), Writing::Base64),
            (format!("X-Signature: t=1764109104,v1={HEX}"), Some("t"), Writing::Hex),
            (format!("webhook-signature: v1,{base64}"), Some("v1"), Writing::Base64),
            (format!("webhook-signature: v1,{HEX}"), Some("v1"), Writing::Hex),
            (format!("webhook-signature: {}", base64.trim_end_matches('=')), None, Writing::OtherBase64),
            (format!("X-Hub-Signature-256: sha256={HEX}"), Some("sha256"), Writing::Hex),
        ] {
            let value = only(&header);
            assert_eq!((value.label.as_deref(), value.writing), (label, writing), "{header}");
            assert_eq!(hex::encode(value.digest), HEX, "{header}");
        }
    }

    #[test]
    fn a_secret_in_place_of_a_value_is_no_label() {
        let request = RecordedRequest::read("X-Signature: whsec_AQIDBAUGBwg=AA", None, None).unwrap();
        assert!(offered(&request).is_empty());
    }
}
