//! Reading orders whole, however many events they have: row by row.

use std::collections::HashMap;

use diesel::connection::DefaultLoadingMode;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;

use super::row::{EventRow, StatusRow};
use crate::domain::attribution::Attribution;
use crate::domain::ids::{ExternalId, MerchantId};
use crate::domain::merchant::Mode;
use crate::domain::order::{Ledger, Order, Timeline};
use crate::storage::schema::{events, order_statuses};
use crate::storage::{AnyConnection, StoreError, time_limit};

/// How many orders one statement asks for.
pub const ORDERS_AT_ONCE: usize = 500;

/// An order that is being added up.
#[derive(Default)]
struct Draft {
    ledger: Ledger,
    attribution: Option<Attribution>,
    timeline: Timeline,
}

/// Orders that are being added up, and how many moments each is to hold.
struct Drafts {
    orders: HashMap<String, Draft>,
    events: usize,
    moments_max: usize,
}

/// Orders that were read.
pub struct Loaded {
    /// They, by their ids.
    pub orders: HashMap<String, Order>,
    /// How many events they have.
    pub events: usize,
}

/// A merchant's orders of these ids, as far as there are any, with so many moments each.
pub fn load(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    ids: &[&str],
    moments_max: usize,
) -> Result<Loaded, StoreError> {
    let mut drafts = Drafts { orders: HashMap::with_capacity(ids.len()), events: 0, moments_max };
    for ids in ids.chunks(ORDERS_AT_ONCE) {
        drafts.read_events(connection, merchant, mode, ids)?;
        drafts.read_statuses(connection, merchant, mode, ids)?;
    }
    let orders = drafts.orders.into_iter().filter(|(_, draft)| draft.ledger.is_order());
    let orders = orders
        .map(|(id, draft)| Ok((id.clone(), draft.finish(&id, mode, moments_max)?)))
        .collect::<Result<_, StoreError>>()?;
    Ok(Loaded { orders, events: drafts.events })
}

impl Drafts {
    fn read_events(
        &mut self,
        connection: &mut AnyConnection,
        merchant: MerchantId,
        mode: Mode,
        ids: &[&str],
    ) -> Result<(), StoreError> {
        macro_rules! rows {
            () => {
                events::table
                    .filter(events::merchant_id.eq(merchant.to_string()))
                    .filter(events::mode.eq(mode.as_str()))
                    .filter(events::order_id.eq_any(ids.iter().copied()))
                    .select(EventRow::as_select())
            };
        }
        match connection {
            AnyConnection::Postgres(c) => {
                rows!().load_iter::<EventRow, PgRowByRowLoadingMode>(c)?.try_for_each(|row| self.event(row?))
            }
            AnyConnection::Sqlite(c) => {
                rows!().load_iter::<EventRow, DefaultLoadingMode>(c)?.try_for_each(|row| self.event(row?))
            }
        }
    }

    fn read_statuses(
        &mut self,
        connection: &mut AnyConnection,
        merchant: MerchantId,
        mode: Mode,
        ids: &[&str],
    ) -> Result<(), StoreError> {
        macro_rules! rows {
            () => {
                order_statuses::table
                    .filter(order_statuses::merchant_id.eq(merchant.to_string()))
                    .filter(order_statuses::mode.eq(mode.as_str()))
                    .filter(order_statuses::order_id.eq_any(ids.iter().copied()))
                    .select(StatusRow::as_select())
            };
        }
        match connection {
            AnyConnection::Postgres(c) => rows!()
                .load_iter::<StatusRow, PgRowByRowLoadingMode>(c)?
                .try_for_each(|row| self.status(row?)),
            AnyConnection::Sqlite(c) => {
                rows!().load_iter::<StatusRow, DefaultLoadingMode>(c)?.try_for_each(|row| self.status(row?))
            }
        }
    }

    fn event(&mut self, row: EventRow) -> Result<(), StoreError> {
        time_limit::check()?;
        self.events += 1;
        let draft = self.orders.entry(row.order_id.clone()).or_default();
        let part = row.into_part()?;
        draft.ledger.add(part.fact);
        draft.timeline.add(part.moment, self.moments_max);
        draft.attribution = draft.attribution.or(part.attribution);
        Ok(())
    }

    fn status(&mut self, row: StatusRow) -> Result<(), StoreError> {
        let draft = self.orders.entry(row.order_id.clone()).or_default();
        draft.timeline.add(row.into_moment()?, self.moments_max);
        Ok(())
    }
}

impl Draft {
    fn finish(self, id: &str, mode: Mode, moments_max: usize) -> Result<Order, StoreError> {
        let unreadable = |_| StoreError::Unusable(format!("{id:?} in the database is no order id"));
        let mut timeline = self.timeline;
        timeline.cut(moments_max);
        Ok(Order {
            id: ExternalId::parse(id).map_err(unreadable)?,
            mode,
            figures: self.ledger.figures(),
            attribution: self.attribution,
            timeline,
        })
    }
}
