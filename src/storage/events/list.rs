//! Reading events back: one by its id, and pages along the primary key.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::Connection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use uuid::Uuid;

use super::row::{Row, column};
use crate::domain::event::{EventName, Recorded};
use crate::domain::ids::{EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::schema::events;
use crate::storage::time_limit::IN_TIME;
use crate::storage::{AnyConnection, Page, Scan, StoreError};

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
///
/// It may be short, even empty, and yet not the last: it looks at a bounded number of events.
pub fn list(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    filter: &Filter,
    page: Page<EventId>,
) -> Result<Scan<Recorded, EventId>, StoreError> {
    let mine = || of_merchant(merchant, mode);
    if filter.has_index() {
        let found = load(connection, by_index(matching(mine(), filter), page))?;
        return Ok(Scan { found, stopped_at: None });
    }
    if filter.fits_all() {
        let found = load(connection, by_key(mine(), page.before).limit(page.limit))?;
        return Ok(Scan { found, stopped_at: None });
    }
    let (first, end) = filter.ids();
    Scan::along(page, |page, rows| {
        let before = match (page.before, end) {
            (Some(before), Some(end)) => Some(before.min(end)),
            (before, end) => before.or(end),
        };
        let mut part = by_key(mine(), before);
        if let Some(first) = first {
            part = part.filter(events::event_id.ge(first.to_string()));
        }
        let floor = place_behind(connection, part, rows)?;
        let mut part = matching(by_key(mine(), before), filter).limit(page.limit);
        if let Some(bottom) = floor.or(first) {
            part = part.filter(events::event_id.ge(bottom.to_string()));
        }
        Ok((load(connection, part)?, floor))
    })
}

type Query<'a> = events::BoxedQuery<'a, <AnyConnection as Connection>::Backend>;

fn of_merchant<'a>(merchant: MerchantId, mode: Mode) -> Query<'a> {
    events::table
        .into_boxed()
        .filter(events::merchant_id.eq(merchant.to_string()))
        .filter(events::mode.eq(mode.as_str()))
}

/// Along the primary key.
fn by_key(query: Query<'_>, before: Option<EventId>) -> Query<'_> {
    let query = query.order(events::event_id.desc());
    match before {
        Some(before) => query.filter(events::event_id.lt(before.to_string())),
        None => query,
    }
}

/// The same order by looking at all that fits. It is written so that the primary key does not serve it:
/// SQLite would walk all that a merchant has along it, instead of the few events of an order.
fn by_index(query: Query<'_>, page: Page<EventId>) -> Query<'_> {
    let query = query.order(sql::<Text>("events.event_id || '' DESC")).limit(page.limit);
    match page.before {
        Some(before) => {
            query.filter(sql::<Bool>("events.event_id || '' < ").bind::<Text, _>(before.to_string()))
        }
        None => query,
    }
}

/// The place so many rows behind the first; `None` = there are no more than that.
fn place_behind(
    connection: &mut AnyConnection,
    query: Query<'_>,
    rows: i64,
) -> Result<Option<EventId>, StoreError> {
    let found: Option<String> =
        query.select(events::event_id).offset(rows).limit(1).first(connection).optional()?;
    let unreadable = |id: &str| StoreError::Unusable(format!("{id:?} in the database is no event id"));
    found.map(|id| id.parse().map_err(|_| unreadable(&id))).transpose()
}

fn load(connection: &mut AnyConnection, query: Query<'_>) -> Result<Vec<Recorded>, StoreError> {
    let query = match connection {
        AnyConnection::Postgres(_) => query,
        AnyConnection::Sqlite(_) => query.filter(sql::<Bool>(IN_TIME)),
    };
    let rows: Vec<Row> = query.select(Row::as_select()).load(connection)?;
    rows.into_iter().map(Row::into_recorded).collect()
}

fn matching<'a>(mut query: Query<'a>, filter: &'a Filter) -> Query<'a> {
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
        query = query.filter(events::received_at.ge(column(from)));
    }
    if let Some(to) = filter.received_to {
        query = query.filter(events::received_at.lt(column(to)));
    }
    query
}

impl Filter {
    /// Whether an index leads to what fits.
    const fn has_index(&self) -> bool {
        self.order_id.is_some() || self.external_id.is_some()
    }

    /// Whether every event fits.
    const fn fits_all(&self) -> bool {
        let Self { event_name, order_id, external_id, url_id, attribution, .. } = self;
        let Self { occurred_from, occurred_to, received_from, received_to, .. } = self;
        let by_content = event_name.is_none() && url_id.is_none() && attribution.is_none();
        let by_id = order_id.is_none() && external_id.is_none();
        let by_time = occurred_from.is_none() && occurred_to.is_none();
        by_content && by_id && by_time && received_from.is_none() && received_to.is_none()
    }

    /// The ids between which all lie that were received in its time: from the first to before the second.
    fn ids(&self) -> (Option<EventId>, Option<EventId>) {
        (
            self.received_from.map(|from| EventId::first_at(from - ID_LEAD_MAX)),
            self.received_to.map(|to| EventId::first_at(to + ID_LAG_MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use diesel::connection::InstrumentationEvent;
    use diesel::{QueryableByName, sql_query};
    use figment::Figment;
    use figment::providers::{Format as _, Toml};

    use super::*;
    use crate::storage::{Connector, Purpose, migrate};

    #[derive(QueryableByName)]
    struct Step {
        #[diesel(sql_type = Text)]
        detail: String,
    }

    /// How SQLite, which has no statistics, goes about a list.
    fn plan(filter: &Filter, page: Page<EventId>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("[database]\nurl = \"sqlite:{}/a.db\"", folder.path().display());
        let config = crate::config::load_from(Figment::from(Toml::string(&text))).unwrap();
        let mut connection = Connector::new(config.database).connect(Purpose::Write).unwrap();
        migrate::run(&mut connection).unwrap();
        let asked = Arc::new(Mutex::new(String::new()));
        let AnyConnection::Sqlite(c) = &mut connection else { panic!("SQLite") };
        let last = Arc::clone(&asked);
        c.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                *last.lock().unwrap() = query.to_string();
            }
        });
        let merchant = MerchantId::from_uuid(Uuid::from_u128(1));
        list(&mut connection, merchant, Mode::Live, filter, page).unwrap();
        let asked = asked.lock().unwrap().split("-- binds").next().unwrap().to_owned();
        let AnyConnection::Sqlite(c) = &mut connection else { panic!("SQLite") };
        let steps: Vec<Step> = sql_query(format!("EXPLAIN QUERY PLAN {asked}")).load(c).unwrap();
        steps.into_iter().map(|step| step.detail).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn an_orders_events_and_those_of_an_own_id_are_found_along_their_index() {
        let text = || Some("x".to_owned());
        let before = Some(EventId::from_uuid(Uuid::from_u128(9)));
        for before in [None, before] {
            let page = Page { before, limit: 5 };
            let by_order = plan(&Filter { order_id: text(), ..Filter::default() }, page);
            assert!(by_order.contains("(merchant_id=? AND mode=? AND order_id=?)"), "{by_order}");
            let by_id = plan(&Filter { external_id: text(), ..Filter::default() }, page);
            assert!(by_id.contains("USING INDEX events_by_external_id"), "{by_id}");
            let by_content = plan(&Filter { attribution: Some("attributed"), ..Filter::default() }, page);
            assert!(!by_content.contains("TEMP B-TREE"), "nothing is sorted: {by_content}");
        }
    }
}
