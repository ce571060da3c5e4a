//! Stored answers by idempotency key (contract 6.1).

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Text, Timestamp};

use super::batch_insert::batch_insert;
use super::schema::idempotency_keys;
use super::time_column::TimeColumn;
use super::{AnyConnection, StoreError};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::submission::StoredAnswer;

/// Where a key belongs: the same key of another merchant or mode is another key. In the store's
/// sort order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyScope<'a> {
    /// Whose.
    pub merchant_id: MerchantId,
    /// Real or test.
    pub mode: Mode,
    /// The key.
    pub key: &'a str,
}

/// A claim with the answer that is probably going to be its own.
pub struct ClaimRow<'a> {
    /// Whose key.
    pub merchant_id: String,
    /// Real or test.
    pub mode: &'static str,
    /// The key.
    pub idempotency_key: &'a str,
    /// Names this claim among all.
    pub claimed_by: &'a str,
    /// What the key is to stand for.
    pub fingerprint: String,
    /// The answer's status.
    pub status: i32,
    /// The answer's body.
    pub body: String,
    /// Now.
    pub created_at: TimeColumn,
    /// When the key is forgotten.
    pub expires_at: TimeColumn,
    /// 1.
    pub times_seen: i64,
}

/// What stands under a key after its claim.
#[derive(Debug)]
pub struct Holder {
    /// The claim that has it.
    pub claimed_by: String,
    /// What the key stands for.
    pub fingerprint: String,
    /// The answer, unless this very claim has just put it there.
    pub answer: StoredAnswer,
}

/// Who has a key loses it when it has expired; every other claim only counts, so that its own
/// commit waits for the first one's. The right-hand sides see the row as it was.
const ON_CONFLICT: &str = "ON CONFLICT (merchant_id, mode, idempotency_key) DO UPDATE SET \
    times_seen = CASE WHEN idempotency_keys.expires_at <= excluded.created_at \
        THEN 1 ELSE idempotency_keys.times_seen + 1 END, \
    claimed_by = CASE WHEN idempotency_keys.expires_at <= excluded.created_at \
        THEN excluded.claimed_by ELSE idempotency_keys.claimed_by END, \
    fingerprint = CASE WHEN idempotency_keys.expires_at <= excluded.created_at \
        THEN excluded.fingerprint ELSE idempotency_keys.fingerprint END, \
    status = CASE WHEN idempotency_keys.expires_at <= excluded.created_at \
        THEN excluded.status ELSE idempotency_keys.status END, \
    body = CASE WHEN idempotency_keys.expires_at <= excluded.created_at \
        THEN excluded.body ELSE idempotency_keys.body END, \
    created_at = CASE WHEN idempotency_keys.expires_at <= excluded.created_at \
        THEN excluded.created_at ELSE idempotency_keys.created_at END, \
    expires_at = CASE WHEN idempotency_keys.expires_at <= excluded.created_at \
        THEN excluded.expires_at ELSE idempotency_keys.expires_at END \
    RETURNING idempotency_key, merchant_id, mode, claimed_by, fingerprint, status, \
        CASE WHEN times_seen > 1 THEN body ELSE '' END";

batch_insert! {
    ClaimRow into "idempotency_keys" returning (Text, Text, Text, Text, Text, Integer, Text) {
        merchant_id: &'a str => Text, "::text[]", |row| row.merchant_id.as_str();
        mode: &'a str => Text, "::text[]", |row| row.mode;
        idempotency_key: &'a str => Text, "::text[]", |row| row.idempotency_key;
        claimed_by: &'a str => Text, "::text[]", |row| row.claimed_by;
        fingerprint: &'a str => Text, "::text[]", |row| row.fingerprint.as_str();
        status: i32 => Integer, "::integer[]", |row| row.status;
        body: &'a str => Text, "::text[]", |row| row.body.as_str();
        created_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.created_at;
        expires_at: TimeColumn => Timestamp, "::timestamp[]", |row| row.expires_at;
        times_seen: i64 => BigInt, "::bigint[]", |row| row.times_seen;
    }
    ON_CONFLICT
}

type Returned = (String, String, String, String, String, i32, String);

/// Nearly every key is new.
fn claim_one(connection: &mut SqliteConnection, row: &ClaimRow<'_>) -> QueryResult<Returned> {
    if InsertOne::<true>(row).execute(connection)? == 0 {
        return InsertOne::<false>(row).get_result(connection);
    }
    Ok((
        row.idempotency_key.to_owned(),
        row.merchant_id.clone(),
        row.mode.to_owned(),
        row.claimed_by.to_owned(),
        row.fingerprint.clone(),
        row.status,
        String::new(),
    ))
}

/// Claims keys, each at most once and in their sort order; holders stand in the rows' order.
pub fn claim(connection: &mut AnyConnection, rows: &[ClaimRow<'_>]) -> Result<Vec<Holder>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let returned: Vec<Returned> = match connection {
        AnyConnection::Postgres(c) => InsertBatch::new(rows).load(c)?,
        AnyConnection::Sqlite(c) => rows.iter().map(|row| claim_one(c, row)).collect::<QueryResult<_>>()?,
    };
    let mut by_key: std::collections::HashMap<(String, String, String), Holder> = returned
        .into_iter()
        .map(|(key, merchant_id, mode, claimed_by, fingerprint, status, body)| {
            let answer = StoredAnswer { status: u16::try_from(status).unwrap_or(200), body };
            ((merchant_id, mode, key), Holder { claimed_by, fingerprint, answer })
        })
        .collect();
    rows.iter()
        .map(|row| {
            let key = (row.merchant_id.clone(), row.mode.to_owned(), row.idempotency_key.to_owned());
            by_key
                .remove(&key)
                .ok_or_else(|| StoreError::Refused("a claimed key that is not there".to_owned()))
        })
        .collect()
}

/// Replaces the answers under keys that this transaction has claimed.
pub fn store(
    connection: &mut AnyConnection,
    answers: &[(KeyScope<'_>, StoredAnswer)],
) -> Result<(), StoreError> {
    const POSTGRES: &str = "UPDATE idempotency_keys AS k SET status = v.status, body = v.body \
        FROM unnest($1, $2, $3, $4, $5) AS v (merchant_id, mode, idempotency_key, status, body) \
        WHERE k.merchant_id = v.merchant_id AND k.mode = v.mode AND k.idempotency_key = v.idempotency_key";
    if answers.is_empty() {
        return Ok(());
    }
    match connection {
        AnyConnection::Postgres(c) => {
            let (merchants, modes, keys) = columns(answers.iter().map(|(scope, _)| scope));
            let statuses: Vec<i32> = answers.iter().map(|(_, answer)| answer.status.into()).collect();
            let bodies: Vec<&str> = answers.iter().map(|(_, answer)| answer.body.as_str()).collect();
            diesel::sql_query(POSTGRES)
                .bind::<Array<Text>, _>(merchants)
                .bind::<Array<Text>, _>(modes)
                .bind::<Array<Text>, _>(keys)
                .bind::<Array<Integer>, _>(statuses)
                .bind::<Array<Text>, _>(bodies)
                .execute(c)?;
        }
        AnyConnection::Sqlite(c) => {
            for (scope, answer) in answers {
                let answer = (
                    idempotency_keys::status.eq(i32::from(answer.status)),
                    idempotency_keys::body.eq(answer.body.as_str()),
                );
                diesel::update(idempotency_keys::table.find(id(scope))).set(answer).execute(c)?;
            }
        }
    }
    Ok(())
}

/// Gives keys back: the requests that claimed them were refused.
pub fn release(connection: &mut AnyConnection, scopes: &[KeyScope<'_>]) -> Result<(), StoreError> {
    const POSTGRES: &str = "DELETE FROM idempotency_keys AS k \
        USING unnest($1, $2, $3) AS v (merchant_id, mode, idempotency_key) \
        WHERE k.merchant_id = v.merchant_id AND k.mode = v.mode AND k.idempotency_key = v.idempotency_key";
    if scopes.is_empty() {
        return Ok(());
    }
    match connection {
        AnyConnection::Postgres(c) => {
            let (merchants, modes, keys) = columns(scopes.iter());
            diesel::sql_query(POSTGRES)
                .bind::<Array<Text>, _>(merchants)
                .bind::<Array<Text>, _>(modes)
                .bind::<Array<Text>, _>(keys)
                .execute(c)?;
        }
        AnyConnection::Sqlite(c) => {
            for scope in scopes {
                diesel::delete(idempotency_keys::table.find(id(scope))).execute(c)?;
            }
        }
    }
    Ok(())
}

fn id<'a>(scope: &KeyScope<'a>) -> (String, &'static str, &'a str) {
    (scope.merchant_id.to_string(), scope.mode.as_str(), scope.key)
}

fn columns<'s, 'a: 's>(
    scopes: impl Iterator<Item = &'s KeyScope<'a>>,
) -> (Vec<String>, Vec<&'static str>, Vec<&'a str>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (merchant, mode, key) in scopes.map(id) {
        columns.0.push(merchant);
        columns.1.push(mode);
        columns.2.push(key);
    }
    columns
}

/// Deletes up to `limit` keys that have expired by `now`; how many it were.
///
/// Rows that somebody has locked are left for the next time: whoever waits for nobody cannot be part
/// of a deadlock.
pub fn sweep(connection: &mut AnyConnection, now: DateTime<Utc>, limit: i64) -> Result<usize, StoreError> {
    const POSTGRES: &str = "DELETE FROM idempotency_keys WHERE (merchant_id, mode, idempotency_key) IN (\
        SELECT merchant_id, mode, idempotency_key FROM idempotency_keys WHERE expires_at <= $1 \
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
    const SQLITE: &str = "DELETE FROM idempotency_keys WHERE rowid IN (\
        SELECT rowid FROM idempotency_keys WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)";
    let now = now.naive_utc();
    let deleted = match connection {
        AnyConnection::Postgres(c) => {
            diesel::sql_query(POSTGRES).bind::<Timestamp, _>(now).bind::<BigInt, _>(limit).execute(c)?
        }
        AnyConnection::Sqlite(c) => {
            diesel::sql_query(SQLITE).bind::<Timestamp, _>(now).bind::<BigInt, _>(limit).execute(c)?
        }
    };
    Ok(deleted)
}
