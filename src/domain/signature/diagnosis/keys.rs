//! What senders take for the key of the HMAC.

use zeroize::Zeroizing;

use super::finding::Finding;
use super::lenient_base64;
use crate::domain::secret::SigningSecret;
use crate::domain::signature::Form;

/// A key, and the mistakes that taking it is.
pub struct Key {
    /// What the HMAC is keyed with.
    pub bytes: Zeroizing<Vec<u8>>,
    /// None where it is right.
    pub mistakes: Vec<Finding>,
}

/// White space that files, forms and environments leave around a secret.
const AROUND: [(&str, &str, &str); 5] = [
    ("", "\n", "a line feed behind it"),
    ("", "\r\n", "CR and LF behind it"),
    ("", "\r", "a carriage return behind it"),
    ("", " ", "a space behind it"),
    (" ", "", "a space before it"),
];

/// Every key, the right one of the form first.
pub fn keys(form: Form, secret: &SigningSecret, key_id: &str) -> Vec<Key> {
    let text = Zeroizing::new(secret.expose_text().as_bytes().to_vec());
    let decoded = secret.expose_bytes();
    let encoded = secret.expose_text().split_once('_').map_or("", |(_, encoded)| encoded);
    let of_text = matches!(form, Form::Plain | Form::Bound);
    let mut keys = Keys(Vec::new());
    if of_text {
        keys.or(text.to_vec(), vec![]);
        keys.or(encoded.as_bytes().to_vec(), vec![without_prefix()]);
        keys.or(decoded.to_vec(), vec![decoded_as_key()]);
    } else {
        keys.or(decoded.to_vec(), vec![]);
        keys.or(text.to_vec(), vec![text_as_key()]);
        keys.or(encoded.as_bytes().to_vec(), vec![encoded_as_key()]);
    }
    for (before, behind, where_) in AROUND {
        let white_space = white_space(where_);
        let around = |inner: &[u8]| [before.as_bytes(), inner, behind.as_bytes()].concat();
        if of_text {
            keys.or(around(&text), vec![white_space.clone()]);
            keys.or(around(encoded.as_bytes()), vec![without_prefix(), white_space]);
        } else {
            keys.or(around(&text), vec![text_as_key(), white_space]);
        }
    }
    for quote in ["\"", "'"] {
        keys.or([quote.as_bytes(), &text, quote.as_bytes()].concat(), vec![quoted()]);
    }
    keys.or(Vec::new(), vec![empty()]);
    keys.or(key_id.as_bytes().to_vec(), vec![id_as_key()]);
    for underscore in ["/", ""] {
        keys.or(prefix_decoded(secret, underscore), vec![prefix_decoded_too()]);
    }
    keys.0
}

struct Keys(Vec<Key>);

impl Keys {
    fn or(&mut self, bytes: Vec<u8>, mistakes: Vec<Finding>) {
        let bytes = Zeroizing::new(bytes);
        if self.0.iter().all(|known| known.bytes != bytes) {
            self.0.push(Key { bytes, mistakes });
        }
    }
}

/// The whole text through a decoder that knows no prefix: Node reads `_` as a digit of the URL-safe
/// alphabet, PHP and Python pass over it. A last digit that makes no byte is dropped.
fn prefix_decoded(secret: &SigningSecret, underscore: &str) -> Vec<u8> {
    let mut digits = Zeroizing::new(secret.expose_text().trim_end_matches('=').replace('_', underscore));
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    lenient_base64::decode(&digits).unwrap_or_default()
}

fn without_prefix() -> Finding {
    Finding::new(
        "secret_without_prefix",
        "The sender cut `whsec_` off the secret before using it as the key. For v1 and v2 the key is the \
         secret's whole text, `whsec_` included.",
    )
}

fn decoded_as_key() -> Finding {
    Finding::new(
        "secret_decoded",
        "The sender used the bytes that the secret's base64 stands for as the key. That is right for \
         Standard Webhooks only; for v1 and v2 the key is the secret's whole text, `whsec_` included.",
    )
}

fn text_as_key() -> Finding {
    Finding::new(
        "secret_text_as_key",
        "The sender used the secret's text as the key. For Standard Webhooks the key is the bytes that the \
         base64 behind `whsec_` stands for.",
    )
}

fn encoded_as_key() -> Finding {
    Finding::new(
        "secret_not_decoded",
        "The sender cut `whsec_` off and used the base64 text behind it as the key, undecoded. For Standard \
         Webhooks that text must be decoded, and its bytes are the key.",
    )
}

fn white_space(where_: &str) -> Finding {
    Finding::new(
        "secret_with_white_space",
        format!(
            "The sender's secret has {where_}, from a file or a copied line. Trim the secret when it is read."
        ),
    )
}

fn quoted() -> Finding {
    Finding::new(
        "secret_quoted",
        "The sender's secret stands in quotation marks, and they became a part of the key: some readers of \
         .env files and some containers keep them. Write the secret without quotation marks.",
    )
}

fn empty() -> Finding {
    Finding::new(
        "secret_empty",
        "The sender signed with an empty key: the variable or setting that it reads the secret from is not \
         set where it runs.",
    )
}

fn id_as_key() -> Finding {
    Finding::new(
        "key_id_as_secret",
        "The sender signed with the key's id (ak_…) instead of its secret (whsec_…).",
    )
}

fn prefix_decoded_too() -> Finding {
    Finding::new(
        "prefix_decoded",
        "The sender base64-decoded the whole secret, `whsec_` included, and used what came out as the key. \
         For v1 and v2 the key is the whole text, undecoded; for Standard Webhooks `whsec_` is cut off before \
         the rest is decoded.",
    )
}
