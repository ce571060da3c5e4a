//! Reading a snapshot out of the database.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::access::{ApiKey, KeyDirectory, LiveSecret};
use crate::domain::click_token::{TokenKey, TokenRing};
use crate::domain::ids::{KeyId, MerchantId};
use crate::domain::merchant::Merchant;
use crate::domain::quota::Usage;
use crate::domain::secret::SigningSecret;
use crate::domain::signature::SigningKeys;
use crate::domain::time::Entropy;
use crate::domain::vault::{MasterKeyRing, Sealed};
use crate::storage::keys::{StoredKey, StoredSecret};
use crate::storage::{AnyConnection, StoreError, keys, merchants, token_keys, usage};

/// Loads snapshots; secrets that did not change are not decrypted again.
pub struct Loader {
    ring: MasterKeyRing,
    dummy: SigningKeys,
    opened: HashMap<Uuid, (Sealed, SigningKeys)>,
}

impl Loader {
    /// A loader with a master key. The dummy secret is made up here and known to nobody.
    pub fn new(ring: MasterKeyRing, entropy: &dyn Entropy) -> Self {
        let dummy = SigningKeys::new(&SigningSecret::generate(entropy));
        Self { ring, dummy, opened: HashMap::new() }
    }

    /// Reads everything, on a connection that sees one moment.
    ///
    /// # Errors
    /// One secret that does not open fails the whole: without it a rightful merchant would be told
    /// 401, which it takes as final.
    pub fn load(
        &mut self,
        connection: &mut AnyConnection,
        now: DateTime<Utc>,
    ) -> Result<KeyDirectory, StoreError> {
        let keys = keys::all(connection)?;
        let revoked: HashSet<&KeyId> =
            keys.iter().filter(|key| key.revoked_at.is_some()).map(|key| &key.id).collect();
        // What a revoked key was sealed with is of no use, and of no harm should it not open.
        let mut stored = keys::secrets(connection, now)?;
        stored.retain(|secret| !revoked.contains(&secret.key_id));
        let merchants = merchants_of(connection, now)?;
        let mut secrets = self.secrets(stored)?;
        let mut directory = Vec::new();
        for key in keys {
            directory.push(api_key(key, &merchants, &mut secrets)?);
        }
        let token_ring = self.token_ring(connection)?;
        Ok(KeyDirectory::new(directory, self.dummy.clone(), token_ring).with_merchants(merchants))
    }

    /// Fails unless everything sealed in the database opens: before anything is sealed anew. Under a
    /// wrong master key a new secret would make the whole directory unreadable for the service.
    pub fn check(
        ring: &MasterKeyRing,
        connection: &mut AnyConnection,
        now: DateTime<Utc>,
        entropy: &dyn Entropy,
    ) -> Result<(), StoreError> {
        Self::new(ring.clone(), entropy).load(connection, now).map(|_| ()).map_err(|error| {
            StoreError::Unusable(format!(
                "{error}; the master key is not the one that the service has: nothing was done"
            ))
        })
    }

    fn secrets(&mut self, stored: Vec<StoredSecret>) -> Result<HashMap<KeyId, Vec<LiveSecret>>, StoreError> {
        let mut before = std::mem::take(&mut self.opened);
        let mut by_key: HashMap<KeyId, Vec<LiveSecret>> = HashMap::new();
        for secret in stored {
            let opened = match before.remove(&secret.secret_id) {
                Some((sealed, opened)) if sealed == secret.sealed => opened,
                _ => self.open(&secret)?,
            };
            self.opened.insert(secret.secret_id, (secret.sealed, opened.clone()));
            let live = LiveSecret { keys: opened, expires_at: secret.expires_at };
            by_key.entry(secret.key_id).or_default().push(live);
        }
        Ok(by_key)
    }

    fn open(&self, secret: &StoredSecret) -> Result<SigningKeys, StoreError> {
        let what = || format!("the secret of key {}", secret.key_id);
        let purpose = keys::purpose(secret.merchant_id, secret.secret_id);
        let plain = self
            .ring
            .open(&secret.sealed, &purpose)
            .map_err(|e| StoreError::Unusable(format!("{}: {e}", what())))?;
        std::str::from_utf8(&plain)
            .ok()
            .and_then(|text| SigningSecret::parse(text).ok())
            .map(|secret| SigningKeys::new(&secret))
            .ok_or_else(|| StoreError::Unusable(format!("{} is no secret", what())))
    }

    fn token_ring(&self, connection: &mut AnyConnection) -> Result<TokenRing, StoreError> {
        let mut ring = Vec::new();
        for key in token_keys::all(connection)? {
            let number = key.number;
            let unusable = |why: &str| StoreError::Unusable(format!("token key {number}: {why}"));
            let plain = self
                .ring
                .open(&key.sealed, &token_keys::purpose(number))
                .map_err(|error| unusable(&error.to_string()))?;
            let bytes: &[u8; 32] = plain.as_slice().try_into().map_err(|_| unusable("is not 32 bytes"))?;
            ring.push((number, TokenKey::new(bytes)));
        }
        Ok(TokenRing::new(ring))
    }
}

/// The merchants, and what those with a quota wrote today.
fn merchants_of(
    connection: &mut AnyConnection,
    now: DateTime<Utc>,
) -> Result<HashMap<MerchantId, Arc<Merchant>>, StoreError> {
    let accounts = merchants::all(connection)?;
    let (day, metered) = (now.date_naive(), accounts.iter().any(|one| one.merchant.quota.is_set()));
    let used = if metered { usage::of_day(connection, day)? } else { HashMap::new() };
    let with_usage = |mut merchant: Merchant| {
        let known = used.get(&merchant.id).copied().unwrap_or(Usage::none(day));
        merchant.usage = merchant.quota.is_set().then_some(known);
        (merchant.id, Arc::new(merchant))
    };
    Ok(accounts.into_iter().map(|account| with_usage(account.merchant)).collect())
}

fn api_key(
    key: StoredKey,
    merchants: &HashMap<MerchantId, Arc<Merchant>>,
    secrets: &mut HashMap<KeyId, Vec<LiveSecret>>,
) -> Result<ApiKey, StoreError> {
    let merchant = match key.merchant_id {
        None => None,
        Some(id) => {
            let known = merchants.get(&id).cloned();
            Some(
                known
                    .ok_or_else(|| StoreError::Unusable(format!("key {} belongs to no merchant", key.id)))?,
            )
        }
    };
    Ok(ApiKey {
        secrets: secrets.remove(&key.id).unwrap_or_default(),
        merchant,
        ip_allow: key.ip_allow,
        require_v2: key.require_v2,
        revoked: key.revoked_at.is_some(),
        id: key.id,
    })
}
