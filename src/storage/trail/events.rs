//! Events, with what is known of how they came.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::Scope;
use crate::domain::event::Recorded;
use crate::domain::ids::{AttemptId, EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::events::Row;
use crate::storage::schema::events;
use crate::storage::{AnyConnection, StoreError};

/// How much later than its request's beginning an event's id may be made: when the body is there.
const ID_LAG_MAX: TimeDelta = TimeDelta::minutes(5);

/// An event, and how it came.
#[derive(Debug, Clone)]
pub struct EventTrail {
    /// Whose.
    pub merchant: MerchantId,
    /// What is recorded.
    pub recorded: Recorded,
    /// What tells several events of its kind and order apart; empty = there is only one.
    pub own_id: String,
    /// The key that signed it.
    pub key_id: String,
    /// The form of the signature that fitted.
    pub signature_form: String,
    /// The request that brought it; `None` = from before there was a journal.
    pub attempt: Option<AttemptId>,
    /// When a repeat's token decided about it.
    pub late_attribution_at: Option<DateTime<Utc>>,
    /// What was sent, unless it was erased.
    pub body: Option<String>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
struct Circumstances {
    merchant_id: String,
    own_id: String,
    key_id: String,
    signature_form: String,
    attempt_id: Option<String>,
    late_attribution_at: Option<NaiveDateTime>,
    body: Option<String>,
}

type Columns = (Row, Circumstances);

/// The event of this id.
pub fn event(
    connection: &mut AnyConnection,
    scope: &Scope,
    event: EventId,
) -> Result<Option<EventTrail>, StoreError> {
    for merchants in scope.merchants() {
        let found: Option<Columns> = events::table
            .filter(events::merchant_id.eq_any(merchants))
            .filter(events::mode.eq_any(scope.modes()))
            .filter(events::event_id.eq(event.to_string()))
            .select((Row::as_select(), Circumstances::as_select()))
            .first(connection)
            .optional()?;
        if let Some(found) = found {
            return trail(found).map(Some);
        }
    }
    Ok(None)
}

/// The events of an order, the oldest first.
pub fn events_of_order(
    connection: &mut AnyConnection,
    scope: &Scope,
    order: &str,
    limit: i64,
) -> Result<Vec<EventTrail>, StoreError> {
    let mut trails = Vec::new();
    for merchants in scope.merchants() {
        let found: Vec<Columns> = events::table
            .filter(events::merchant_id.eq_any(merchants))
            .filter(events::mode.eq_any(scope.modes()))
            .filter(events::order_id.eq(order))
            .select((Row::as_select(), Circumstances::as_select()))
            .order(events::event_id)
            .limit(limit)
            .load(connection)?;
        trails.extend(found.into_iter().map(trail).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(trails)
}

/// The events that a request brought, in the order of their ids. They were made soon after it began, so
/// they lie in a short range of the primary key.
pub fn events_of_attempt(
    connection: &mut AnyConnection,
    (merchant, mode): (MerchantId, Mode),
    (attempt, started_at): (AttemptId, DateTime<Utc>),
    limit: i64,
) -> Result<Vec<EventTrail>, StoreError> {
    let found: Vec<Columns> = events::table
        .filter(events::merchant_id.eq(merchant.to_string()))
        .filter(events::mode.eq(mode.as_str()))
        .filter(events::event_id.ge(EventId::first_at(started_at).to_string()))
        .filter(events::event_id.lt(EventId::first_at(started_at + ID_LAG_MAX).to_string()))
        .filter(events::attempt_id.eq(attempt.to_string()))
        .select((Row::as_select(), Circumstances::as_select()))
        .order(events::event_id)
        .limit(limit)
        .load(connection)?;
    found.into_iter().map(trail).collect()
}

fn trail((row, how): Columns) -> Result<EventTrail, StoreError> {
    let unreadable = |what: &str| StoreError::Unusable(format!("{what:?} in the database is no id"));
    Ok(EventTrail {
        merchant: how.merchant_id.parse().map_err(|_| unreadable(&how.merchant_id))?,
        recorded: row.into_recorded()?,
        own_id: how.own_id,
        key_id: how.key_id,
        signature_form: how.signature_form,
        attempt: how.attempt_id.map(|id| id.parse().map_err(|_| unreadable(&id))).transpose()?,
        late_attribution_at: how.late_attribution_at.map(|at| at.and_utc()),
        body: how.body,
    })
}
