//! What merchants reported of an order's states.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::Scope;
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::storage::schema::order_statuses;
use crate::storage::{AnyConnection, StoreError};

/// A report of an order's state.
#[derive(Debug, Clone)]
pub struct StatusTrail {
    /// Whose order.
    pub merchant: MerchantId,
    /// Real or test.
    pub mode: Mode,
    /// The state.
    pub status: String,
    /// When, by the merchant; empty = not told.
    pub updated_at: String,
    /// The request that brought it first.
    pub attempt: String,
    /// The event that the state is, for states that are one.
    pub event: Option<String>,
    /// When it was recorded.
    pub received_at: DateTime<Utc>,
    /// Why, in the merchant's words.
    pub reason: Option<String>,
    /// How often it was received.
    pub times_received: i64,
    /// When its body, metadata and reason were erased.
    pub erased_at: Option<DateTime<Utc>>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = order_statuses)]
struct Row {
    merchant_id: String,
    mode: String,
    status: String,
    status_updated_at: String,
    attempt_id: String,
    event_id: Option<String>,
    received_at: NaiveDateTime,
    reason: Option<String>,
    times_received: i64,
    erased_at: Option<NaiveDateTime>,
}

/// The states that an order was reported in, as they came.
pub fn statuses_of_order(
    connection: &mut AnyConnection,
    scope: &Scope,
    order: &str,
    limit: i64,
) -> Result<Vec<StatusTrail>, StoreError> {
    let mut trails = Vec::new();
    for merchants in scope.merchants() {
        let found: Vec<Row> = order_statuses::table
            .filter(order_statuses::merchant_id.eq_any(merchants))
            .filter(order_statuses::mode.eq_any(scope.modes()))
            .filter(order_statuses::order_id.eq(order))
            .select(Row::as_select())
            .order((order_statuses::received_at, order_statuses::attempt_id))
            .limit(limit)
            .load(connection)?;
        trails.extend(found.into_iter().map(Row::into_trail).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(trails)
}

impl Row {
    fn into_trail(self) -> Result<StatusTrail, StoreError> {
        let unreadable = |what: &str| StoreError::Unusable(format!("{what:?} in the database is no id"));
        Ok(StatusTrail {
            merchant: self.merchant_id.parse().map_err(|_| unreadable(&self.merchant_id))?,
            mode: self.mode.parse().map_err(|_| unreadable(&self.mode))?,
            status: self.status,
            updated_at: self.status_updated_at,
            attempt: self.attempt_id,
            event: self.event_id,
            received_at: self.received_at.and_utc(),
            reason: self.reason,
            times_received: self.times_received,
            erased_at: self.erased_at.map(|at| at.and_utc()),
        })
    }
}
