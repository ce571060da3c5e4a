//! The secret is never shown, not even where the sender put it into the request.

use zeroize::Zeroizing;

use super::expected::Expected;
use super::finding::Finding;
use super::recorded::RecordedRequest;
use crate::domain::secret::SigningSecret;

const SHOWN: &str = "[secret]";

/// Takes a secret out of texts.
pub struct Redaction {
    /// The base64 behind the prefix, without its padding, as it is written in texts, JSON and URLs.
    needles: Vec<Zeroizing<String>>,
}

impl Redaction {
    /// Prepares to look for a secret.
    pub fn new(secret: &SigningSecret) -> Self {
        let text = secret.expose_text();
        let encoded = text.split_once('_').map_or(text, |(_, encoded)| encoded).trim_end_matches('=');
        let ways = [
            ("+", "/"),
            ("+", "\\/"),
            ("\\u002B", "/"),
            ("%2B", "%2F"),
            ("%2b", "%2f"),
            ("-", "_"),
            (" ", "/"),
        ];
        let written =
            |(plus, slash): (&str, &str)| Zeroizing::new(encoded.replace('+', plus).replace('/', slash));
        Self { needles: ways.map(written).into() }
    }

    /// Where the request carries the secret, if it does.
    pub fn leak(&self, request: &RecordedRequest, body: &[u8]) -> Option<Finding> {
        let holds = |text: &str| self.needles.iter().any(|needle| text.contains(needle.as_str()));
        let in_header = request.headers().find(|(_, value)| holds(value)).map(|(name, _)| name.to_owned());
        let place = in_header
            .map(|name| format!("the header {name}"))
            .or_else(|| holds(request.target()).then(|| "the target".to_owned()))
            .or_else(|| holds(&String::from_utf8_lossy(body)).then(|| "the body".to_owned()))?;
        Some(Finding::new(
            "secret_sent",
            format!(
                "The secret itself stands in {place}: it must never be sent. Rotate the key now. (Below it is \
                 shown as {SHOWN}.)"
            ),
        ))
    }

    /// Takes it out of everything that is shown.
    pub fn clean(&self, findings: &mut [Finding], expected: &mut Expected) {
        for finding in findings {
            self.clean_text(&mut finding.explanation);
        }
        for (_, value) in &mut expected.headers {
            self.clean_text(value);
        }
        let mut signed = String::from_utf8_lossy(&expected.string_to_sign).into_owned();
        if self.clean_text(&mut signed) {
            expected.string_to_sign = signed.into_bytes();
        }
    }

    fn clean_text(&self, text: &mut String) -> bool {
        let mut found = false;
        for needle in self.needles.iter().filter(|needle| !needle.is_empty()) {
            if text.contains(needle.as_str()) {
                *text = text.replace(needle.as_str(), SHOWN);
                found = true;
            }
        }
        found
    }
}
