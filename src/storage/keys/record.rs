//! Keys with all that their tags cover, to be verified before anything is judged by them.

use std::collections::HashMap;

use diesel::prelude::*;

use super::rows::{KeyRow, SecretRow};
use super::{StoredKey, StoredSecret};
use crate::domain::vault::{MasterKeyRing, OpenError};
use crate::storage::schema::{api_keys, key_secrets, merchants};
use crate::storage::{AnyConnection, StoreError};

/// A key with its secrets, as they lie in the database: verified by nobody yet.
pub struct Record {
    row: KeyRow,
    secrets: Vec<SecretRow>,
    suspended: bool,
}

impl Record {
    pub(super) const fn new(row: KeyRow, secrets: Vec<SecretRow>, suspended: bool) -> Self {
        Self { row, secrets, suspended }
    }

    /// What the key's tag must cover.
    pub(super) fn message(&self) -> Vec<u8> {
        self.row.message(&self.secrets, self.suspended)
    }

    /// The key's id, which may be anything until the record is verified.
    pub fn id(&self) -> &str {
        &self.row.key_id
    }

    /// The key and its secrets, newest first, if nothing that decides about them was changed without the
    /// master key.
    pub fn verified(self, ring: &MasterKeyRing) -> Result<(StoredKey, Vec<StoredSecret>), StoreError> {
        self.verify(ring)?;
        let key = self.row.into_key()?;
        let secrets = self.secrets.into_iter().map(SecretRow::into_secret).collect::<Result<_, _>>()?;
        Ok((key, secrets))
    }

    pub(super) fn verify(&self, ring: &MasterKeyRing) -> Result<(), StoreError> {
        ring.verify(&self.row.tag(), &self.message()).map_err(|error| self.unusable(error))
    }

    fn verify_as(&self, ring: &MasterKeyRing, suspended: bool) -> Result<(), OpenError> {
        ring.verify(&self.row.tag(), &self.row.message(&self.secrets, suspended))
    }

    /// As [`Self::verify`], by whichever state its merchant had when the tag was made.
    pub(super) fn verify_in_any_state(&self, ring: &MasterKeyRing) -> Result<(), StoreError> {
        self.verify_as(ring, false)
            .or_else(|_| self.verify_as(ring, true))
            .map_err(|error| self.unusable(error))
    }

    fn unusable(&self, error: OpenError) -> StoreError {
        StoreError::Unusable(format!("key {}: {error}", self.row.key_id))
    }
}

/// All keys, by merchant and age, and the ids of keys that secrets stand under without being any key's.
pub fn records(connection: &mut AnyConnection) -> Result<(Vec<Record>, Vec<String>), StoreError> {
    let suspended: HashMap<String, bool> = merchants::table
        .select((merchants::merchant_id, merchants::suspended))
        .load(connection)?
        .into_iter()
        .collect();
    let rows: Vec<KeyRow> = api_keys::table
        .order((api_keys::merchant_id, api_keys::created_at, api_keys::key_id))
        .select(KeyRow::as_select())
        .load(connection)?;
    let mut secrets = by_key(connection)?;
    let records = rows
        .into_iter()
        .map(|row| {
            let of_key = secrets.remove(&(row.merchant_id.clone(), row.key_id.clone())).unwrap_or_default();
            let suspended = suspended.get(&row.merchant_id).copied().unwrap_or(false);
            Record::new(row, of_key, suspended)
        })
        .collect();
    let mut strays: Vec<String> = secrets.into_keys().map(|(_, key)| key).collect();
    strays.sort_unstable();
    Ok((records, strays))
}

type SecretsByKey = HashMap<(String, String), Vec<SecretRow>>;

fn by_key(connection: &mut AnyConnection) -> Result<SecretsByKey, StoreError> {
    let rows: Vec<SecretRow> = key_secrets::table
        .order((key_secrets::created_at.desc(), key_secrets::secret_id.desc()))
        .select(SecretRow::as_select())
        .load(connection)?;
    let mut secrets = SecretsByKey::new();
    for row in rows {
        secrets.entry((row.merchant_id.clone(), row.key_id.clone())).or_default().push(row);
    }
    Ok(secrets)
}
