//! Where a list of orders finds them: along the events that can put an order into it.

use diesel::dsl::{exists, not, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use uuid::Uuid;

use crate::domain::ids::{EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::schema::events;
use crate::storage::time_limit::IN_TIME;
use crate::storage::{AnyConnection, StoreError};

diesel::alias!(events as earlier: Earlier);

/// The events that a list is driven by. An order stands where the first of its events among them
/// does, by event id: a place that no later event changes, but for an order told otherwise once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Everything but leads.
    All,
    /// Sales.
    Sales,
    /// Sales credited to this link.
    Link(Uuid),
    /// What takes sales back.
    Reversing,
    /// What was told again with other content.
    Differing,
}

/// How many events one search looks at, of all or of those that a partial index has: a merchant may have a
/// million leads and a few sales, few sales of a link, or a million refunds of one order. Such a search goes
/// on page by page; an index would have every sale pay for it.
const WINDOW: i64 = 2_500;

/// Some candidates, the newest first.
pub struct Candidates {
    /// Their places and ids.
    pub found: Vec<(EventId, String)>,
    /// Where to go on; `None` = these were the last.
    pub rest: Option<EventId>,
}

/// The literal texts of the partial indexes: neither database uses one whose condition it would have
/// to learn from a parameter.
const REVERSING: &str = "events.event_name NOT IN ('sale', 'lead')";
const DIFFERING: &str = "events.times_differed > 0";
const EARLIER_REVERSING: &str = "earlier.event_name NOT IN ('sale', 'lead')";

/// At most `limit` candidates before a place.
pub fn candidates(
    connection: &mut AnyConnection,
    (merchant, mode): (MerchantId, Mode),
    driver: Driver,
    before: Option<EventId>,
    limit: i64,
) -> Result<Candidates, StoreError> {
    let mut query = events::table
        .filter(events::merchant_id.eq(merchant.to_string()))
        .filter(events::mode.eq(mode.as_str()))
        .select((events::event_id, events::order_id))
        .order(events::event_id.desc())
        .limit(limit)
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(events::event_id.lt(before.to_string()));
    }
    let floor = window(connection, (merchant, mode), driver, before)?;
    if let Some(floor) = floor {
        query = query.filter(events::event_id.ge(floor.to_string()));
    }
    let same_order = || {
        earlier
            .filter(earlier.field(events::merchant_id).eq(events::merchant_id))
            .filter(earlier.field(events::mode).eq(events::mode))
            .filter(earlier.field(events::order_id).eq(events::order_id))
            // Written so that no index serves it: SQLite would take the primary key and walk all that a
            // merchant has, for each candidate, instead of the order's few events.
            .filter(sql::<Bool>("earlier.event_id || '' < events.event_id"))
            .select(earlier.field(events::event_id))
            // PostgreSQL makes no join of a query with an offset: it would read all that a merchant has.
            .limit(1)
            .offset(0)
    };
    query = match driver {
        Driver::All => query
            .filter(sql::<Bool>("events.event_name <> 'lead'"))
            .filter(not(exists(same_order().filter(sql::<Bool>("earlier.event_name <> 'lead'"))))),
        Driver::Sales => query.filter(sql::<Bool>("events.event_name = 'sale'")),
        Driver::Link(url) => {
            query.filter(sql::<Bool>("events.event_name = 'sale'")).filter(events::url_id.eq(url.to_string()))
        }
        Driver::Reversing => query
            .filter(sql::<Bool>(REVERSING))
            .filter(not(exists(same_order().filter(sql::<Bool>(EARLIER_REVERSING))))),
        Driver::Differing => query
            .filter(sql::<Bool>(DIFFERING))
            .filter(sql::<Bool>("events.event_name <> 'lead'"))
            .filter(not(exists(
                same_order()
                    .filter(sql::<Bool>("earlier.times_differed > 0 AND earlier.event_name <> 'lead'")),
            ))),
    };
    if matches!(connection, AnyConnection::Sqlite(_)) {
        query = query.filter(sql::<Bool>(IN_TIME));
    }
    let rows: Vec<(String, String)> = query.load(connection)?;
    let unreadable = |id: &str| StoreError::Unusable(format!("{id:?} in the database is no event id"));
    let found = rows
        .into_iter()
        .map(|(event, order)| Ok((event.parse().map_err(|_| unreadable(&event))?, order)))
        .collect::<Result<Vec<(EventId, String)>, StoreError>>()?;
    let full = i64::try_from(found.len()).is_ok_and(|found| found >= limit);
    let rest = if full { found.last().map(|(place, _)| *place) } else { floor };
    Ok(Candidates { found, rest })
}

/// The place [`WINDOW`] events of a driver before one; `None` = the list ends earlier.
fn window(
    connection: &mut AnyConnection,
    (merchant, mode): (MerchantId, Mode),
    driver: Driver,
    before: Option<EventId>,
) -> Result<Option<EventId>, StoreError> {
    let mut query = events::table
        .filter(events::merchant_id.eq(merchant.to_string()))
        .filter(events::mode.eq(mode.as_str()))
        .select(events::event_id)
        .order(events::event_id.desc())
        .offset(WINDOW)
        .limit(1)
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(events::event_id.lt(before.to_string()));
    }
    query = match driver {
        Driver::All | Driver::Sales | Driver::Link(_) => query,
        Driver::Reversing => query.filter(sql::<Bool>(REVERSING)),
        Driver::Differing => query.filter(sql::<Bool>(DIFFERING)),
    };
    let found: Option<String> = query.first(connection).optional()?;
    let unreadable = |id: &str| StoreError::Unusable(format!("{id:?} in the database is no event id"));
    found.map(|id| id.parse().map_err(|_| unreadable(&id))).transpose()
}
