//! `conversiond merchant …`

use std::num::NonZeroU64;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::table;
use super::{Context, Failure, Usage};
use crate::domain::ids::{ExternalId, MerchantId};
use crate::domain::instant;
use crate::domain::merchant::{self as domain, AttributionWindow, Plan};
use crate::domain::money::Currency;
use crate::domain::quota::Quota;
use crate::domain::rate_limit::{PlanLimits, RateLimit};
use crate::storage::merchants::{self, Account, Changes};
use crate::storage::usage;
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
    /// Whether all of its keys take v2 signatures alone, which bind the whole request.
    #[arg(long)]
    require_v2: bool,
    #[command(flatten)]
    own_limit: OwnLimit,
    #[command(flatten)]
    quota: QuotaArgs,
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
    /// Whether all of its keys take v2 signatures alone, which bind the whole request.
    #[arg(long, value_name = "true|false")]
    require_v2: Option<bool>,
    #[command(flatten)]
    own_limit: OwnLimit,
    /// Let the plan's rate limit hold again.
    #[arg(long, conflicts_with_all = ["rate", "burst"])]
    plan_rate: bool,
    /// Let the plan's limit of rows in bulk requests hold again.
    #[arg(long, conflicts_with = "rows_rate")]
    plan_rows_rate: bool,
    #[command(flatten)]
    quota: QuotaArgs,
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
    /// Rows per second in bulk requests, instead of the plan's; ten seconds' worth at once.
    #[arg(long, value_name = "N", value_parser = limit_number())]
    rows_rate: Option<u32>,
}

/// What the merchant may write per day (UTC).
#[derive(Debug, Args)]
struct QuotaArgs {
    /// Rows per day, single callbacks and repeats included; 0 = any number.
    #[arg(long, value_name = "N", value_parser = quota_number())]
    quota_rows: Option<u64>,
    /// Bytes of bodies per day; 0 = any number.
    #[arg(long, value_name = "N", value_parser = quota_number())]
    quota_bytes: Option<u64>,
}

fn quota_number() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(0..=1 << 60)
}

fn limit_number() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=RateLimit::MAX.into())
}

impl OwnLimit {
    /// The limit, if one is given.
    fn read(&self) -> Option<RateLimit> {
        RateLimit::of(self.rate.unwrap_or(0), self.burst.unwrap_or(0))
    }

    /// The same of rows.
    fn rows(&self) -> Option<RateLimit> {
        RateLimit::of_rows(self.rows_rate.unwrap_or(0))
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
                        "nothing to change: give --name, --plan, --rate, --plan-rate, --rows-rate, \
                         --plan-rows-rate, --quota-rows, --quota-bytes, --currency, \
                         --attribution-window-days or --require-v2",
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
        let (own, own_rows) = (self.own_limit.read(), self.own_limit.rows());
        Changes {
            name: self.name,
            plan: self.plan,
            own_limit: (own.is_some() || self.plan_rate).then_some(own),
            own_row_limit: (own_rows.is_some() || self.plan_rows_rate).then_some(own_rows),
            quota_rows: self.quota.quota_rows.map(NonZeroU64::new),
            quota_bytes: self.quota.quota_bytes.map(NonZeroU64::new),
            currency: self.currency,
            attribution_window: self.attribution_window_days,
            suspended: None,
            require_v2: self.require_v2,
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
                require_v2: self.require_v2,
                own_row_limit: self.own_limit.rows(),
                quota: Quota {
                    rows: self.quota.quota_rows.and_then(NonZeroU64::new),
                    bytes: self.quota.quota_bytes.and_then(NonZeroU64::new),
                },
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
    let mut account = merchants::find(&mut connection, id)?.ok_or("the merchant is gone")?;
    let used = usage::of_day(&mut connection, context.now().date_naive())?;
    account.merchant.usage = used.get(&id).copied();
    let limits = limits(context);
    context.output.show(&describe(&account, &limits), || {
        format!("{}\nIn force within 5 s.", table(&[header(), row(&account, &limits)]))
    })
}

fn list(context: &Context) -> Result<(), Failure> {
    let mut connection = context.database()?;
    let used = usage::of_day(&mut connection, context.now().date_naive())?;
    let mut accounts = merchants::all(&mut connection)?;
    for Account { merchant, .. } in &mut accounts {
        merchant.usage = used.get(&merchant.id).copied();
    }
    let limits = limits(context);
    let listed: Vec<Value> = accounts.iter().map(|account| describe(account, &limits)).collect();
    context.output.show(&json!({ "merchants": listed }), || {
        let mut rows = vec![header()];
        rows.extend(accounts.iter().map(|account| row(account, &limits)));
        table(&rows)
    })
}

/// The plans' limits of requests, and of bulk requests' rows.
struct Limits {
    requests: PlanLimits,
    rows: PlanLimits,
}

fn limits(context: &Context) -> Limits {
    let plans = &context.config.plans;
    Limits { requests: plans.limits(), rows: plans.row_limits() }
}

fn describe(account: &Account, limits: &Limits) -> Value {
    let merchant = &account.merchant;
    json!({
        "merchant_id": merchant.id.to_string(),
        "name": account.name,
        "plan": merchant.plan.as_str(),
        "rate_limit": limits.requests.limit_of(merchant).map(|limit| json!({
            "rate_per_s": limit.rate_per_s(),
            "burst": limit.burst(),
            "of_plan": merchant.own_limit.is_none(),
        })),
        "row_limit": limits.rows.row_limit_of(merchant).map(|limit| json!({
            "rows_per_s": limit.rate_per_s(),
            "of_plan": merchant.own_row_limit.is_none(),
        })),
        "quota": merchant.quota.is_set().then(|| json!({
            "rows": merchant.quota.rows,
            "bytes": merchant.quota.bytes,
            "rows_today": merchant.usage.map_or(0, |usage| usage.rows),
            "bytes_today": merchant.usage.map_or(0, |usage| usage.bytes),
            "used_percent": used_percent(merchant),
        })),
        "currency": merchant.currency.map(Currency::code),
        "attribution_window_days": merchant.attribution_window.days(),
        "suspended": merchant.suspended,
        "require_v2": merchant.require_v2,
        "created_at": instant::format(account.created_at),
    })
}

/// How much of its quota a merchant has used today, where it has one.
fn used_percent(merchant: &domain::Merchant) -> Option<u64> {
    let used = merchant.usage.map_or(Some(0), |usage| merchant.quota.percent(&usage));
    merchant.quota.is_set().then(|| used.and_then(|used| u64::try_from(used).ok()).unwrap_or(u64::MAX))
}

fn header() -> Vec<String> {
    ["MERCHANT", "NAME", "PLAN", "LIMIT", "ROWS", "QUOTA", "CURRENCY", "WINDOW", "STATE"]
        .map(str::to_owned)
        .to_vec()
}

fn row(account: &Account, limits: &Limits) -> Vec<String> {
    let merchant = &account.merchant;
    let own = |own: bool| if own { " (own)" } else { "" };
    let limit = limits.requests.limit_of(merchant).map_or("-".to_owned(), |limit| {
        let own = own(merchant.own_limit.is_some());
        format!("{}/s, {} at once{own}", limit.rate_per_s(), limit.burst())
    });
    let rows = limits.rows.row_limit_of(merchant).map_or("-".to_owned(), |limit| {
        format!("{}/s{}", limit.rate_per_s(), own(merchant.own_row_limit.is_some()))
    });
    let quota = used_percent(merchant).map_or("-".to_owned(), |percent| format!("{percent} % used today"));
    vec![
        merchant.id.to_string(),
        account.name.clone(),
        merchant.plan.to_string(),
        limit,
        rows,
        quota,
        merchant.currency.map_or("-", Currency::code).to_owned(),
        format!("{} d", merchant.attribution_window.days()),
        match (merchant.suspended, merchant.require_v2) {
            (true, _) => "suspended",
            (false, true) => "v2 only",
            (false, false) => "active",
        }
        .to_owned(),
    ]
}

/// A name that a terminal shows as it is.
fn name(text: &str) -> Result<String, String> {
    ExternalId::parse(text).map(|_| text.to_owned()).map_err(|error| format!("must be {}", error.0))
}
