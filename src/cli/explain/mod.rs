//! `conversiond explain ID`: why an event, an attempt or an order is as it is.

mod event;
mod find;
mod json;
mod reasons;
mod story;
mod text;

use clap::Args;

use super::{Context, Failure};
use crate::domain::click_token::TokenRing;
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::keyring::{Loader, load_master_key};
use crate::storage::{AnyConnection, merchants};
use crate::system::SystemEntropy;
use find::Finder;

#[derive(Debug, Args)]
pub struct Explain {
    /// An event (`evt_…`), an attempt (`att_…`), or an order by the merchant's id.
    id: String,
    /// Whose, where several merchants have an order of this id.
    #[arg(long)]
    merchant: Option<MerchantId>,
    /// Of live keys or of test keys, where both have an order of this id.
    #[arg(long, value_name = "live|test")]
    mode: Option<Mode>,
}

impl Explain {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut connection = context.database()?;
        if let Some(merchant) = self.merchant
            && merchants::find(&mut connection, merchant)?.is_none()
        {
            return Err(format!("there is no merchant {merchant}").into());
        }
        let tokens = token_ring(context, &mut connection);
        let story = connection.read(|connection| {
            let mut finder = Finder::new(connection, self.merchant, self.mode, tokens)?;
            let found = finder.find(&self.id)?;
            found.ok_or_else(|| Failure::from(not_found(&self.id, &finder, context)))
        })?;
        let kept = story::Kept {
            key_hours: context.config.idempotency.ttl_hours,
            attempt_days: context.config.journal.retention_days,
        };
        context.output.show(&json::of(&story), || text::of(&story, kept))
    }
}

/// For what tokens say. Without the master key they are not read: the rest can be explained all the same.
fn token_ring(context: &Context, connection: &mut AnyConnection) -> Option<TokenRing> {
    let ring = load_master_key(&context.master_key_source(false), &SystemEntropy).ok()?;
    let directory = connection.read(|c| Loader::new(ring, &SystemEntropy).load(c, context.now())).ok()?;
    Some(directory.token_ring)
}

fn not_found(id: &str, finder: &Finder<'_>, context: &Context) -> String {
    let what = match id.split_once('_') {
        Some(("evt", _)) => "the events, by their ids and their orders'",
        Some(("att", _)) => "the attempts, by their ids, and the events, by their orders'",
        _ => "the orders of events and order statuses, and in refused attempts that name one",
    };
    let days = context.config.journal.retention_days;
    format!(
        "nothing is known of {id}: looked in {what}, of {} (attempts are kept {days} days)",
        finder.whereabouts()
    )
}
