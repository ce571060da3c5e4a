//! Reading orders whole.

use std::collections::HashMap;

use diesel::prelude::*;

use super::row::{EventRow, StatusRow};
use crate::domain::attribution::Attribution;
use crate::domain::ids::{ExternalId, MerchantId};
use crate::domain::merchant::Mode;
use crate::domain::order::{Ledger, Moment, Order, Timeline};
use crate::storage::schema::{events, order_statuses};
use crate::storage::{AnyConnection, StoreError};

/// How many orders one statement asks for.
pub const ORDERS_AT_ONCE: usize = 500;

/// An order that is being added up.
#[derive(Default)]
struct Draft {
    ledger: Ledger,
    attribution: Option<Attribution>,
    moments: Vec<Moment>,
}

/// A merchant's orders of these ids, as far as there are any.
pub fn load(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    ids: &[&str],
) -> Result<HashMap<String, Order>, StoreError> {
    let mut drafts: HashMap<String, Draft> = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(ORDERS_AT_ONCE) {
        for row in events_of(connection, merchant, mode, ids)? {
            let draft = drafts.entry(row.order_id.clone()).or_default();
            let part = row.into_part()?;
            draft.ledger.add(part.fact);
            draft.moments.push(part.moment);
            draft.attribution = draft.attribution.or(part.attribution);
        }
        for row in statuses_of(connection, merchant, mode, ids)? {
            let draft = drafts.entry(row.order_id.clone()).or_default();
            draft.moments.push(row.into_moment()?);
        }
    }
    let orders = drafts.into_iter().filter(|(_, draft)| draft.ledger.is_order());
    orders.map(|(id, draft)| Ok((id.clone(), draft.finish(&id, mode)?))).collect()
}

fn events_of(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    ids: &[&str],
) -> QueryResult<Vec<EventRow>> {
    events::table
        .filter(events::merchant_id.eq(merchant.to_string()))
        .filter(events::mode.eq(mode.as_str()))
        .filter(events::order_id.eq_any(ids.iter().copied()))
        .select(EventRow::as_select())
        .load(connection)
}

fn statuses_of(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    ids: &[&str],
) -> QueryResult<Vec<StatusRow>> {
    order_statuses::table
        .filter(order_statuses::merchant_id.eq(merchant.to_string()))
        .filter(order_statuses::mode.eq(mode.as_str()))
        .filter(order_statuses::order_id.eq_any(ids.iter().copied()))
        .select(StatusRow::as_select())
        .load(connection)
}

impl Draft {
    fn finish(self, id: &str, mode: Mode) -> Result<Order, StoreError> {
        let unreadable = |_| StoreError::Unusable(format!("{id:?} in the database is no order id"));
        Ok(Order {
            id: ExternalId::parse(id).map_err(unreadable)?,
            mode,
            figures: self.ledger.figures(),
            attribution: self.attribution,
            timeline: Timeline::of(self.moments),
        })
    }
}
