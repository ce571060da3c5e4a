//! `conversiond token-key …`

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::table;
use super::token::instant_argument;
use super::{Context, Failure};
use crate::domain::instant;
use crate::domain::time::cut_to_micros;
use crate::keyring::{retire_token_key, rotate_token_key};
use crate::storage::token_keys::{self, Retirement, StoredTokenKey};
use crate::storage::{AnyConnection, StoreError, merchants};
use crate::system::SystemEntropy;

#[derive(Debug, Subcommand)]
pub enum TokenKey {
    /// Show all token keys, and from when each can be retired.
    List,
    /// Sign with a fresh key from now on; older tokens stay genuine.
    Rotate,
    /// Take a key out of force: its tokens are `invalid_token` from then on, and earn no link.
    ///
    /// Rotate first: the newest key signs and cannot be retired. Retire an old key after the longest
    /// attribution window (`token-key list` says when), so that nobody's sale loses its link; a leaked one
    /// at once. Events are recorded all the same, and what was attributed stays so.
    Retire(Retire),
}

#[derive(Debug, Args)]
pub struct Retire {
    /// The key's number.
    number: u8,
    /// From when on; at once unless given.
    #[arg(long, value_name = "RFC3339", value_parser = instant_argument)]
    at: Option<DateTime<Utc>>,
}

impl TokenKey {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => list(context),
            Self::Rotate => rotate(context),
            Self::Retire(retire) => retire.run(context),
        }
    }
}

fn rotate(context: &Context) -> Result<(), Failure> {
    let mut connection = context.database()?;
    let ring = context.master_key(&mut connection)?;
    let number = rotate_token_key(&mut connection, &ring, context.now(), &SystemEntropy)?;
    context.output.show(&json!({ "key_number": number }), || {
        format!("token key {number} signs from now on; every instance knows it within 5 s.")
    })
}

impl Retire {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let mut connection = context.database()?;
        let ring = context.master_key(&mut connection)?;
        let (number, now) = (self.number, context.now());
        let at = self.at.map_or(now, cut_to_micros);
        match retire_token_key(&mut connection, &ring, number, (at, now), &SystemEntropy)? {
            Retirement::Done => {}
            Retirement::NoSuchKey => return Err(format!("there is no token key {number}").into()),
            Retirement::Signs => {
                let words = "signs: run `conversiond token-key rotate`, and 5 s later this again";
                return Err(format!("token key {number} {words}").into());
            }
            Retirement::Over(since) => {
                let since = instant::format(since);
                return Err(format!("token key {number} has been retired since {since}").into());
            }
        }
        let told = instant::format(at);
        context.output.show(&json!({ "key_number": number, "retired_at": told }), || {
            let from = if at <= now { "now".to_owned() } else { told.clone() };
            format!("token key {number} is out of force from {from} on, within 5 s on every instance.")
        })
    }
}

/// A key of the ring, and from when no token of it can earn a link any more.
struct Listed {
    key: StoredTokenKey,
    /// `None` = it signs.
    safe_from: Option<DateTime<Utc>>,
}

impl Listed {
    fn all(connection: &mut AnyConnection) -> Result<Vec<Self>, StoreError> {
        let accounts = merchants::all(connection)?;
        let windows = accounts.iter().map(|account| account.merchant.attribution_window.days());
        let longest = TimeDelta::days(windows.max().unwrap_or(0).into());
        let keys = token_keys::all(connection)?;
        // A key signs until its successor is there.
        let rotated: Vec<_> = keys.iter().skip(1).map(|next| Some(next.created_at)).chain([None]).collect();
        let listed = keys.into_iter().zip(rotated);
        Ok(listed.map(|(key, rotated)| Self { key, safe_from: rotated.map(|at| at + longest) }).collect())
    }

    fn describe(&self) -> Value {
        json!({
            "key_number": self.key.number,
            "created_at": instant::format(self.key.created_at),
            "signs": self.safe_from.is_none(),
            "safe_to_retire_from": self.safe_from.map(instant::format),
            "retired_at": self.key.retired_at.map(instant::format),
            "master_key": self.key.sealed.key_number,
        })
    }

    fn row(&self) -> Vec<String> {
        let time = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), instant::format);
        let safe_from = self.safe_from.map_or_else(|| "signs".to_owned(), instant::format);
        vec![
            self.key.number.to_string(),
            time(Some(self.key.created_at)),
            safe_from,
            time(self.key.retired_at),
        ]
    }
}

fn list(context: &Context) -> Result<(), Failure> {
    let listed = context.database()?.read(Listed::all)?;
    let described: Vec<Value> = listed.iter().map(Listed::describe).collect();
    context.output.show(&json!({ "token_keys": described }), || {
        let mut rows =
            vec![["NUMBER", "CREATED", "SAFE TO RETIRE FROM", "RETIRED"].map(str::to_owned).to_vec()];
        rows.extend(listed.iter().map(Listed::row));
        table(&rows)
    })
}
