//! What happened to an order, in the order in which it happened.

use chrono::{DateTime, Utc};

use crate::domain::event::EventName;
use crate::domain::ids::{EventId, ExternalId};
use crate::domain::money::Money;
use crate::domain::order_status::OrderStatus;

/// The earliest moments of an order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// The moments, the earliest first.
    pub moments: Vec<Moment>,
    /// Whether later ones were left out. All of them enter the figures.
    pub truncated: bool,
}

/// An event, or a state that the merchant reported.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    /// An event.
    Event {
        /// Its id.
        event_id: EventId,
        /// What happened.
        name: EventName,
        /// The event's own id in the merchant's system.
        external_id: Option<ExternalId>,
        /// Its value.
        value: Option<Money>,
        /// When it happened.
        occurred_at: DateTime<Utc>,
        /// When it was recorded.
        received_at: DateTime<Utc>,
        /// How often it was told.
        times_received: i64,
        /// How often otherwise than the first time.
        times_differed: i64,
    },
    /// A state.
    Status {
        /// The state.
        status: OrderStatus,
        /// Since when, by the merchant.
        updated_at: Option<DateTime<Utc>>,
        /// Why, in the merchant's words.
        reason: Option<String>,
        /// When it was recorded.
        received_at: DateTime<Utc>,
        /// The event that it is, for states that are one.
        event_id: Option<EventId>,
    },
}

impl Timeline {
    /// How many moments the timeline of an order read by itself holds.
    pub const MOMENTS_MAX: usize = 1_000;

    /// How many that of an order in a list holds.
    pub const LISTED_MOMENTS_MAX: usize = 100;

    /// Adds a moment, of which the timeline is to hold the `max` earliest: it takes memory for twice as
    /// many, however many there are.
    pub fn add(&mut self, moment: Moment, max: usize) {
        self.moments.push(moment);
        if self.moments.len() >= 2 * max {
            self.cut(max);
        }
    }

    /// Sorts the moments by when they happened, and leaves out all but the `max` earliest.
    pub fn cut(&mut self, max: usize) {
        self.moments.sort_by_key(Moment::place);
        self.truncated |= self.moments.len() > max;
        self.moments.truncate(max);
    }
}

impl Moment {
    /// When it happened; a state that says no time, when it was recorded.
    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Event { occurred_at, .. } => *occurred_at,
            Self::Status { updated_at, received_at, .. } => updated_at.unwrap_or(*received_at),
        }
    }

    /// Moments of one instant stand as things happen to an order: first it is sold.
    fn place(&self) -> (DateTime<Utc>, u8, Option<EventId>, &'static str) {
        match self {
            Self::Event { event_id, name, .. } => (self.at(), name.rank(), Some(*event_id), name.as_str()),
            Self::Status { status, .. } => (self.at(), u8::MAX, None, status.as_str()),
        }
    }
}
