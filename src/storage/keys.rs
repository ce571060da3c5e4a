//! API keys and their sealed secrets.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;
use ipnet::IpNet;
use uuid::Uuid;

use super::schema::{api_keys, key_secrets, token_keys};
use super::{AnyConnection, StoreError};
use crate::domain::access::LIVE_SECRETS_MAX;
use crate::domain::ids::{KeyId, MerchantId};
use crate::domain::vault::Sealed;

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

/// What a sealed secret is bound to, so that it opens in no other row.
pub fn purpose(merchant: Option<MerchantId>, secret: Uuid) -> String {
    format!("conversiond/secret/v1|{}|{secret}", owner(merchant))
}

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

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys, treat_none_as_default_value = false)]
struct KeyRow {
    merchant_id: String,
    key_id: String,
    ip_allow: String,
    require_v2: bool,
    created_at: NaiveDateTime,
    revoked_at: Option<NaiveDateTime>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = key_secrets, treat_none_as_default_value = false)]
struct SecretRow {
    merchant_id: String,
    key_id: String,
    secret_id: String,
    ciphertext: Vec<u8>,
    master_key: i32,
    created_at: NaiveDateTime,
    expires_at: Option<NaiveDateTime>,
}

/// Adds a key with its first secret.
pub fn create(
    connection: &mut AnyConnection,
    key: &StoredKey,
    secret: &StoredSecret,
) -> Result<(), StoreError> {
    connection.write(|c| {
        diesel::insert_into(api_keys::table).values(KeyRow::of(key)).execute(c)?;
        diesel::insert_into(key_secrets::table).values(SecretRow::of(secret)).execute(c)?;
        Ok(())
    })
}

/// Adds a secret to a key; the one in force lives on until `old_expires_at`.
///
/// Two live secrets are the most: then `drop_oldest` ends the older at once, or nothing is done.
pub fn rotate(
    connection: &mut AnyConnection,
    secret: &StoredSecret,
    old_expires_at: DateTime<Utc>,
    drop_oldest: bool,
) -> Result<Rotation, StoreError> {
    let now = secret.created_at;
    let of_key = key_secrets::merchant_id
        .eq(owner(secret.merchant_id))
        .and(key_secrets::key_id.eq(secret.key_id.as_str().to_owned()));
    connection.write(|c| {
        // Locks the key against a second rotation; on SQLite the transaction itself does.
        let key = api_keys::table
            .filter(api_keys::merchant_id.eq(owner(secret.merchant_id)))
            .filter(api_keys::key_id.eq(secret.key_id.as_str()))
            .filter(api_keys::revoked_at.is_null());
        if diesel::update(key).set(api_keys::require_v2.eq(api_keys::require_v2)).execute(c)? != 1 {
            return Ok(Rotation::NoSuchKey);
        }
        let live: Vec<String> = key_secrets::table
            .filter(of_key.clone())
            .filter(key_secrets::expires_at.is_null().or(key_secrets::expires_at.gt(now.naive_utc())))
            .order((key_secrets::created_at.desc(), key_secrets::secret_id.desc()))
            .select(key_secrets::secret_id)
            .load(c)?;
        if live.len() >= LIVE_SECRETS_MAX && !drop_oldest {
            return Ok(Rotation::TwoLive);
        }
        for (age, secret_id) in live.iter().enumerate() {
            let expires_at = if age == 0 { old_expires_at } else { now };
            diesel::update(
                key_secrets::table.filter(of_key.clone()).filter(key_secrets::secret_id.eq(secret_id)),
            )
            .set(key_secrets::expires_at.eq(Some(expires_at.naive_utc())))
            .execute(c)?;
        }
        diesel::insert_into(key_secrets::table).values(SecretRow::of(secret)).execute(c)?;
        Ok(Rotation::Done)
    })
}

/// Ends a key for good. `false` = there is none, or it had ended before.
pub fn revoke(connection: &mut AnyConnection, key: &KeyId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let row =
        api_keys::table.filter(api_keys::key_id.eq(key.as_str())).filter(api_keys::revoked_at.is_null());
    connection.write(|c| {
        Ok(diesel::update(row).set(api_keys::revoked_at.eq(Some(now.naive_utc()))).execute(c)? == 1)
    })
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

/// Whether anything sealed lies in the database: it can only be used with its master key.
pub fn any_sealed(connection: &mut AnyConnection) -> Result<bool, StoreError> {
    let secrets: i64 = key_secrets::table.count().get_result(connection)?;
    let tokens: i64 = token_keys::table.count().get_result(connection)?;
    Ok(secrets + tokens > 0)
}

/// Replaces every sealed secret by what `reseal` makes of it; all or none. Returns how many.
pub fn rewrap(
    connection: &mut AnyConnection,
    mut reseal: impl FnMut(&StoredSecret) -> Result<Sealed, StoreError>,
) -> Result<usize, StoreError> {
    let rows: Vec<SecretRow> = key_secrets::table.select(SecretRow::as_select()).load(connection)?;
    let count = rows.len();
    for row in rows {
        let secret = row.into_secret()?;
        let sealed = reseal(&secret)?;
        diesel::update(
            key_secrets::table
                .filter(key_secrets::merchant_id.eq(owner(secret.merchant_id)))
                .filter(key_secrets::key_id.eq(secret.key_id.as_str()))
                .filter(key_secrets::secret_id.eq(secret.secret_id.to_string())),
        )
        .set((
            key_secrets::ciphertext.eq(sealed.bytes),
            key_secrets::master_key.eq(i32::from(sealed.key_number)),
        ))
        .execute(connection)?;
    }
    Ok(count)
}

/// The operator's keys belong to nobody.
fn owner(merchant: Option<MerchantId>) -> String {
    merchant.map(|id| id.to_string()).unwrap_or_default()
}

fn owner_of(column: &str) -> Result<Option<MerchantId>, StoreError> {
    match column {
        "" => Ok(None),
        id => id
            .parse()
            .map(Some)
            .map_err(|_| StoreError::Unusable(format!("{id:?} in the database is no merchant"))),
    }
}

fn key_of(column: &str) -> Result<KeyId, StoreError> {
    column.parse().map_err(|_| StoreError::Unusable(format!("{column:?} in the database is no key id")))
}

impl KeyRow {
    fn of(key: &StoredKey) -> Self {
        let networks: Vec<String> = key.ip_allow.iter().map(ToString::to_string).collect();
        Self {
            merchant_id: owner(key.merchant_id),
            key_id: key.id.to_string(),
            ip_allow: networks.join(","),
            require_v2: key.require_v2,
            created_at: key.created_at.naive_utc(),
            revoked_at: key.revoked_at.map(|at| at.naive_utc()),
        }
    }

    fn into_key(self) -> Result<StoredKey, StoreError> {
        let networks: Result<Vec<IpNet>, _> =
            self.ip_allow.split(',').filter(|network| !network.is_empty()).map(str::parse).collect();
        Ok(StoredKey {
            id: key_of(&self.key_id)?,
            merchant_id: owner_of(&self.merchant_id)?,
            ip_allow: networks.map_err(|_| {
                StoreError::Unusable(format!("key {}: its allowlist is not readable", self.key_id))
            })?,
            require_v2: self.require_v2,
            created_at: self.created_at.and_utc(),
            revoked_at: self.revoked_at.map(|at| at.and_utc()),
        })
    }
}

impl SecretRow {
    fn of(secret: &StoredSecret) -> Self {
        Self {
            merchant_id: owner(secret.merchant_id),
            key_id: secret.key_id.to_string(),
            secret_id: secret.secret_id.to_string(),
            ciphertext: secret.sealed.bytes.clone(),
            master_key: secret.sealed.key_number.into(),
            created_at: secret.created_at.naive_utc(),
            expires_at: secret.expires_at.map(|at| at.naive_utc()),
        }
    }

    fn into_secret(self) -> Result<StoredSecret, StoreError> {
        let unreadable = || StoreError::Unusable(format!("a secret of key {} is not readable", self.key_id));
        Ok(StoredSecret {
            key_id: key_of(&self.key_id)?,
            merchant_id: owner_of(&self.merchant_id)?,
            secret_id: self.secret_id.parse().map_err(|_| unreadable())?,
            sealed: Sealed {
                key_number: u16::try_from(self.master_key).map_err(|_| unreadable())?,
                bytes: self.ciphertext,
            },
            created_at: self.created_at.and_utc(),
            expires_at: self.expires_at.map(|at| at.and_utc()),
        })
    }
}
