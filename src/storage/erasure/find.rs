//! What is recorded of an order.

use chrono::{DateTime, NaiveDateTime, Utc};
use diesel::prelude::*;

use super::Order;
use crate::domain::merchant::Mode;
use crate::storage::schema::{events, order_statuses};
use crate::storage::{AnyConnection, StoreError};

/// The order's events and the reports of its state.
#[derive(Debug, Default)]
pub struct Recorded {
    pub events: Vec<Event>,
    pub statuses: Vec<Status>,
}

/// An event, by its key.
#[derive(Debug)]
pub struct Event {
    pub mode: Mode,
    pub id: String,
    /// The request that brought it; `None` = from before there was a journal.
    pub attempt: Option<String>,
    received_at: DateTime<Utc>,
}

/// A report of the order's state, by its key.
#[derive(Debug)]
pub struct Status {
    pub mode: Mode,
    pub status: String,
    pub updated_at: String,
    /// The request that brought it first.
    pub attempt: String,
    received_at: DateTime<Utc>,
}

impl Recorded {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.statuses.is_empty()
    }

    /// When the first of it was recorded.
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        let of_events = self.events.iter().map(|event| event.received_at);
        of_events.chain(self.statuses.iter().map(|status| status.received_at)).min()
    }
}

/// All of it: an order is one range of either table's keys.
pub fn recorded(connection: &mut AnyConnection, order: &Order<'_>) -> Result<Recorded, StoreError> {
    let mut found = Recorded::default();
    for mode in order.modes.iter().copied() {
        let events: Vec<(String, Option<String>, NaiveDateTime)> = events::table
            .filter(events::merchant_id.eq(order.merchant.to_string()))
            .filter(events::mode.eq(mode.as_str()))
            .filter(events::order_id.eq(order.order))
            .select((events::event_id, events::attempt_id, events::received_at))
            .load(connection)?;
        found.events.extend(events.into_iter().map(|(id, attempt, at)| Event {
            mode,
            id,
            attempt,
            received_at: at.and_utc(),
        }));
        let statuses: Vec<(String, String, String, NaiveDateTime)> = order_statuses::table
            .filter(order_statuses::merchant_id.eq(order.merchant.to_string()))
            .filter(order_statuses::mode.eq(mode.as_str()))
            .filter(order_statuses::order_id.eq(order.order))
            .select((
                order_statuses::status,
                order_statuses::status_updated_at,
                order_statuses::attempt_id,
                order_statuses::received_at,
            ))
            .load(connection)?;
        found.statuses.extend(statuses.into_iter().map(|(status, updated_at, attempt, at)| Status {
            mode,
            status,
            updated_at,
            attempt,
            received_at: at.and_utc(),
        }));
    }
    Ok(found)
}
