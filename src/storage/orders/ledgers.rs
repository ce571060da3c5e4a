//! Reading orders' figures alone, many at a time.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::connection::DefaultLoadingMode;
use diesel::dsl::sql;
use diesel::pg::PgRowByRowLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::load::ORDERS_AT_ONCE;
use crate::domain::event::EventName;
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::money::Money;
use crate::domain::order::{Fact, Ledger};
use crate::storage::schema::events;
use crate::storage::time_limit::{self, IN_TIME};
use crate::storage::{AnyConnection, StoreError};

/// A sale, as far as it is needed to find its order.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct SaleRow {
    /// The order.
    pub order_id: String,
    /// The event.
    pub event_id: String,
    /// `live` or `test`.
    pub mode: String,
    /// When it happened.
    pub occurred_at: NaiveDateTime,
}

/// A merchant's sales of both modes that happened within a period, the earliest first, some at a time:
/// those after the given one. Each time, all sales of that one's instant are looked at once more.
///
/// The mode is left to the caller: asked for it, SQLite would take the primary key for the better index.
pub fn sales_between(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    after: Option<&SaleRow>,
    limit: i64,
) -> Result<Vec<SaleRow>, StoreError> {
    let from = after.map_or(from.naive_utc(), |sale| sale.occurred_at);
    let mut query = events::table
        .filter(events::merchant_id.eq(merchant.to_string()))
        .filter(events::occurred_at.ge(from))
        .filter(events::occurred_at.lt(to.naive_utc()))
        // The first half is the index's condition, to the letter.
        .filter(sql::<Bool>("event_name IN ('sale', 'lead') AND event_name = 'sale'"))
        .select(SaleRow::as_select())
        .order((events::occurred_at, events::event_id))
        .limit(limit)
        .into_boxed();
    if let Some(sale) = after {
        query = query
            .filter(events::occurred_at.gt(sale.occurred_at).or(events::event_id.gt(sale.event_id.clone())));
    }
    if matches!(connection, AnyConnection::Sqlite(_)) {
        query = query.filter(sql::<Bool>(IN_TIME));
    }
    Ok(query.load(connection)?)
}

/// A merchant's sales of these orders, in both modes.
pub fn sales_of(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    orders: &[&str],
) -> Result<Vec<SaleRow>, StoreError> {
    let mut found = Vec::new();
    for orders in orders.chunks(ORDERS_AT_ONCE) {
        let rows: Vec<SaleRow> = events::table
            .filter(events::merchant_id.eq(merchant.to_string()))
            .filter(events::mode.eq_any([Mode::Live.as_str(), Mode::Test.as_str()]))
            .filter(events::order_id.eq_any(orders.iter().copied()))
            .filter(events::event_name.eq(EventName::Sale.as_str()))
            .select(SaleRow::as_select())
            .load(connection)?;
        found.extend(rows);
    }
    Ok(found)
}

/// What the events of each of these orders add up to. They are added one after the other as they come:
/// an order may have any number.
pub fn ledgers(
    connection: &mut AnyConnection,
    merchant: MerchantId,
    mode: Mode,
    orders: &[&str],
) -> Result<HashMap<String, Ledger>, StoreError> {
    type Columns = (String, String, Option<i64>, Option<String>, i64);
    let mut ledgers: HashMap<String, Ledger> = HashMap::with_capacity(orders.len());
    let mut add = |row: QueryResult<Columns>| -> Result<(), StoreError> {
        time_limit::check()?;
        let (order, name, minor, currency, differed) = row?;
        let fact = fact(&name, minor.zip(currency.as_deref()), differed).ok_or_else(|| {
            StoreError::Unusable(format!("an event of order {order:?} in the database is not readable"))
        })?;
        match ledgers.get_mut(&order) {
            Some(ledger) => ledger.add(fact),
            None => ledgers.entry(order).or_default().add(fact),
        }
        Ok(())
    };
    for orders in orders.chunks(ORDERS_AT_ONCE) {
        // Rows come one by one only from a connection whose kind is known.
        macro_rules! rows {
            ($connection:expr, $loading:ty) => {
                events::table
                    .filter(events::merchant_id.eq(merchant.to_string()))
                    .filter(events::mode.eq(mode.as_str()))
                    .filter(events::order_id.eq_any(orders.iter().copied()))
                    .select((
                        events::order_id,
                        events::event_name,
                        events::value_minor,
                        events::currency,
                        events::times_differed,
                    ))
                    .load_iter::<Columns, $loading>($connection)?
            };
        }
        match connection {
            AnyConnection::Postgres(c) => rows!(c, PgRowByRowLoadingMode).try_for_each(&mut add),
            AnyConnection::Sqlite(c) => rows!(c, DefaultLoadingMode).try_for_each(&mut add),
        }?;
    }
    Ok(ledgers)
}

fn fact(name: &str, value: Option<(i64, &str)>, times_differed: i64) -> Option<Fact> {
    let value = match value {
        Some((minor, code)) => Some(Money::from_minor(minor, code.parse().ok()?).ok()?),
        None => None,
    };
    Some(Fact { name: name.parse().ok()?, value, differed: times_differed > 0 })
}
