//! All that is known of one thing.

use crate::domain::attempt::Journaled;
use crate::domain::click_token::ClickToken;
use crate::domain::ids::{AttemptId, EventId};
use crate::domain::merchant::Mode;
use crate::storage::merchants::Account;
use crate::storage::trail::{EventTrail, KeyTrail, StatusTrail};

/// All that is known of one thing.
pub struct Story {
    /// What was asked about.
    pub subject: Subject,
    /// Whose it is; `None` = of no merchant's key.
    pub merchant: Option<Account>,
    /// Real or test.
    pub mode: Option<Mode>,
    /// The order that it is about.
    pub order: Option<String>,
    /// The request asked about: itself, then its refused rows.
    pub attempt: Vec<Journaled>,
    /// The event asked about, those of the order, or those that the request brought or met.
    pub events: Vec<EventStory>,
    /// The states that the order was reported in.
    pub statuses: Vec<StatusTrail>,
    /// Refused requests and rows that name the order, newest first.
    pub refused: Vec<Journaled>,
}

/// What was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An event.
    Event(EventId),
    /// A request.
    Attempt(AttemptId),
    /// An order.
    Order(String),
}

/// An event and how it came about.
pub struct EventStory {
    /// What is recorded.
    pub trail: EventTrail,
    /// The request that brought it, unless that is forgotten.
    pub brought_by: Option<Journaled>,
    /// What its idempotency key stands for now.
    pub key: Option<KeyTrail>,
    /// What the token that it came with says, where it is genuine.
    pub token: Option<ClickToken>,
}

/// How long things are remembered.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Answers under idempotency keys.
    pub key_hours: u32,
    /// Attempts.
    pub attempt_days: u32,
}
