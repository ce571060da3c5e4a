//! API keys and their sealed secrets.
//!
//! Whoever can write to the database and has no master key shall not make a secret sign for another
//! key. A secret's ciphertext is bound to its owner, key, mode and id ([`purpose`]). What lies in clear
//! (a key's row, the rows of its secrets, whether its merchant is suspended) is covered by one tag per
//! key, which every command that changes any of it makes anew.

mod change;
mod record;
mod rewrap;
mod rows;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use ipnet::IpNet;
use uuid::Uuid;

use super::schema::{api_keys, key_secrets, token_keys};
use super::{AnyConnection, StoreError};
use crate::domain::ids::{KeyId, KeyKind, MerchantId};
use crate::domain::vault::Sealed;

pub use change::{Rotation, create, retag, revoke, rotate};
pub(in crate::storage) use change::{lock_and_prove_of, retag_of};
pub use record::{Record, records};
pub use rewrap::rewrap;
use rows::{KeyRow, SecretRow};

/// A key as it lies in the database.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The public id.
    pub id: KeyId,
    /// Whose it is; `None` = the operator's.
    pub merchant_id: Option<MerchantId>,
    /// Where requests may come from; empty = anywhere.
    pub ip_allow: Vec<IpNet>,
    /// Takes bound signatures only.
    pub require_v2: bool,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// Since when it is of no use.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A sealed secret of a key.
#[derive(Debug, Clone)]
pub struct StoredSecret {
    /// The key it belongs to.
    pub key_id: KeyId,
    /// Whose key; `None` = the operator's.
    pub merchant_id: Option<MerchantId>,
    /// The secret's own id.
    pub secret_id: Uuid,
    /// The secret, encrypted.
    pub sealed: Sealed,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// From when it signs nothing.
    pub expires_at: Option<DateTime<Utc>>,
}

impl StoredSecret {
    /// What its ciphertext is bound to.
    pub fn purpose(&self) -> String {
        purpose(self.merchant_id, &self.key_id, self.secret_id)
    }

    /// Whether it signs at this moment.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

/// What a sealed secret is bound to, so that it opens in no other row.
pub fn purpose(merchant: Option<MerchantId>, key: &KeyId, secret: Uuid) -> String {
    let owner = merchant.map_or_else(|| "operator".to_owned(), |id| id.to_string());
    let mode = match key.kind() {
        KeyKind::Live => "live",
        KeyKind::Test => "test",
        KeyKind::Operator => "operator",
    };
    format!("conversiond/secret/v2|{owner}|{key}|{mode}|{secret}")
}

/// All keys, by merchant and age.
pub fn all(connection: &mut AnyConnection) -> Result<Vec<StoredKey>, StoreError> {
    let rows: Vec<KeyRow> = api_keys::table
        .order((api_keys::merchant_id, api_keys::created_at, api_keys::key_id))
        .select(KeyRow::as_select())
        .load(connection)?;
    rows.into_iter().map(KeyRow::into_key).collect()
}

/// All secrets that are or may yet be in force at `now`.
pub fn secrets(connection: &mut AnyConnection, now: DateTime<Utc>) -> Result<Vec<StoredSecret>, StoreError> {
    let rows: Vec<SecretRow> = key_secrets::table
        .filter(key_secrets::expires_at.is_null().or(key_secrets::expires_at.gt(now.naive_utc())))
        .order((key_secrets::created_at.desc(), key_secrets::secret_id.desc()))
        .select(SecretRow::as_select())
        .load(connection)?;
    rows.into_iter().map(SecretRow::into_secret).collect()
}

/// Whether anything sealed or tagged lies in the database: it can only be used with its master key.
pub fn any_sealed(connection: &mut AnyConnection) -> Result<bool, StoreError> {
    let keys: i64 = api_keys::table.count().get_result(connection)?;
    let secrets: i64 = key_secrets::table.count().get_result(connection)?;
    let tokens: i64 = token_keys::table.count().get_result(connection)?;
    Ok(keys + secrets + tokens > 0)
}
