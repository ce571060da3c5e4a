//! Pages of orders.

use uuid::Uuid;

use super::candidates::{Candidates, Driver, candidates};
use super::load;
use crate::domain::attribution::Attribution;
use crate::domain::ids::{EventId, MerchantId};
use crate::domain::merchant::Mode;
use crate::domain::order::{Flag, Order, State, Timeline};
use crate::storage::{AnyConnection, Page, Scan, StoreError};

/// How many candidates are read at once.
const CHUNK: i64 = 250;

/// How many orders one page may look at: most of them may not fit the filter.
const ORDERS_MAX: usize = 500;

/// How many searches for candidates a page may make. Each looks at a bounded number of events.
const SEARCHES_MAX: usize = 4;

/// How many orders are read at once, and after how many events no further ones are: an order may have any
/// number.
const ORDERS_AT_ONCE: usize = 50;
const EVENTS_MAX: usize = 20_000;

/// How many moments one page may hold; the orders that have the more go to the next.
const MOMENTS_MAX: usize = 20_000;

/// Which orders of a merchant a list holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<State>,
    /// With this flag.
    pub flag: Option<Flag>,
    /// Whose sale is credited to this link.
    pub url_id: Option<Uuid>,
}

/// An order in a list.
pub struct Listed {
    /// Where it stands: at the first of its events that can put it into the list.
    pub place: EventId,
    /// It.
    pub order: Order,
}

/// A page of a merchant's orders, newest first. It may be short, even empty, and yet not be the last.
pub fn list(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    filter: Filter,
    page: Page<EventId>,
) -> Result<Scan<Listed, EventId>, StoreError> {
    let wanted = usize::try_from(page.limit).unwrap_or(0);
    let (mut orders, mut before) = (Vec::with_capacity(wanted), page.before);
    let (mut looked_at, mut searches, mut moments, mut events) = (0, 0, 0, 0);
    // Of all orders each fits; of others there is no knowing how many.
    let chunk = if filter.driver() == Driver::All { page.limit.min(CHUNK) } else { CHUNK };
    loop {
        let Candidates { found, rest } =
            candidates(connection, (merchant, mode), filter.driver(), before, chunk)?;
        let ids_found = found.len();
        for part in found.chunks(ORDERS_AT_ONCE) {
            let ids: Vec<&str> = part.iter().map(|(_, id)| id.as_str()).collect();
            let mut loaded = load(connection, merchant, mode, &ids, Timeline::LISTED_MOMENTS_MAX)?;
            for (place, id) in part {
                let fitting = loaded.orders.remove(id).filter(|order| filter.holds(order));
                let Some(order) = fitting else { continue };
                moments += order.timeline.moments.len();
                orders.push(Listed { place: *place, order });
                if orders.len() >= wanted || moments >= MOMENTS_MAX {
                    return Ok(Scan { found: orders, stopped_at: Some(*place) });
                }
            }
            events += loaded.events;
            if let Some((place, _)) = part.last().filter(|_| events >= EVENTS_MAX) {
                return Ok(Scan { found: orders, stopped_at: Some(*place) });
            }
        }
        looked_at += ids_found;
        searches += 1;
        match rest {
            None => return Ok(Scan { found: orders, stopped_at: None }),
            Some(place) if looked_at >= ORDERS_MAX || searches >= SEARCHES_MAX => {
                return Ok(Scan { found: orders, stopped_at: Some(place) });
            }
            Some(place) => before = Some(place),
        }
    }
}

impl Filter {
    /// The narrowest drive that misses no order.
    fn driver(&self) -> Driver {
        match (self.flag, self.state, self.url_id) {
            (Some(Flag::ConflictingRepeat), ..) => Driver::Differing,
            (Some(Flag::OverRefunded | Flag::CurrencyMismatch), ..) => Driver::Reversing,
            (
                None,
                Some(
                    State::AwaitingSale
                    | State::Reversed
                    | State::Cancelled
                    | State::Refunded
                    | State::PartiallyRefunded,
                ),
                _,
            ) => Driver::Reversing,
            (None, Some(State::Open) | None, Some(url)) => Driver::Link(url),
            (None, Some(State::Open), None) => Driver::Sales,
            (None, None, None) => Driver::All,
        }
    }

    fn holds(&self, order: &Order) -> bool {
        let url = match order.attribution {
            Some(Attribution::Attributed(link)) => Some(link.url_id),
            _ => None,
        };
        self.state.is_none_or(|state| order.figures.state == state)
            && self.flag.is_none_or(|flag| order.figures.flags.contains(&flag))
            && (self.url_id.is_none() || self.url_id == url)
    }
}
