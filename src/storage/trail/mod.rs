//! What led to what is recorded: reading for explanations, across merchants and modes.

mod events;
mod keys;
mod statuses;

pub use events::{EventTrail, event, events_of_attempt, events_of_order};
pub use keys::{KeyTrail, key};
pub use statuses::{StatusTrail, statuses_of_order};

use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;

/// Where something is looked for.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Of these merchants.
    pub merchants: Vec<MerchantId>,
    /// In these modes.
    pub modes: Vec<Mode>,
}

/// How many merchants one statement asks for.
const MERCHANTS_AT_ONCE: usize = 500;

impl Scope {
    /// The merchants as columns, some at a time.
    fn merchants(&self) -> impl Iterator<Item = Vec<String>> {
        self.merchants.chunks(MERCHANTS_AT_ONCE).map(|some| some.iter().map(MerchantId::to_string).collect())
    }

    fn modes(&self) -> Vec<&'static str> {
        self.modes.iter().map(|mode| mode.as_str()).collect()
    }
}
