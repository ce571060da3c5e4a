//! What of events and states enters an order.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::domain::attribution::Attribution;
use crate::domain::event::EventName;
use crate::domain::ids::ExternalId;
use crate::domain::instant;
use crate::domain::money::Money;
use crate::domain::order::{Fact, Moment};
use crate::storage::StoreError;
use crate::storage::events::attribution_of;
use crate::storage::schema::{events, order_statuses};

/// An event of an order.
#[derive(Queryable, Selectable)]
#[diesel(table_name = events)]
pub struct EventRow {
    pub order_id: String,
    event_id: String,
    event_name: String,
    external_id: Option<String>,
    occurred_at: NaiveDateTime,
    received_at: NaiveDateTime,
    value_minor: Option<i64>,
    currency: Option<String>,
    attribution: String,
    attribution_reason: Option<String>,
    click_id: Option<String>,
    url_id: Option<String>,
    domain_id: Option<String>,
    clicked_at: Option<NaiveDateTime>,
    times_received: i64,
    times_differed: i64,
}

/// What an event is to its order.
pub struct Part {
    /// For the figures.
    pub fact: Fact,
    /// For the timeline.
    pub moment: Moment,
    /// For the order's attribution: the sale's.
    pub attribution: Option<Attribution>,
}

impl EventRow {
    /// What the columns say.
    ///
    /// # Errors
    /// When somebody changed the row by hand into what no event is.
    pub fn into_part(self) -> Result<Part, StoreError> {
        let id = self.event_id.clone();
        self.read().ok_or_else(|| StoreError::Unusable(format!("event {id} in the database is not readable")))
    }

    fn read(self) -> Option<Part> {
        let name: EventName = self.event_name.parse().ok()?;
        let value = match (self.value_minor, &self.currency) {
            (Some(minor), Some(code)) => Some(Money::from_minor(minor, code.parse().ok()?).ok()?),
            _ => None,
        };
        let attribution = match name {
            EventName::Sale => Some(attribution_of(
                &self.attribution,
                self.attribution_reason.as_deref(),
                (
                    self.click_id.as_deref(),
                    self.url_id.as_deref(),
                    self.domain_id.as_deref(),
                    self.clicked_at,
                ),
            )?),
            _ => None,
        };
        Some(Part {
            fact: Fact { name, value, differed: self.times_differed > 0 },
            moment: Moment::Event {
                event_id: self.event_id.parse().ok()?,
                name,
                external_id: self.external_id.and_then(|id| ExternalId::parse(&id).ok()),
                value,
                occurred_at: self.occurred_at.and_utc(),
                received_at: self.received_at.and_utc(),
                times_received: self.times_received,
                times_differed: self.times_differed,
            },
            attribution,
        })
    }
}

/// A state that an order was reported in.
#[derive(Queryable, Selectable)]
#[diesel(table_name = order_statuses)]
pub struct StatusRow {
    pub order_id: String,
    status: String,
    status_updated_at: String,
    reason: Option<String>,
    received_at: NaiveDateTime,
    event_id: Option<String>,
}

impl StatusRow {
    /// What the columns say.
    ///
    /// # Errors
    /// When somebody changed the row by hand into what no report is.
    pub fn into_moment(self) -> Result<Moment, StoreError> {
        let order = self.order_id.clone();
        self.read().ok_or_else(|| {
            StoreError::Unusable(format!("a status of order {order:?} in the database is not readable"))
        })
    }

    fn read(self) -> Option<Moment> {
        let updated_at = match self.status_updated_at.as_str() {
            "" => None,
            text => Some(instant::parse(text).ok()?),
        };
        let event_id = match self.event_id {
            Some(id) => Some(id.parse().ok()?),
            None => None,
        };
        Some(Moment::Status {
            status: self.status.parse().ok()?,
            updated_at,
            reason: self.reason,
            received_at: self.received_at.and_utc(),
            event_id,
        })
    }
}
