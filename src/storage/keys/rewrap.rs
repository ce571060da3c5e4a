//! Encrypting secrets and tagging keys anew.

use diesel::prelude::*;

use super::change::{load, retag_one};
use super::rows::{KeyRow, SecretRow};
use crate::domain::time::Entropy;
use crate::domain::vault::{MasterKeyRing, OpenError};
use crate::storage::schema::{api_keys, key_secrets};
use crate::storage::{AnyConnection, StoreError};

/// Encrypts every secret and tags every key anew with the ring's newest key, inside the caller's
/// transaction; how many secrets it were.
///
/// # Errors
/// A key that does not verify, or a secret in force that does not open. What a revoked key was sealed
/// with, or what has expired, is of no use: where it does not open it stays as it is.
pub fn rewrap(
    c: &mut AnyConnection,
    ring: &MasterKeyRing,
    now: chrono::DateTime<chrono::Utc>,
    entropy: &dyn Entropy,
) -> Result<usize, StoreError> {
    // Nobody changes a key between its verification and its new tag.
    diesel::update(api_keys::table).set(api_keys::require_v2.eq(api_keys::require_v2)).execute(c)?;
    let rows: Vec<KeyRow> = api_keys::table.select(KeyRow::as_select()).load(c)?;
    let mut count = 0;
    for KeyRow { merchant_id, key_id, .. } in rows {
        let (key, secrets) = load(c, &merchant_id, &key_id)?.verified(ring)?;
        for secret in secrets {
            let purpose = secret.purpose();
            let unusable =
                |error: OpenError| StoreError::Unusable(format!("a secret of key {key_id}: {error}"));
            let plain = match ring.open(&secret.sealed, &purpose) {
                Err(_) if key.revoked_at.is_some() || !secret.is_live(now) => continue,
                opened => opened.map_err(unusable)?,
            };
            let sealed = ring.seal(&plain, &purpose, entropy).map_err(unusable)?;
            let row = SecretRow::of(&secret);
            diesel::update(key_secrets::table.find((row.merchant_id, row.key_id, row.secret_id)))
                .set((
                    key_secrets::ciphertext.eq(sealed.bytes),
                    key_secrets::master_key.eq(i32::from(sealed.key_number)),
                ))
                .execute(c)?;
            count += 1;
        }
        retag_one(c, ring, &merchant_id, &key_id)?;
    }
    Ok(count)
}
