//! Changing keys. Every change makes the key's tag anew, in its own transaction.
//!
//! Two changes of one key must not pass each other, or its tag would cover what is not there: the key's
//! row is locked before anything is read that the tag covers. A key is made under the lock of its
//! merchant's row, which a suspension changes before it looks for the merchant's keys.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::record::Record;
use super::rows::{KeyRow, SecretRow, owner};
use super::{StoredKey, StoredSecret};
use crate::domain::access::LIVE_SECRETS_MAX;
use crate::domain::ids::{KeyId, MerchantId};
use crate::domain::vault::{MasterKeyRing, OpenError};
use crate::storage::schema::{api_keys, key_secrets, merchants};
use crate::storage::{AnyConnection, StoreError};

/// Expired secrets are kept for this long: the clock of whoever rotates may be wrong.
const EXPIRED_KEPT: TimeDelta = TimeDelta::days(7);

/// What became of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The new secret is in force, the older expires.
    Done,
    /// There is no such key, or it is revoked.
    NoSuchKey,
    /// Two secrets are live already.
    TwoLive,
}

/// Adds a key with its first secret.
pub fn create(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    key: &StoredKey,
    secret: &StoredSecret,
) -> Result<(), StoreError> {
    connection.write(|c| {
        if let Some(merchant) = key.merchant_id {
            let row = merchants::table.filter(merchants::merchant_id.eq(merchant.to_string()));
            diesel::update(row).set(merchants::suspended.eq(merchants::suspended)).execute(c)?;
        }
        diesel::insert_into(api_keys::table).values(KeyRow::of(key)).execute(c)?;
        diesel::insert_into(key_secrets::table).values(SecretRow::of(secret)).execute(c)?;
        retag_one(c, ring, &owner(key.merchant_id), key.id.as_str())
    })
}

/// Adds a secret to a key; the one in force lives on until `old_expires_at`.
pub fn rotate(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    secret: &StoredSecret,
    old_expires_at: DateTime<Utc>,
    drop_oldest: bool,
) -> Result<Rotation, StoreError> {
    let now = secret.created_at;
    let (merchant, key_id) = (owner(secret.merchant_id), secret.key_id.as_str());
    connection.write(|c| {
        if lock(c, &merchant, key_id)? == 0 {
            return Ok(Rotation::NoSuchKey);
        }
        let (key, mut live) = load(c, &merchant, key_id)?.verified(ring)?;
        if key.revoked_at.is_some() {
            return Ok(Rotation::NoSuchKey);
        }
        live.retain(|secret| secret.is_live(now));
        if live.len() >= LIVE_SECRETS_MAX && !drop_oldest {
            return Ok(Rotation::TwoLive);
        }
        let of_key = key_secrets::merchant_id.eq(&merchant).and(key_secrets::key_id.eq(key_id));
        for (age, older) in live.iter().enumerate() {
            let expires_at = if age == 0 { old_expires_at } else { now };
            let row = key_secrets::table
                .filter(of_key)
                .filter(key_secrets::secret_id.eq(older.secret_id.to_string()));
            diesel::update(row).set(key_secrets::expires_at.eq(Some(expires_at.naive_utc()))).execute(c)?;
        }
        let forgotten = key_secrets::expires_at.lt((now - EXPIRED_KEPT).naive_utc());
        diesel::delete(key_secrets::table.filter(of_key).filter(forgotten)).execute(c)?;
        diesel::insert_into(key_secrets::table).values(SecretRow::of(secret)).execute(c)?;
        retag_one(c, ring, &merchant, key_id)?;
        Ok(Rotation::Done)
    })
}

/// Ends a key for good. `false` = there is none, or it had ended before and nobody has changed it since.
///
/// A key that somebody has changed without the master key ends so, too: it verifies again, revoked.
pub fn revoke(
    connection: &mut AnyConnection,
    ring: &MasterKeyRing,
    key: &KeyId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    connection.write(|c| {
        let mut changed = false;
        for merchant in owners_of(c, key)? {
            lock(c, &merchant, key.as_str())?;
            let altered = load(c, &merchant, key.as_str())?.verify(ring).is_err();
            let row = api_keys::table.find((&merchant, key.as_str())).filter(api_keys::revoked_at.is_null());
            let set = api_keys::revoked_at.eq(Some(now.naive_utc()));
            if altered | (diesel::update(row).set(set).execute(c)? == 1) {
                retag_one(c, ring, &merchant, key.as_str())?;
                changed = true;
            }
        }
        Ok(changed)
    })
}

/// Makes a key's tag over whatever its rows say now. Whoever calls it vouches for them.
pub fn retag(connection: &mut AnyConnection, ring: &MasterKeyRing, key: &KeyId) -> Result<(), StoreError> {
    connection.write(|c| {
        owners_of(c, key)?.iter().try_for_each(|merchant| {
            lock(c, merchant, key.as_str())?;
            retag_one(c, ring, merchant, key.as_str())
        })
    })
}

/// Whose rows have this id: one owner's, unless somebody has copied the row.
fn owners_of(c: &mut AnyConnection, key: &KeyId) -> Result<Vec<String>, StoreError> {
    let rows = api_keys::table.filter(api_keys::key_id.eq(key.as_str()));
    Ok(rows.select(api_keys::merchant_id).order(api_keys::merchant_id).load(c)?)
}

/// Locks a merchant's keys inside the caller's transaction, and verifies them by whichever state the
/// merchant has been in: it is about to be set.
pub fn lock_and_prove_of(
    c: &mut AnyConnection,
    ring: &MasterKeyRing,
    merchant: MerchantId,
) -> Result<(), StoreError> {
    let merchant = merchant.to_string();
    let keys = api_keys::table.filter(api_keys::merchant_id.eq(&merchant));
    diesel::update(keys).set(api_keys::require_v2.eq(api_keys::require_v2)).execute(c)?;
    for key in ids_of(c, &merchant)? {
        load(c, &merchant, &key)?.verify_in_any_state(ring)?;
    }
    Ok(())
}

/// Makes the tags of a merchant's keys anew inside the caller's transaction, which has proven them.
pub fn retag_of(c: &mut AnyConnection, ring: &MasterKeyRing, merchant: MerchantId) -> Result<(), StoreError> {
    let merchant = merchant.to_string();
    ids_of(c, &merchant)?.iter().try_for_each(|key| retag_one(c, ring, &merchant, key))
}

fn ids_of(c: &mut AnyConnection, merchant: &str) -> Result<Vec<String>, StoreError> {
    let keys = api_keys::table.filter(api_keys::merchant_id.eq(merchant));
    Ok(keys.select(api_keys::key_id).order(api_keys::key_id).load(c)?)
}

/// Locks a key's row; on SQLite the transaction itself does. How many rows it were.
fn lock(c: &mut AnyConnection, merchant: &str, key: &str) -> Result<usize, StoreError> {
    let row = api_keys::table.find((merchant, key));
    Ok(diesel::update(row).set(api_keys::require_v2.eq(api_keys::require_v2)).execute(c)?)
}

/// A key as the caller's transaction sees it.
pub(super) fn load(c: &mut AnyConnection, merchant: &str, key: &str) -> Result<Record, StoreError> {
    let row: KeyRow = api_keys::table.find((merchant, key)).select(KeyRow::as_select()).first(c)?;
    let secrets: Vec<SecretRow> = key_secrets::table
        .filter(key_secrets::merchant_id.eq(merchant).and(key_secrets::key_id.eq(key)))
        .order((key_secrets::created_at.desc(), key_secrets::secret_id.desc()))
        .select(SecretRow::as_select())
        .load(c)?;
    let suspended: Option<bool> =
        merchants::table.find(merchant).select(merchants::suspended).first(c).optional()?;
    Ok(Record::new(row, secrets, suspended.unwrap_or(false)))
}

/// Makes the tag of a key that the caller's transaction has locked.
pub(super) fn retag_one(
    c: &mut AnyConnection,
    ring: &MasterKeyRing,
    merchant: &str,
    key: &str,
) -> Result<(), StoreError> {
    let record = load(c, merchant, key)?;
    let tag = ring
        .tag(&record.message())
        .map_err(|error: OpenError| StoreError::Unusable(format!("key {key}: {error}")))?;
    diesel::update(api_keys::table.find((merchant, key)))
        .set((api_keys::tag.eq(tag.bytes), api_keys::tag_master_key.eq(i32::from(tag.key_number))))
        .execute(c)?;
    Ok(())
}
