//! What an idempotency key stands for.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use crate::storage::idempotency::KeyScope;
use crate::storage::schema::idempotency_keys;
use crate::storage::{AnyConnection, StoreError};

/// A key that is not forgotten yet.
#[derive(Debug, Clone)]
pub struct KeyTrail {
    /// The claim that has it: its request's id, and `/` with the row's index for a bulk row.
    pub claimed_by: String,
    /// The status that it answers with.
    pub status: i32,
    /// Since when it stands for what it does.
    pub created_at: DateTime<Utc>,
    /// When it is forgotten.
    pub expires_at: DateTime<Utc>,
    /// How often it was claimed, the first time included.
    pub times_seen: i64,
}

/// What stands under a key.
pub fn key(connection: &mut AnyConnection, scope: &KeyScope<'_>) -> Result<Option<KeyTrail>, StoreError> {
    let found: Option<(String, i32, NaiveDateTime, NaiveDateTime, i64)> = idempotency_keys::table
        .filter(idempotency_keys::merchant_id.eq(scope.merchant_id.to_string()))
        .filter(idempotency_keys::mode.eq(scope.mode.as_str()))
        .filter(idempotency_keys::idempotency_key.eq(scope.key))
        .select((
            idempotency_keys::claimed_by,
            idempotency_keys::status,
            idempotency_keys::created_at,
            idempotency_keys::expires_at,
            idempotency_keys::times_seen,
        ))
        .first(connection)
        .optional()?;
    Ok(found.map(|(claimed_by, status, created_at, expires_at, times_seen)| KeyTrail {
        claimed_by,
        status,
        created_at: created_at.and_utc(),
        expires_at: expires_at.and_utc(),
        times_seen,
    }))
}
