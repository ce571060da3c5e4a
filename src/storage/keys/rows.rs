//! The rows of keys and secrets, and the message that a key's tag is made over.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use ipnet::IpNet;

use super::{StoredKey, StoredSecret};
use crate::domain::ids::{KeyId, MerchantId};
use crate::domain::vault::{Sealed, Tag};
use crate::storage::StoreError;
use crate::storage::schema::{api_keys, key_secrets};

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = api_keys, treat_none_as_default_value = false)]
pub struct KeyRow {
    pub merchant_id: String,
    pub key_id: String,
    pub ip_allow: String,
    pub require_v2: bool,
    pub created_at: NaiveDateTime,
    pub revoked_at: Option<NaiveDateTime>,
    pub tag: Vec<u8>,
    pub tag_master_key: i32,
}

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = key_secrets, treat_none_as_default_value = false)]
pub struct SecretRow {
    pub merchant_id: String,
    pub key_id: String,
    pub secret_id: String,
    pub ciphertext: Vec<u8>,
    pub master_key: i32,
    pub created_at: NaiveDateTime,
    pub expires_at: Option<NaiveDateTime>,
}

/// The operator's keys belong to nobody.
pub fn owner(merchant: Option<MerchantId>) -> String {
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
    /// The row of a key, without a tag yet.
    pub fn of(key: &StoredKey) -> Self {
        let networks: Vec<String> = key.ip_allow.iter().map(ToString::to_string).collect();
        Self {
            merchant_id: owner(key.merchant_id),
            key_id: key.id.to_string(),
            ip_allow: networks.join(","),
            require_v2: key.require_v2,
            created_at: key.created_at.naive_utc(),
            revoked_at: key.revoked_at.map(|at| at.naive_utc()),
            tag: Vec::new(),
            tag_master_key: 0,
        }
    }

    pub fn into_key(self) -> Result<StoredKey, StoreError> {
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

    /// The tag that the row carries.
    pub fn tag(&self) -> Tag {
        // No ring has a key of number 0.
        Tag { key_number: u16::try_from(self.tag_master_key).unwrap_or(0), bytes: self.tag.clone() }
    }

    /// What the key's tag covers: all that decides whether, from where and until when its secrets sign.
    ///
    /// Each value is preceded by its length, so that no two keys have one message.
    pub fn message(&self, secrets: &[SecretRow], suspended: bool) -> Vec<u8> {
        let mut message = Message::default();
        message.text("conversiond/api-key/v1");
        message.text(&self.merchant_id);
        message.text(&self.key_id);
        message.text(&self.ip_allow);
        message.flag(self.require_v2);
        message.flag(suspended);
        message.time(Some(self.created_at));
        message.time(self.revoked_at);
        let mut secrets: Vec<&SecretRow> = secrets.iter().collect();
        secrets.sort_unstable_by(|a, b| a.secret_id.cmp(&b.secret_id));
        for secret in secrets {
            message.text(&secret.secret_id);
            message.time(Some(secret.created_at));
            message.time(secret.expires_at);
        }
        message.0
    }
}

impl SecretRow {
    pub fn of(secret: &StoredSecret) -> Self {
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

    pub fn into_secret(self) -> Result<StoredSecret, StoreError> {
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

#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn text(&mut self, text: &str) {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.0.extend(length.to_be_bytes());
        self.0.extend(text.as_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(flag.into());
    }

    /// To the microsecond, which is what both databases keep.
    fn time(&mut self, time: Option<NaiveDateTime>) {
        self.flag(time.is_some());
        let micros = time.map_or(0, |time| time.and_utc().timestamp_micros());
        self.0.extend(micros.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> NaiveDateTime {
        chrono::DateTime::from_timestamp(seconds, 0).unwrap().naive_utc()
    }

    fn key() -> KeyRow {
        KeyRow {
            merchant_id: "m".to_owned(),
            key_id: "k".to_owned(),
            ip_allow: "10.0.0.0/8".to_owned(),
            require_v2: true,
            created_at: at(1),
            revoked_at: Some(at(2)),
            tag: Vec::new(),
            tag_master_key: 1,
        }
    }

    fn secret(id: &str, expires_at: Option<i64>) -> SecretRow {
        SecretRow {
            merchant_id: "m".to_owned(),
            key_id: "k".to_owned(),
            secret_id: id.to_owned(),
            ciphertext: Vec::new(),
            master_key: 1,
            created_at: at(3),
            expires_at: expires_at.map(at),
        }
    }

    #[test]
    fn every_value_that_decides_about_a_key_changes_the_message() {
        let secrets = [secret("a", None), secret("b", Some(9))];
        let all = [
            key().message(&secrets, false),
            key().message(&secrets, true),
            key().message(&secrets[..1], false),
            key().message(&[], false),
            key().message(&[secret("a", Some(9)), secret("b", Some(9))], false),
            key().message(&[secret("a", None), secret("b", None)], false),
            key().message(&[secret("a", None), secret("c", Some(9))], false),
            key().message(
                &[secret("a", None), SecretRow { created_at: at(4), ..secret("b", Some(9)) }],
                false,
            ),
            KeyRow { merchant_id: "mk".to_owned(), key_id: String::new(), ..key() }.message(&secrets, false),
            KeyRow { merchant_id: String::new(), ..key() }.message(&secrets, false),
            KeyRow { ip_allow: String::new(), ..key() }.message(&secrets, false),
            KeyRow { require_v2: false, ..key() }.message(&secrets, false),
            KeyRow { created_at: at(0), ..key() }.message(&secrets, false),
            KeyRow { revoked_at: None, ..key() }.message(&secrets, false),
        ];
        for (index, message) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other != message), "{index}");
        }
        let reversed = [secret("b", Some(9)), secret("a", None)];
        assert_eq!(key().message(&reversed, false), all[0], "the rows' order tells nothing");
    }
}
