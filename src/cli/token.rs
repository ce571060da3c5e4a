//! `conversiond token …`

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::{Context, Failure};
use crate::domain::click::{Click, Landing, Minted};
use crate::domain::ids::MerchantId;
use crate::domain::instant;
use crate::domain::landing_url::{LeftAlone, SigningParameters};
use crate::keyring::{Loader, ensure_token_key};
use crate::storage::merchants;
use crate::system::SystemEntropy;

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make the token of a click.
    Mint(Mint),
    /// Say what a token holds.
    Inspect { token: String },
}

#[derive(Debug, Args)]
pub struct Mint {
    /// Whose link was clicked.
    #[arg(long)]
    merchant: MerchantId,
    /// The short link's domain.
    #[arg(long, value_name = "UUID")]
    domain: Uuid,
    /// The short link.
    #[arg(long, value_name = "UUID")]
    url: Uuid,
    /// When; now unless given.
    #[arg(long, value_name = "RFC3339", value_parser = instant_argument)]
    clicked_at: Option<DateTime<Utc>>,
    /// The landing URL to append the token to.
    #[arg(long, value_name = "URL")]
    destination: Option<String>,
}

impl Token {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Mint(mint) => mint.run(context),
            Self::Inspect { token } => inspect(context, &token),
        }
    }
}

impl Mint {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let mut connection = context.database()?;
        let ring = context.master_key(&mut connection)?;
        let now = context.now();
        let clicked_at = self.clicked_at.unwrap_or(now);
        if merchants::find(&mut connection, self.merchant)?.is_none() {
            return Err(format!("there is no merchant {}", self.merchant).into());
        }
        ensure_token_key(&mut connection, &ring, now, &SystemEntropy)?;
        let tokens = connection.read(|c| Loader::new(ring, &SystemEntropy).load(c, now))?.token_ring;
        let signing = SigningParameters::from_list(&context.config.landing.signing_parameters);
        let clicked = Click {
            merchant_id: self.merchant,
            domain_id: self.domain,
            url_id: self.url,
            clicked_at,
            destination: self.destination,
        };
        let Minted { click_id: click, token, landing, .. } =
            clicked.mint(&tokens, &signing, &SystemEntropy)?;
        let appended = landing.as_ref().is_some_and(Landing::is_appended);
        let (landing_url, reason) = match landing {
            None => (None, None),
            Some(Landing { url, left_alone }) => (Some(url), left_alone.map(LeftAlone::as_str)),
        };
        let result = json!({
            "nim_ct": token,
            "click_id": click.to_string(),
            "landing_url": landing_url,
            "appended": appended,
            "reason": reason,
        });
        context.output.show(&result, || match (landing_url, reason) {
            (Some(url), Some(reason)) => {
                format!("nim_ct  {token}\nclick   {click}\nurl     {url} (left as it is: {reason})")
            }
            (Some(url), None) => format!("nim_ct  {token}\nclick   {click}\nurl     {url}"),
            (None, _) => format!("nim_ct  {token}\nclick   {click}"),
        })
    }
}

fn inspect(context: &Context, token: &str) -> Result<(), Failure> {
    let mut connection = context.database()?;
    let ring = context.master_key(&mut connection)?;
    let tokens = connection.read(|c| Loader::new(ring, &SystemEntropy).load(c, context.now()))?.token_ring;
    let (number, token) = tokens.inspect(token)?;
    let clicked_at = instant::format(token.clicked_at);
    let result = json!({
        "key_number": number,
        "merchant_id": token.merchant_id.to_string(),
        "domain_id": token.domain_id.to_string(),
        "url_id": token.url_id.to_string(),
        "click_id": token.click_id.to_string(),
        "clicked_at": clicked_at,
    });
    context.output.show(&result, || {
        format!(
            "genuine, by token key {number}\nmerchant  {}\ndomain    {}\nurl       {}\nclick     {}\nclicked   {clicked_at}",
            token.merchant_id, token.domain_id, token.url_id, token.click_id
        )
    })
}

/// An instant on the command line.
pub fn instant_argument(text: &str) -> Result<DateTime<Utc>, String> {
    instant::parse(text).map_err(|error| error.to_string())
}
