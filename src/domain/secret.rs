//! The secrets that merchants sign with: `whsec_` and base64 of 32 bytes (contract section 2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::time::Entropy;

/// A signing secret. `Debug` prints `[redacted]`; the memory is wiped on drop.
#[derive(Clone)]
pub struct SigningSecret(SecretString);

/// The text is no secret of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ followed by base64 of 24 to 64 bytes")]
pub struct InvalidSecret;

impl SigningSecret {
    const PREFIX: &'static str = "whsec_";

    /// A fresh secret of 32 random bytes.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0u8; 32]);
        entropy.fill(bytes.as_mut());
        Self(format!("{}{}", Self::PREFIX, STANDARD.encode(bytes.as_ref())).into())
    }

    /// Reads a secret. Other lengths than ours are taken within Standard Webhooks' bounds.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let secret = Self(text.to_owned().into());
        let length = secret.decoded().ok_or(InvalidSecret)?.len();
        if (24..=64).contains(&length) { Ok(secret) } else { Err(InvalidSecret) }
    }

    /// The text as the merchant holds it: what the plain and bound forms use as key.
    pub fn expose_text(&self) -> &str {
        self.0.expose_secret()
    }

    /// The bytes behind the prefix: what Standard Webhooks uses as key.
    pub fn expose_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.decoded().unwrap_or_default()
    }

    fn decoded(&self) -> Option<Zeroizing<Vec<u8>>> {
        let encoded = self.0.expose_secret().strip_prefix(Self::PREFIX)?;
        STANDARD.decode(encoded).ok().map(Zeroizing::new)
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}
