//! Where a list of orders finds them: along the events that can put an order into it.

use diesel::dsl::{exists, not, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use uuid::Uuid;

use crate::domain::ids::{EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::storage::schema::events;
use crate::storage::{AnyConnection, StoreError};

diesel::alias!(events as earlier: Earlier);

/// The events that a list is driven by. An order stands where the first of its events among them
/// does, by event id: a place that no later event changes.
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

/// How many events a search for a link's sales looks at.
const WINDOW: i64 = 10_000;

/// Some candidates, the newest first.
pub struct Candidates {
    /// Their places and ids.
    pub found: Vec<(EventId, String)>,
    /// Where to go on; `None` = these were the last.
    pub rest: Option<EventId>,
}

/// The literal texts of the partial indexes: neither database uses one whose condition it would have
/// to learn from a parameter.
const REVERSING: &str = "events.event_name IN ('refund', 'status_refund', 'cancellation', 'reversal')";
const EARLIER_REVERSING: &str =
    "earlier.event_name IN ('refund', 'status_refund', 'cancellation', 'reversal')";

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
    let same_order = || {
        earlier
            .filter(earlier.field(events::merchant_id).eq(events::merchant_id))
            .filter(earlier.field(events::mode).eq(events::mode))
            .filter(earlier.field(events::order_id).eq(events::order_id))
            .filter(earlier.field(events::event_id).lt(events::event_id))
            .select(earlier.field(events::event_id))
    };
    let mut floor = None;
    query = match driver {
        Driver::All => query
            .filter(sql::<Bool>("events.event_name <> 'lead'"))
            .filter(not(exists(same_order().filter(sql::<Bool>("earlier.event_name <> 'lead'"))))),
        Driver::Sales => query.filter(sql::<Bool>("events.event_name = 'sale'")),
        Driver::Link(url) => {
            floor = window(connection, (merchant, mode), before)?;
            let floor = floor.map(|floor| floor.to_string()).unwrap_or_default();
            query
                .filter(sql::<Bool>("events.event_name = 'sale'"))
                .filter(events::url_id.eq(url.to_string()))
                .filter(events::event_id.ge(floor))
        }
        Driver::Reversing => query
            .filter(sql::<Bool>(REVERSING))
            .filter(not(exists(same_order().filter(sql::<Bool>(EARLIER_REVERSING))))),
        Driver::Differing => query
            .filter(sql::<Bool>("events.times_differed > 0 AND events.event_name <> 'lead'"))
            .filter(not(exists(
                same_order()
                    .filter(sql::<Bool>("earlier.times_differed > 0 AND earlier.event_name <> 'lead'")),
            ))),
    };
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

/// The place [`WINDOW`] events before one; `None` = the list ends earlier. No index tells a link's
/// sales, because every sale would pay for it: a search for a rare link's goes on page by page.
fn window(
    connection: &mut AnyConnection,
    (merchant, mode): (MerchantId, Mode),
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
    let found: Option<String> = query.first(connection).optional()?;
    let unreadable = |id: &str| StoreError::Unusable(format!("{id:?} in the database is no event id"));
    found.map(|id| id.parse().map_err(|_| unreadable(&id))).transpose()
}
