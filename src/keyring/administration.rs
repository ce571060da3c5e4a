//! What the command line does with keys: every secret is sealed before it is stored.

use chrono::{DateTime, TimeDelta, Utc};
use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::domain::ids::{KeyId, KeyKind, MerchantId, uuid_v7};
use crate::domain::secret::SigningSecret;
use crate::domain::time::Entropy;
use crate::domain::vault::{MasterKeyRing, OpenError, Sealed};
use crate::storage::keys::{Rotation, StoredKey, StoredSecret};
use crate::storage::token_keys::{Retirement, StoredTokenKey};
use crate::storage::{AnyConnection, StoreError, keys, token_keys};

/// What a new key shall be.
#[derive(Debug, Clone)]
pub struct KeyRequest {
    /// Live, test or operator.
    pub kind: KeyKind,
    /// Whose; `None` for an operator's.
    pub merchant_id: Option<MerchantId>,
    /// Where requests may come from; empty = anywhere.
    pub ip_allow: Vec<IpNet>,
    /// Takes bound signatures only.
    pub require_v2: bool,
}

/// A key and its secret, which is shown this once.
#[derive(Debug)]
pub struct IssuedKey {
    /// The public id.
    pub key_id: KeyId,
    /// The secret.
    pub secret: SigningSecret,
}

/// Why a rotation was not done.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// No such key, or a revoked one.
    #[error("there is no key {0} in force")]
    NoSuchKey(KeyId),
    /// Two secrets are live.
    #[error("{0} has two live secrets already: wait for the older to expire, or end it with --drop-oldest")]
    TwoLive(KeyId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a key.
pub fn issue_key(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    request: KeyRequest,
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Result<IssuedKey, StoreError> {
    let key = StoredKey {
        id: KeyId::generate(request.kind, entropy),
        merchant_id: request.merchant_id,
        ip_allow: request.ip_allow,
        require_v2: request.require_v2,
        created_at: now,
        revoked_at: None,
    };
    let (secret, stored) = new_secret(ring, &key.id, key.merchant_id, now, entropy)?;
    keys::create(connection, ring, &key, &stored)?;
    Ok(IssuedKey { key_id: key.id, secret })
}

/// Gives a key a new secret; the one in force lives on for `overlap`.
pub fn rotate_key(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    key_id: &KeyId,
    (overlap, drop_oldest): (TimeDelta, bool),
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Result<IssuedKey, RotateError> {
    let known = keys::all(connection)?.into_iter().find(|key| key.id == *key_id);
    let key = known.ok_or_else(|| RotateError::NoSuchKey(key_id.clone()))?;
    let (secret, stored) = new_secret(ring, key_id, key.merchant_id, now, entropy)?;
    match keys::rotate(connection, ring, &stored, now + overlap, drop_oldest)? {
        Rotation::Done => Ok(IssuedKey { key_id: key_id.clone(), secret }),
        Rotation::NoSuchKey => Err(RotateError::NoSuchKey(key_id.clone())),
        Rotation::TwoLive => Err(RotateError::TwoLive(key_id.clone())),
    }
}

/// Makes the first token key if there is none, so that clicks can be minted.
pub fn ensure_token_key(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Result<(), StoreError> {
    if token_keys::all(connection)?.is_empty() {
        // Should another instance be faster, its key stands.
        token_keys::add(connection, &new_token_key(ring, 1, now, entropy)?)?;
    }
    Ok(())
}

/// Adds a token key, which signs from now on; the others still verify. Returns its number.
pub fn rotate_token_key(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Result<u8, StoreError> {
    let newest = token_keys::all(connection)?.last().map_or(0, |key| key.number);
    let number = newest.checked_add(1).ok_or_else(|| {
        StoreError::Unusable("the ring of token keys is full: it has number 255".to_owned())
    })?;
    if token_keys::add(connection, &new_token_key(ring, number, now, entropy)?)? {
        Ok(number)
    } else {
        Err(StoreError::Unusable("another rotation was faster: nothing was done".to_owned()))
    }
}

/// Takes a token key out of force from an instant on: its tokens are not genuine any more.
pub fn retire_token_key(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    number: u8,
    (at, now): (DateTime<Utc>, DateTime<Utc>),
    entropy: &dyn Entropy,
) -> Result<Retirement, StoreError> {
    token_keys::retire(connection, number, (at, now), |before, after| {
        reseal(ring, &before.sealed, (&before.purpose(), &after.purpose()), entropy)
    })
}

/// Encrypts and tags everything anew with the ring's newest key. Returns how many secrets and token keys.
pub fn rewrap(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Result<(usize, usize), StoreError> {
    connection.write(|c| {
        let secrets = keys::rewrap(c, ring, now, entropy)?;
        let tokens = token_keys::rewrap(c, |key| {
            reseal(ring, &key.sealed, (&key.purpose(), &key.purpose()), entropy)
        })?;
        Ok((secrets, tokens))
    })
}

/// Opens what was sealed for one purpose and seals it for another.
fn reseal(
    ring: &MasterKeyRing,
    sealed: &Sealed,
    (before, after): (&str, &str),
    entropy: &dyn Entropy,
) -> Result<Sealed, StoreError> {
    let plain = ring.open(sealed, before).map_err(unusable)?;
    ring.seal(&plain, after, entropy).map_err(unusable)
}

fn new_secret(
    ring: &MasterKeyRing,
    key_id: &KeyId,
    merchant_id: Option<MerchantId>,
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Result<(SigningSecret, StoredSecret), StoreError> {
    let secret = SigningSecret::generate(entropy);
    let secret_id = uuid_v7(now, entropy);
    let purpose = keys::purpose(merchant_id, key_id, secret_id);
    let sealed = ring.seal(secret.expose_text().as_bytes(), &purpose, entropy).map_err(unusable)?;
    let stored = StoredSecret {
        key_id: key_id.clone(),
        merchant_id,
        secret_id,
        sealed,
        created_at: now,
        expires_at: None,
    };
    Ok((secret, stored))
}

fn new_token_key(
    ring: &MasterKeyRing,
    number: u8,
    now: DateTime<Utc>,
    entropy: &dyn Entropy,
) -> Result<StoredTokenKey, StoreError> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    entropy.fill(bytes.as_mut());
    let purpose = token_keys::purpose(number, now, None);
    let sealed = ring.seal(bytes.as_ref(), &purpose, entropy).map_err(unusable)?;
    Ok(StoredTokenKey { number, sealed, created_at: now, retired_at: None })
}

fn unusable(error: OpenError) -> StoreError {
    StoreError::Unusable(error.to_string())
}
