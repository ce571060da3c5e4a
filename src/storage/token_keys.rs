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
    /// From when no token of it is genuine.
    pub retired_at: Option<DateTime<Utc>>,
}

impl StoredTokenKey {
    /// What its ciphertext is bound to.
    pub fn purpose(&self) -> String {
        purpose(self.number, self.created_at, self.retired_at)
    }
}

/// What a sealed key is bound to: its times too, so that nobody takes a retirement back without the
/// master key.
pub fn purpose(number: u8, created_at: DateTime<Utc>, retired_at: Option<DateTime<Utc>>) -> String {
    let created_at = created_at.timestamp_micros();
    let retired_at = retired_at.map(|at| at.timestamp_micros().to_string()).unwrap_or_default();
    format!("conversiond/token-key/v2|{number}|{created_at}|{retired_at}")
}

/// What became of a retirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// It is set.
    Done,
    /// There is no such key.
    NoSuchKey,
    /// It is the newest, which signs.
    Signs,
    /// It has been retired since then.
    Over(DateTime<Utc>),
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = token_keys, treat_none_as_default_value = false)]
struct Row {
    number: i32,
    ciphertext: Vec<u8>,
    master_key: i32,
    created_at: NaiveDateTime,
    retired_at: Option<NaiveDateTime>,
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
        retired_at: key.retired_at.map(|at| at.naive_utc()),
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

/// Sets from when no token of a key is genuine; `reseal` makes its ciphertext for the new purpose.
pub fn retire(
    connection: &mut AnyConnection,
    number: u8,
    (at, now): (DateTime<Utc>, DateTime<Utc>),
    reseal: impl FnOnce(&StoredTokenKey, &StoredTokenKey) -> Result<Sealed, StoreError>,
) -> Result<Retirement, StoreError> {
    connection.write(|c| {
        let keys = locked(c)?;
        let Some(key) = keys.iter().find(|key| key.number == number) else {
            return Ok(Retirement::NoSuchKey);
        };
        if keys.last().is_some_and(|newest| newest.number == number) {
            return Ok(Retirement::Signs);
        }
        if let Some(since) = key.retired_at.filter(|since| *since <= now) {
            return Ok(Retirement::Over(since));
        }
        let retired = StoredTokenKey { retired_at: Some(at), ..key.clone() };
        let sealed = reseal(key, &retired)?;
        replace(c, &StoredTokenKey { sealed, ..retired })?;
        Ok(Retirement::Done)
    })
}

/// Replaces every sealed key by what `reseal` makes of it; all or none. Returns how many.
pub fn rewrap(
    connection: &mut AnyConnection,
    mut reseal: impl FnMut(&StoredTokenKey) -> Result<Sealed, StoreError>,
) -> Result<usize, StoreError> {
    let keys = locked(connection)?;
    for key in &keys {
        replace(connection, &StoredTokenKey { sealed: reseal(key)?, ..key.clone() })?;
    }
    Ok(keys.len())
}

/// The whole ring, locked inside the caller's transaction: nobody changes a key between its reading and
/// its writing.
fn locked(c: &mut AnyConnection) -> Result<Vec<StoredTokenKey>, StoreError> {
    diesel::update(token_keys::table).set(token_keys::created_at.eq(token_keys::created_at)).execute(c)?;
    all(c)
}

fn replace(c: &mut AnyConnection, key: &StoredTokenKey) -> Result<(), StoreError> {
    diesel::update(token_keys::table.find(i32::from(key.number)))
        .set((
            token_keys::ciphertext.eq(&key.sealed.bytes),
            token_keys::master_key.eq(i32::from(key.sealed.key_number)),
            token_keys::retired_at.eq(key.retired_at.map(|at| at.naive_utc())),
        ))
        .execute(c)?;
    Ok(())
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
            retired_at: self.retired_at.map(|at| at.and_utc()),
        })
    }
}
