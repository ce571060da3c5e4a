//! Reading events back: one by its id, and pages along the primary key.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::row::{Row, column};
use crate::domain::event::{EventName, Recorded};
use crate::domain::ids::{EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::schema::events;
use crate::storage::{AnyConnection, Page, StoreError};

/// How much later than its id an event may have been received: ids are made before the queue, and
/// nothing waits in it for so long.
pub const ID_LEAD_MAX: TimeDelta = TimeDelta::hours(1);

/// How much earlier, by a clock that was set back between the two.
pub const ID_LAG_MAX: TimeDelta = TimeDelta::minutes(1);

/// Which events of a merchant a list holds.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this kind.
    pub event_name: Option<EventName>,
    /// Of this order.
    pub order_id: Option<String>,
    /// With this id of the merchant's.
    pub external_id: Option<String>,
    /// Credited to this link.
    pub url_id: Option<Uuid>,
    /// `attributed`, `unattributed` or `inherited`.
    pub attribution: Option<&'static str>,
    /// Happened at or after.
    pub occurred_from: Option<DateTime<Utc>>,
    /// Happened before.
    pub occurred_to: Option<DateTime<Utc>>,
    /// Received at or after.
    pub received_from: Option<DateTime<Utc>>,
    /// Received before.
    pub received_to: Option<DateTime<Utc>>,
}

/// One event of a merchant.
pub fn find(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    event: EventId,
) -> Result<Option<Recorded>, StoreError> {
    let row: Option<Row> = events::table
        .filter(events::merchant_id.eq(merchant.to_string()))
        .filter(events::mode.eq(mode.as_str()))
        .filter(events::event_id.eq(event.to_string()))
        .select(Row::as_select())
        .first(connection)
        .optional()?;
    row.map(Row::into_recorded).transpose()
}

/// A page of a merchant's events, newest first by id. An id is made just before the queue, so an event
/// still on its way may yet appear among the newest; older pages do not change.
pub fn list(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    filter: &Filter,
    page: Page<EventId>,
) -> Result<Vec<Recorded>, StoreError> {
    let mut query = events::table
        .filter(events::merchant_id.eq(merchant.to_string()))
        .filter(events::mode.eq(mode.as_str()))
        .select(Row::as_select())
        .order(events::event_id.desc())
        .limit(page.limit)
        .into_boxed();
    if let Some(before) = page.before {
        query = query.filter(events::event_id.lt(before.to_string()));
    }
    if let Some(name) = filter.event_name {
        query = query.filter(events::event_name.eq(name.as_str()));
    }
    if let Some(order) = &filter.order_id {
        query = query.filter(events::order_id.eq(order));
    }
    if let Some(id) = &filter.external_id {
        query = query.filter(events::external_id.eq(id));
    }
    if let Some(url) = filter.url_id {
        query = query.filter(events::url_id.eq(url.to_string()));
    }
    if let Some(status) = filter.attribution {
        query = query.filter(events::attribution.eq(status));
    }
    if let Some(from) = filter.occurred_from {
        query = query.filter(events::occurred_at.ge(column(from)));
    }
    if let Some(to) = filter.occurred_to {
        query = query.filter(events::occurred_at.lt(column(to)));
    }
    if let Some(from) = filter.received_from {
        // The bound on the id keeps the search within the primary key's range.
        query = query.filter(events::received_at.ge(column(from)));
        query = query.filter(events::event_id.ge(EventId::first_at(from - ID_LEAD_MAX).to_string()));
    }
    if let Some(to) = filter.received_to {
        query = query.filter(events::received_at.lt(column(to)));
        query = query.filter(events::event_id.lt(EventId::first_at(to + ID_LAG_MAX).to_string()));
    }
    let rows: Vec<Row> = query.load(connection)?;
    rows.into_iter().map(Row::into_recorded).collect()
}
