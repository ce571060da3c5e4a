//! The ring of keys that click tokens are made with: in the database, so that every instance has
//! the same.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::schema::token_keys;
use super::{AnyConnection, StoreError};
use crate::domain::vault::Sealed;

/// A sealed key of the ring.
#[derive(Debug, Clone)]
pub struct StoredTokenKey {
    /// Its number, which tokens carry.
    pub number: u8,
    /// The key, encrypted.
    pub sealed: Sealed,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// What a sealed key is bound to.
pub fn purpose(number: u8) -> String {
    format!("conversiond/token-key/v1|{number}")
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = token_keys, treat_none_as_default_value = false)]
struct Row {
    number: i32,
    ciphertext: Vec<u8>,
    master_key: i32,
    created_at: NaiveDateTime,
}

/// The whole ring.
pub fn all(connection: &mut AnyConnection) -> Result<Vec<StoredTokenKey>, StoreError> {
    let rows: Vec<Row> =
        token_keys::table.order(token_keys::number).select(Row::as_select()).load(connection)?;
    rows.into_iter().map(Row::into_key).collect()
}

/// Adds a key. `false` = another instance was faster with this number: its key stands.
pub fn add(connection: &mut AnyConnection, key: &StoredTokenKey) -> Result<bool, StoreError> {
    let row = Row {
        number: key.number.into(),
        ciphertext: key.sealed.bytes.clone(),
        master_key: key.sealed.key_number.into(),
        created_at: key.created_at.naive_utc(),
    };
    let inserted = connection.write(|c| diesel::insert_into(token_keys::table).values(row).execute(c));
    match inserted {
        Ok(_) => Ok(true),
        Err(diesel::result::Error::DatabaseError(diesel::result::DatabaseErrorKind::UniqueViolation, _)) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Replaces every sealed key by what `reseal` makes of it; all or none. Returns how many.
pub fn rewrap(
    connection: &mut AnyConnection,
    mut reseal: impl FnMut(&StoredTokenKey) -> Result<Sealed, StoreError>,
) -> Result<usize, StoreError> {
    let keys = all(connection)?;
    for key in &keys {
        let sealed = reseal(key)?;
        diesel::update(token_keys::table.filter(token_keys::number.eq(i32::from(key.number))))
            .set((
                token_keys::ciphertext.eq(sealed.bytes),
                token_keys::master_key.eq(i32::from(sealed.key_number)),
            ))
            .execute(connection)?;
    }
    Ok(keys.len())
}

impl Row {
    fn into_key(self) -> Result<StoredTokenKey, StoreError> {
        let unreadable = || StoreError::Unusable(format!("token key {} is not readable", self.number));
        Ok(StoredTokenKey {
            number: u8::try_from(self.number).map_err(|_| unreadable())?,
            sealed: Sealed {
                key_number: u16::try_from(self.master_key).map_err(|_| unreadable())?,
                bytes: self.ciphertext,
            },
            created_at: self.created_at.and_utc(),
        })
    }
}
