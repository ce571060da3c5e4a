//! Reading a snapshot out of the database.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::access::{ApiKey, KeyDirectory, LiveSecret};
use crate::domain::click_token::{TokenKey, TokenRing};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Merchant;
use crate::domain::quota::Usage;
use crate::domain::secret::SigningSecret;
use crate::domain::signature::SigningKeys;
use crate::domain::time::Entropy;
use crate::domain::vault::{MasterKeyRing, Sealed};
use crate::storage::keys::{Record, StoredKey, StoredSecret};
use crate::storage::token_keys::StoredTokenKey;
use crate::storage::{AnyConnection, StoreError, keys, merchants, token_keys, usage};

/// How many rows that do not verify are named in an error.
const NAMED_MAX: usize = 20;

/// Loads snapshots; secrets that did not change are not decrypted again.
pub struct Loader {
    ring: MasterKeyRing,
    dummy: SigningKeys,
    opened: HashMap<Uuid, Opened>,
}

/// A secret that was opened, and what it was opened from and for.
struct Opened {
    sealed: Sealed,
    purpose: String,
    keys: SigningKeys,
}

/// What a master key must open before a command goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Everything.
    All,
    /// Something: for commands that take what was tampered with out of force.
    Any,
}

/// How much of what was read opened and verified, and what did not.
#[derive(Default)]
struct Verdict {
    good: usize,
    problems: Vec<String>,
}

impl Verdict {
    fn take<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.good += 1;
                Some(value)
            }
            Err(error) => {
                self.problems.push(error.to_string());
                None
            }
        }
    }

    fn error(&self) -> String {
        let named = self.problems.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
        match self.problems.len().saturating_sub(NAMED_MAX) {
            0 => named,
            more => format!("{named}; and {more} more"),
        }
    }
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
    /// One key that does not verify, or secret that does not open, fails the whole, and all of them are
    /// named. Without it a rightful merchant would be told 401, which it takes as final; with it somebody
    /// else might sign for that merchant.
    pub fn load(
        &mut self,
        connection: &mut AnyConnection,
        now: DateTime<Utc>,
    ) -> Result<KeyDirectory, StoreError> {
        let (directory, verdict) = self.read(connection, now)?;
        if verdict.problems.is_empty() { Ok(directory) } else { Err(StoreError::Unusable(verdict.error())) }
    }

    /// Fails unless what lies in the database opens and verifies: before anything is sealed or tagged
    /// anew. Under a wrong master key that would make the whole directory unreadable for the service.
    pub fn check(
        ring: &MasterKeyRing,
        connection: &mut AnyConnection,
        strictness: Strictness,
        now: DateTime<Utc>,
        entropy: &dyn Entropy,
    ) -> Result<(), StoreError> {
        let (_, verdict) = connection.read(|c| Self::new(ring.clone(), entropy).read(c, now))?;
        if verdict.problems.is_empty() || (strictness == Strictness::Any && verdict.good > 0) {
            return Ok(());
        }
        let reason = if verdict.good == 0 {
            "; the master key is not the one that the service has"
        } else {
            "; `conversiond key revoke` ends a key that somebody has changed without the master key"
        };
        Err(StoreError::Unusable(format!("{}{reason}: nothing was done", verdict.error())))
    }

    fn read(
        &mut self,
        connection: &mut AnyConnection,
        now: DateTime<Utc>,
    ) -> Result<(KeyDirectory, Verdict), StoreError> {
        let mut verdict = Verdict::default();
        let (records, strays) = keys::records(connection)?;
        let merchants = merchants_of(connection, now)?;
        let mut before = std::mem::take(&mut self.opened);
        let mut keys = Vec::with_capacity(records.len());
        for record in records {
            keys.extend(self.key(record, &merchants, (&mut before, now), &mut verdict));
        }
        verdict.problems.extend(
            strays
                .into_iter()
                .map(|key| format!("a secret stands under key {key}, which its owner does not have")),
        );
        let mut tokens = Vec::new();
        for key in token_keys::all(connection)? {
            let opened = verdict.take(self.token_key(&key));
            tokens
                .extend(opened.filter(|_| key.retired_at.is_none_or(|at| at > now)).map(|k| (key.number, k)));
        }
        let directory = KeyDirectory::new(keys, self.dummy.clone(), TokenRing::new(tokens));
        Ok((directory.with_merchants(merchants), verdict))
    }

    fn key(
        &mut self,
        record: Record,
        merchants: &HashMap<MerchantId, Arc<Merchant>>,
        (before, now): (&mut HashMap<Uuid, Opened>, DateTime<Utc>),
        verdict: &mut Verdict,
    ) -> Option<ApiKey> {
        let (key, stored) = verdict.take(record.verified(&self.ring))?;
        let merchant = match key.merchant_id {
            None => None,
            Some(id) => Some(verdict.take(owner(&key, merchants.get(&id)))?),
        };
        let mut secrets = Vec::new();
        // What a revoked key was sealed with is of no use, and of no harm should it not open.
        for secret in stored.into_iter().filter(|secret| key.revoked_at.is_none() && secret.is_live(now)) {
            let opened = self.secret(&secret, before);
            secrets
                .extend(verdict.take(opened).map(|keys| LiveSecret { keys, expires_at: secret.expires_at }));
        }
        Some(ApiKey {
            secrets,
            merchant,
            ip_allow: key.ip_allow,
            require_v2: key.require_v2,
            revoked: key.revoked_at.is_some(),
            id: key.id,
        })
    }

    fn secret(
        &mut self,
        secret: &StoredSecret,
        before: &mut HashMap<Uuid, Opened>,
    ) -> Result<SigningKeys, StoreError> {
        let purpose = secret.purpose();
        let keys = match before.remove(&secret.secret_id) {
            Some(known) if known.sealed == secret.sealed && known.purpose == purpose => known.keys,
            _ => self.open(secret, &purpose)?,
        };
        let opened = Opened { sealed: secret.sealed.clone(), purpose, keys: keys.clone() };
        self.opened.insert(secret.secret_id, opened);
        Ok(keys)
    }

    fn open(&self, secret: &StoredSecret, purpose: &str) -> Result<SigningKeys, StoreError> {
        let what = || format!("the secret of key {}", secret.key_id);
        let plain = self
            .ring
            .open(&secret.sealed, purpose)
            .map_err(|e| StoreError::Unusable(format!("{}: {e}", what())))?;
        std::str::from_utf8(&plain)
            .ok()
            .and_then(|text| SigningSecret::parse(text).ok())
            .map(|secret| SigningKeys::new(&secret))
            .ok_or_else(|| StoreError::Unusable(format!("{} is no secret", what())))
    }

    fn token_key(&self, key: &StoredTokenKey) -> Result<TokenKey, StoreError> {
        let unusable = |why: &str| StoreError::Unusable(format!("token key {}: {why}", key.number));
        let plain =
            self.ring.open(&key.sealed, &key.purpose()).map_err(|error| unusable(&error.to_string()))?;
        let bytes: &[u8; 32] = plain.as_slice().try_into().map_err(|_| unusable("is not 32 bytes"))?;
        Ok(TokenKey::new(bytes))
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

fn owner(key: &StoredKey, merchant: Option<&Arc<Merchant>>) -> Result<Arc<Merchant>, StoreError> {
    merchant.cloned().ok_or_else(|| StoreError::Unusable(format!("key {} belongs to no merchant", key.id)))
}
