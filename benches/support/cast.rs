//! Who calls: merchants with keys, the same ones in every database, so that one signed request fits
//! all of them.

use chrono::{DateTime, Utc};
use conversiond::domain::click_token::{TokenKey, TokenRing};
use conversiond::domain::ids::{KeyId, KeyKind, MerchantId};
use conversiond::domain::merchant::Merchant;
use conversiond::domain::secret::SigningSecret;
use conversiond::domain::time::Clock as _;
use conversiond::domain::vault::MasterKeyRing;
use conversiond::storage::keys::{StoredKey, StoredSecret};
use conversiond::storage::merchants::Account;
use conversiond::storage::token_keys::StoredTokenKey;
use conversiond::storage::{AnyConnection, keys, merchants, token_keys};
use conversiond::system::{SystemClock, SystemEntropy};
use uuid::Uuid;

/// What every database's secrets are sealed with.
pub const MASTER_KEY: &str = "1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// The merchants, and the key of their click tokens.
pub struct Cast {
    /// At least one.
    pub members: Vec<Member>,
    /// Makes tokens.
    pub tokens: TokenRing,
    token_key: StoredTokenKey,
}

/// A merchant with a live key.
pub struct Member {
    /// The merchant's id.
    pub id: MerchantId,
    /// Its key.
    pub key_id: KeyId,
    /// What the key signs with.
    pub secret: SigningSecret,
    account: Account,
    key: StoredKey,
    sealed: StoredSecret,
}

impl Cast {
    /// So many merchants.
    pub fn new(merchants: usize) -> Self {
        let ring: MasterKeyRing = MASTER_KEY.parse().expect("a master key");
        let now = SystemClock.now();
        let bytes = [7; 32];
        let sealed = ring.seal(&bytes, &token_keys::purpose(1, now, None), &SystemEntropy).expect("sealed");
        Self {
            members: (0..merchants).map(|_| Member::new(&ring, now)).collect(),
            tokens: TokenRing::new([(1, TokenKey::new(&bytes))]),
            token_key: StoredTokenKey { number: 1, sealed, created_at: now, retired_at: None },
        }
    }

    /// Writes them into an empty database.
    pub fn plant(&self, connection: &mut AnyConnection) {
        assert!(token_keys::add(connection, &self.token_key).expect("a token key"), "a fresh database");
        let ring: MasterKeyRing = MASTER_KEY.parse().expect("a master key");
        for member in &self.members {
            merchants::create(connection, &member.account).expect("a merchant");
            keys::create(connection, &ring, &member.key, &member.sealed).expect("a key");
        }
    }
}

impl Member {
    fn new(ring: &MasterKeyRing, now: DateTime<Utc>) -> Self {
        let id = MerchantId::generate(now, &SystemEntropy);
        let key_id = KeyId::generate(KeyKind::Live, &SystemEntropy);
        let (secret, secret_id) = (SigningSecret::generate(&SystemEntropy), Uuid::new_v4());
        let purpose = keys::purpose(Some(id), &key_id, secret_id);
        let sealed = ring.seal(secret.expose_text().as_bytes(), &purpose, &SystemEntropy).expect("sealed");
        Self {
            id,
            account: Account { merchant: Merchant::new(id), name: "bench".to_owned(), created_at: now },
            key: StoredKey {
                id: key_id.clone(),
                merchant_id: Some(id),
                ip_allow: Vec::new(),
                require_v2: false,
                created_at: now,
                revoked_at: None,
            },
            sealed: StoredSecret {
                key_id: key_id.clone(),
                merchant_id: Some(id),
                secret_id,
                sealed,
                created_at: now,
                expires_at: None,
            },
            key_id,
            secret,
        }
    }
}
