//! `conversiond merchant …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::table;
use super::{Context, Failure, Usage};
use crate::domain::ids::{ExternalId, MerchantId};
use crate::domain::instant;
use crate::domain::merchant::{self as domain, AttributionWindow, Plan};
use crate::domain::money::Currency;
use crate::storage::merchants::{self, Account, Changes};
use crate::system::SystemEntropy;

#[derive(Debug, Subcommand)]
pub enum Merchant {
    /// Add a merchant.
    Create(Create),
    /// Change a merchant's settings.
    Set(Set),
    /// Refuse a merchant's callbacks from now on.
    Suspend { merchant: MerchantId },
    /// Take a merchant's callbacks again.
    Resume { merchant: MerchantId },
    /// Show all merchants.
    List,
}

#[derive(Debug, Args)]
pub struct Create {
    /// What you call the merchant.
    #[arg(long, value_parser = name)]
    name: String,
    /// Rate-limit plan: free, pro, business, enterprise.
    #[arg(long, default_value_t = Plan::Enterprise)]
    plan: Plan,
    /// Currency of order-dialect callbacks that name none.
    #[arg(long)]
    currency: Option<Currency>,
    /// How long after a click an event is attributed to it; 0 = never.
    #[arg(long, value_name = "D", default_value = "30")]
    attribution_window_days: AttributionWindow,
}

#[derive(Debug, Args)]
pub struct Set {
    /// The merchant.
    merchant: MerchantId,
    /// What you call the merchant.
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// Rate-limit plan: free, pro, business, enterprise.
    #[arg(long)]
    plan: Option<Plan>,
    /// Currency of order-dialect callbacks that name none.
    #[arg(long)]
    currency: Option<Currency>,
    /// How long after a click an event is attributed to it; 0 = never.
    #[arg(long, value_name = "D")]
    attribution_window_days: Option<AttributionWindow>,
}

impl Merchant {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context),
            Self::Set(set) => {
                let Set { merchant, name, plan, currency, attribution_window_days } = set;
                let changes = Changes {
                    name,
                    plan,
                    currency,
                    attribution_window: attribution_window_days,
                    suspended: None,
                };
                if changes.is_empty() {
                    return Err(Usage(
                        "nothing to change: give --name, --plan, --currency or --attribution-window-days",
                    )
                    .into());
                }
                change(context, merchant, &changes)
            }
            Self::Suspend { merchant } => {
                change(context, merchant, &Changes { suspended: Some(true), ..Changes::default() })
            }
            Self::Resume { merchant } => {
                change(context, merchant, &Changes { suspended: Some(false), ..Changes::default() })
            }
            Self::List => list(context),
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.now();
        let account = Account {
            merchant: domain::Merchant {
                id: MerchantId::generate(now, &SystemEntropy),
                currency: self.currency,
                attribution_window: self.attribution_window_days,
                suspended: false,
            },
            name: self.name,
            plan: self.plan,
            created_at: now,
        };
        merchants::create(&mut context.database()?, &account)?;
        let id = account.merchant.id;
        context.output.show(&json!({ "merchant_id": id.to_string() }), || {
            format!("{id}\nNext: conversiond key create --merchant {id}")
        })
    }
}

fn change(context: &Context, id: MerchantId, changes: &Changes) -> Result<(), Failure> {
    let mut connection = context.database()?;
    if !merchants::change(&mut connection, id, changes)? {
        return Err(format!("there is no merchant {id}").into());
    }
    let account = merchants::find(&mut connection, id)?.ok_or("the merchant is gone")?;
    context
        .output
        .show(&describe(&account), || format!("{}\nIn force within 5 s.", table(&[header(), row(&account)])))
}

fn list(context: &Context) -> Result<(), Failure> {
    let accounts = merchants::all(&mut context.database()?)?;
    let listed: Vec<Value> = accounts.iter().map(describe).collect();
    context.output.show(&json!({ "merchants": listed }), || {
        let mut rows = vec![header()];
        rows.extend(accounts.iter().map(row));
        table(&rows)
    })
}

fn describe(account: &Account) -> Value {
    json!({
        "merchant_id": account.merchant.id.to_string(),
        "name": account.name,
        "plan": account.plan.as_str(),
        "currency": account.merchant.currency.map(Currency::code),
        "attribution_window_days": account.merchant.attribution_window.days(),
        "suspended": account.merchant.suspended,
        "created_at": instant::format(account.created_at),
    })
}

fn header() -> Vec<String> {
    ["MERCHANT", "NAME", "PLAN", "CURRENCY", "WINDOW", "STATE"].map(str::to_owned).to_vec()
}

fn row(account: &Account) -> Vec<String> {
    vec![
        account.merchant.id.to_string(),
        account.name.clone(),
        account.plan.to_string(),
        account.merchant.currency.map_or("-", Currency::code).to_owned(),
        format!("{} d", account.merchant.attribution_window.days()),
        if account.merchant.suspended { "suspended" } else { "active" }.to_owned(),
    ]
}

/// A name that a terminal shows as it is.
fn name(text: &str) -> Result<String, String> {
    ExternalId::parse(text).map(|_| text.to_owned()).map_err(|error| format!("must be {}", error.0))
}
