//! `conversiond attempts`: the journal, for the operator.

mod follow;
mod line;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::{Context, Failure};
use crate::domain::attempt::{AttemptOutcome, Journaled};
use crate::domain::ids::{ExternalId, MerchantId};
use crate::domain::instant;
use crate::domain::merchant::Mode;
use crate::storage::attempts::{self, Filter, Owner};
use crate::storage::{AnyConnection, StoreError, merchants};

pub use line::{describe, time};

/// How many attempts are shown at most.
const LIMIT_MAX: u16 = 10_000;

/// The newest last. Of a bulk request its refused rows follow it, each as a line of its own.
#[derive(Debug, Args)]
pub struct Attempts {
    /// Of this merchant's keys and clicks alone; else everybody's, and those that named no key there is.
    #[arg(long)]
    merchant: Option<MerchantId>,
    /// Of live keys, or of test keys. Clicks are of neither.
    #[arg(long, value_name = "live|test")]
    mode: Option<Mode>,
    /// With this exact reason: an error code, or what is behind a 401 (`SIG_BAD_SIGNATURE`, …).
    #[arg(long)]
    reason: Option<String>,
    /// accepted, duplicate, replayed or refused.
    #[arg(long)]
    outcome: Option<AttemptOutcome>,
    /// Whose signature was right (true), or those that anybody may have made (false).
    #[arg(long, value_name = "true|false")]
    authenticated: Option<bool>,
    /// That name this order. Refused ones are found by it at once, others by going through all.
    #[arg(long, value_name = "ID", value_parser = order)]
    order: Option<String>,
    /// Begun since then: a time ago (90s, 1h, 2d) or an instant (2026-11-21T20:00:00Z).
    #[arg(long, value_name = "1h|INSTANT", value_parser = Since::parse)]
    since: Option<Since>,
    /// The newest so many.
    #[arg(long, value_name = "N", default_value = "50",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(LIMIT_MAX)))]
    limit: u16,
    /// Go on with those to come, until interrupted.
    #[arg(long)]
    follow: bool,
}

/// Since when.
#[derive(Debug, Clone, Copy)]
enum Since {
    Ago(TimeDelta),
    At(DateTime<Utc>),
}

/// Whose attempts are shown: found anew each time, merchants may be added meanwhile.
#[derive(Debug, Clone, Copy)]
struct Whose(Option<MerchantId>);

impl Attempts {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let mut connection = context.database()?;
        if let Some(merchant) = self.merchant
            && merchants::find(&mut connection, merchant)?.is_none()
        {
            return Err(format!("there is no merchant {merchant}").into());
        }
        let (whose, limit) = (Whose(self.merchant), usize::from(self.limit));
        let filter = Filter {
            mode: self.mode,
            reason: self.reason,
            outcome: self.outcome,
            authenticated: self.authenticated,
            order_id: self.order,
            from: self.since.map(|since| since.instant(context.now())),
            to: None,
        };
        if self.follow {
            return follow::run(context.output, connection, whose, filter, limit);
        }
        // One more than asked for tells whether there are more.
        let mut lines = connection.read(|c| {
            let owners = whose.owners(c)?;
            attempts::newest(c, &owners, &filter, limit + 1)
        })?;
        let more = lines.len() > limit;
        lines.truncate(limit);
        lines.reverse();
        let listed: Vec<Value> = lines.iter().map(describe).collect();
        context.output.show(&json!({ "attempts": listed, "more": more }), || table(&lines, more))
    }
}

impl Whose {
    fn owners(self, connection: &mut AnyConnection) -> Result<Vec<Owner>, StoreError> {
        match self.0 {
            Some(merchant) => Ok(vec![Some(merchant)]),
            None => attempts::owners(connection),
        }
    }
}

impl Since {
    fn parse(text: &str) -> Result<Self, String> {
        let ago = || TimeDelta::from_std(humantime::parse_duration(text).ok()?).ok();
        instant::parse(text).ok().map(Self::At).or_else(|| ago().map(Self::Ago)).ok_or_else(|| {
            "must be a time ago such as 1h, or an instant such as 2026-11-21T20:00:00Z".to_owned()
        })
    }

    fn instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Ago(ago) => now.checked_sub_signed(ago).unwrap_or(DateTime::UNIX_EPOCH),
            Self::At(at) => at,
        }
    }
}

fn table(lines: &[Journaled], more: bool) -> String {
    if lines.is_empty() {
        return "no attempts".to_owned();
    }
    let older = more.then(|| "… (older ones are left out: --limit, --since)".to_owned());
    let rows = lines.iter().map(line::row);
    older.into_iter().chain([line::header()]).chain(rows).collect::<Vec<_>>().join("\n")
}

fn order(text: &str) -> Result<String, String> {
    ExternalId::parse(text).map(|id| id.as_str().to_owned()).map_err(|error| format!("must be {}", error.0))
}
