//! `conversiond merchant …`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::table;
use super::{Context, Failure, Usage};
use crate::domain::ids::{ExternalId, MerchantId};
use crate::domain::instant;
use crate::domain::merchant::{self as domain, AttributionWindow, Plan};
use crate::domain::money::Currency;
use crate::domain::rate_limit::{PlanLimits, RateLimit};
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
    #[command(flatten)]
    own_limit: OwnLimit,
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
    #[command(flatten)]
    own_limit: OwnLimit,
    /// Let the plan's rate limit hold again.
    #[arg(long, conflicts_with_all = ["rate", "burst"])]
    plan_rate: bool,
}

/// A limit of the merchant's own.
#[derive(Debug, Args)]
struct OwnLimit {
    /// Requests per second, instead of the plan's.
    #[arg(long, value_name = "R", value_parser = limit_number())]
    rate: Option<u32>,
    /// Requests at once, with --rate; without it one second's worth.
    #[arg(long, value_name = "B", value_parser = limit_number(), requires = "rate")]
    burst: Option<u32>,
}

fn limit_number() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=RateLimit::MAX.into())
}

impl OwnLimit {
    /// The limit, if one is given.
    fn read(&self) -> Option<RateLimit> {
        RateLimit::of(self.rate.unwrap_or(0), self.burst.unwrap_or(0))
    }
}

impl Merchant {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context),
            Self::Set(set) => {
                let merchant = set.merchant;
                let changes = set.changes();
                if changes.is_empty() {
                    return Err(Usage(
                        "nothing to change: give --name, --plan, --rate, --plan-rate, --currency or \
                         --attribution-window-days",
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

impl Set {
    fn changes(self) -> Changes {
        let own = self.own_limit.read();
        Changes {
            name: self.name,
            plan: self.plan,
            own_limit: (own.is_some() || self.plan_rate).then_some(own),
            currency: self.currency,
            attribution_window: self.attribution_window_days,
            suspended: None,
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.now();
        let account = Account {
            merchant: domain::Merchant {
                currency: self.currency,
                attribution_window: self.attribution_window_days,
                plan: self.plan,
                own_limit: self.own_limit.read(),
                ..domain::Merchant::new(MerchantId::generate(now, &SystemEntropy))
            },
            name: self.name,
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
    let ring = changes.suspended.map(|_| context.master_key_to_end_keys(&mut connection)).transpose()?;
    if !merchants::change(&mut connection, ring.as_ref(), id, changes)? {
        return Err(format!("there is no merchant {id}").into());
    }
    let account = merchants::find(&mut connection, id)?.ok_or("the merchant is gone")?;
    let plans = context.config.plans.limits();
    context.output.show(&describe(&account, &plans), || {
        format!("{}\nIn force within 5 s.", table(&[header(), row(&account, &plans)]))
    })
}

fn list(context: &Context) -> Result<(), Failure> {
    let accounts = merchants::all(&mut context.database()?)?;
    let plans = context.config.plans.limits();
    let listed: Vec<Value> = accounts.iter().map(|account| describe(account, &plans)).collect();
    context.output.show(&json!({ "merchants": listed }), || {
        let mut rows = vec![header()];
        rows.extend(accounts.iter().map(|account| row(account, &plans)));
        table(&rows)
    })
}

fn describe(account: &Account, plans: &PlanLimits) -> Value {
    let merchant = &account.merchant;
    json!({
        "merchant_id": merchant.id.to_string(),
        "name": account.name,
        "plan": merchant.plan.as_str(),
        "rate_limit": plans.limit_of(merchant).map(|limit| json!({
            "rate_per_s": limit.rate_per_s(),
            "burst": limit.burst(),
            "of_plan": merchant.own_limit.is_none(),
        })),
        "currency": merchant.currency.map(Currency::code),
        "attribution_window_days": merchant.attribution_window.days(),
        "suspended": merchant.suspended,
        "created_at": instant::format(account.created_at),
    })
}

fn header() -> Vec<String> {
    ["MERCHANT", "NAME", "PLAN", "LIMIT", "CURRENCY", "WINDOW", "STATE"].map(str::to_owned).to_vec()
}

fn row(account: &Account, plans: &PlanLimits) -> Vec<String> {
    let merchant = &account.merchant;
    let limit = plans.limit_of(merchant).map_or("-".to_owned(), |limit| {
        let own = if merchant.own_limit.is_some() { " (own)" } else { "" };
        format!("{}/s, {} at once{own}", limit.rate_per_s(), limit.burst())
    });
    vec![
        merchant.id.to_string(),
        account.name.clone(),
        merchant.plan.to_string(),
        limit,
        merchant.currency.map_or("-", Currency::code).to_owned(),
        format!("{} d", merchant.attribution_window.days()),
        if merchant.suspended { "suspended" } else { "active" }.to_owned(),
    ]
}

/// A name that a terminal shows as it is.
fn name(text: &str) -> Result<String, String> {
    ExternalId::parse(text).map(|_| text.to_owned()).map_err(|error| format!("must be {}", error.0))
}
