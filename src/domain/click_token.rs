//! Click tokens, `nim_ct`: proof of a click that verifies without a look-up (contract section 5).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::ids::{ClickId, MerchantId};
use super::signature::hmac_sha256;

const VERSION: u8 = 1;
const PAYLOAD_LEN: usize = 66;
const TAG_LEN: usize = 16;
const TOKEN_LEN: usize = PAYLOAD_LEN + TAG_LEN;
/// A token's length, in characters.
pub const CHARS: usize = (TOKEN_LEN * 4).div_ceil(3);
const DOMAIN_SEPARATION: &[u8] = b"nim_ct/v1";

/// What a genuine token says. It can only come from [`TokenRing::verify`] or be minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClickToken {
    /// The merchant whose link was clicked.
    pub merchant_id: MerchantId,
    /// The short link's domain.
    pub domain_id: Uuid,
    /// The short link.
    pub url_id: Uuid,
    /// The click.
    pub click_id: ClickId,
    /// When it was clicked: the time inside the click's id.
    pub clicked_at: DateTime<Utc>,
}

/// The text is no token of ours. Why is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a genuine click token")]
pub struct InvalidToken;

/// One key of the ring, ready to use.
#[derive(Clone)]
pub struct TokenKey(Hmac<Sha256>);

impl TokenKey {
    /// A key of these bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac_sha256(bytes))
    }

    fn tag(&self, payload: &[u8]) -> [u8; TAG_LEN] {
        let mut mac = self.0.clone();
        mac.update(DOMAIN_SEPARATION);
        mac.update(payload);
        let full = mac.finalize().into_bytes();
        let mut tag = [0u8; TAG_LEN];
        tag.iter_mut().zip(full.iter()).for_each(|(to, from)| *to = *from);
        tag
    }
}

/// The keys by number. One signs, all verify.
#[derive(Clone, Default)]
pub struct TokenRing(BTreeMap<u8, TokenKey>);

impl TokenRing {
    /// A ring of these keys; the highest number signs.
    pub fn new(keys: impl IntoIterator<Item = (u8, TokenKey)>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// The number of the key that signs, if there is one.
    pub fn newest(&self) -> Option<u8> {
        self.0.last_key_value().map(|(number, _)| *number)
    }

    /// Makes the token of a click. `None` when the ring is empty or the click's id is no UUIDv7.
    pub fn mint(
        &self,
        merchant: MerchantId,
        domain_id: Uuid,
        url_id: Uuid,
        click: ClickId,
    ) -> Option<String> {
        click.clicked_at()?;
        let (number, key) = self.0.last_key_value()?;
        let mut bytes = Vec::with_capacity(TOKEN_LEN);
        bytes.extend([VERSION, *number]);
        for uuid in [merchant.uuid(), domain_id, url_id, click.uuid()] {
            bytes.extend_from_slice(uuid.as_bytes());
        }
        bytes.extend(key.tag(&bytes));
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token. Only the canonical encoding under a key of the ring is genuine.
    pub fn verify(&self, text: &str) -> Result<ClickToken, InvalidToken> {
        self.inspect(text).map(|(_, token)| token)
    }

    /// As [`Self::verify`], with the number of the key that signed.
    pub fn inspect(&self, text: &str) -> Result<(u8, ClickToken), InvalidToken> {
        let mut bytes = [0u8; TOKEN_LEN];
        let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(|_| InvalidToken)?;
        let (payload, tag) = bytes.split_at_checked(PAYLOAD_LEN).ok_or(InvalidToken)?;
        let [version, number, uuids @ ..] = payload else { return Err(InvalidToken) };
        if decoded != TOKEN_LEN || *version != VERSION {
            return Err(InvalidToken);
        }
        let key = self.0.get(number).ok_or(InvalidToken)?;
        if !bool::from(key.tag(payload).ct_eq(tag)) {
            return Err(InvalidToken);
        }
        let (uuids, _) = uuids.as_chunks::<16>();
        let [merchant, domain, url, click] = uuids else { return Err(InvalidToken) };
        let click_id = ClickId::from_uuid(Uuid::from_bytes(*click));
        let token = ClickToken {
            merchant_id: MerchantId::from_uuid(Uuid::from_bytes(*merchant)),
            domain_id: Uuid::from_bytes(*domain),
            url_id: Uuid::from_bytes(*url),
            click_id,
            clicked_at: click_id.clicked_at().ok_or(InvalidToken)?,
        };
        Ok((*number, token))
    }
}

impl std::fmt::Debug for TokenRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
