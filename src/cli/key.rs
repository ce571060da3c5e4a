//! `conversiond key …`

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::output::table;
use super::{Context, Failure};
use crate::domain::ids::{KeyId, KeyKind, MerchantId};
use crate::domain::instant;
use crate::keyring::{IssuedKey, KeyRequest, issue_key, rotate_key};
use crate::storage::keys::{self, StoredKey, StoredSecret};
use crate::storage::merchants;
use crate::system::SystemEntropy;

/// How long the older secret may live on after a rotation.
const OVERLAP_MAX: TimeDelta = TimeDelta::days(7);

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; its secret is shown once.
    Create(Create),
    /// Show all keys, without secrets.
    List,
    /// Give a key a new secret; the older lives on for a while.
    Rotate(Rotate),
    /// End a key for good.
    Revoke { key: KeyId },
}

#[derive(Debug, Args)]
pub struct Create {
    /// Whose key.
    #[arg(long, required_unless_present = "operator", conflicts_with = "operator")]
    merchant: Option<MerchantId>,
    /// A key for the operator's own systems (the link shortener): it may act for every merchant, so name
    /// their network with --ip-allow.
    #[arg(long)]
    operator: bool,
    /// Real business, or tests that never meet it.
    #[arg(long, value_enum, default_value_t = Mode::Live, conflicts_with = "operator")]
    mode: Mode,
    /// Take requests from this network only (repeatable).
    #[arg(long, value_name = "CIDR", value_parser = network)]
    ip_allow: Vec<IpNet>,
    /// Take signatures only that bind the whole request; an operator's key always does.
    #[arg(long)]
    require_v2: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Live,
    Test,
}

#[derive(Debug, Args)]
pub struct Rotate {
    /// The key.
    key: KeyId,
    /// How long the older secret lives on: 0s to 7d.
    #[arg(long, default_value = "24h", value_parser = overlap)]
    overlap: TimeDelta,
    /// With two secrets live, end the older at once.
    #[arg(long)]
    drop_oldest: bool,
}

impl Key {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(context),
            Self::List => list(context),
            Self::Rotate(rotate) => rotate.run(context),
            Self::Revoke { key } => revoke(context, &key),
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let mut connection = context.database()?;
        let ring = context.master_key(&mut connection)?;
        if let Some(merchant) = self.merchant
            && merchants::find(&mut connection, merchant)?.is_none()
        {
            return Err(format!("there is no merchant {merchant}").into());
        }
        let kind = match (self.operator, self.mode) {
            (true, _) => KeyKind::Operator,
            (false, Mode::Live) => KeyKind::Live,
            (false, Mode::Test) => KeyKind::Test,
        };
        let request = KeyRequest {
            kind,
            merchant_id: self.merchant,
            // An operator's key may act for every merchant: nothing signed with it fits another request.
            require_v2: self.require_v2 || self.operator,
            ip_allow: self.ip_allow,
        };
        let advice = match (self.operator, request.ip_allow.is_empty()) {
            (true, true) => ANYWHERE,
            (true, false) => BOUND,
            (false, _) => "",
        };
        let issued = issue_key(&mut connection, &ring, request, context.now(), &SystemEntropy)?;
        show(context, &issued, advice)
    }
}

impl Rotate {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let mut connection = context.database()?;
        let ring = context.master_key(&mut connection)?;
        let how = (self.overlap, self.drop_oldest);
        let issued = rotate_key(&mut connection, &ring, &self.key, how, context.now(), &SystemEntropy)?;
        show(context, &issued, "")
    }
}

fn revoke(context: &Context, key: &KeyId) -> Result<(), Failure> {
    let mut connection = context.database()?;
    let ring = context.master_key_to_end_keys(&mut connection)?;
    if !keys::revoke(&mut connection, &ring, key, context.now())? {
        return Err(format!("there is no key {key} in force").into());
    }
    context.output.show(&json!({ "key_id": key.as_str(), "revoked": true }), || {
        format!("{key} is revoked; every instance refuses it within 5 s.")
    })
}

/// What is said with an operator's key.
const BOUND: &str = "\nIt takes v2 signatures only.";
const ANYWHERE: &str = "\nIt takes v2 signatures only, from anywhere: a key that names your systems' network \
     (--ip-allow CIDR) is of no use elsewhere.";

fn show(context: &Context, issued: &IssuedKey, advice: &str) -> Result<(), Failure> {
    let (key, secret) = (issued.key_id.as_str(), issued.secret.expose_text());
    context.output.show(&json!({ "key_id": key, "secret": secret }), || {
        format!(
            "key     {key}\nsecret  {secret}\nThe secret is shown this once. In force within 5 s.{advice}"
        )
    })
}

fn list(context: &Context) -> Result<(), Failure> {
    let mut connection = context.database()?;
    let secrets = keys::secrets(&mut connection, context.now())?;
    let keys = keys::all(&mut connection)?;
    let listed: Vec<Value> = keys.iter().map(|key| describe(key, &secrets)).collect();
    context.output.show(&json!({ "keys": listed }), || {
        let mut rows = vec![["KEY", "OWNER", "STATE", "SECRETS", "ALLOWED FROM"].map(str::to_owned).to_vec()];
        rows.extend(keys.iter().map(|key| row(key, &secrets)));
        table(&rows)
    })
}

fn describe(key: &StoredKey, secrets: &[StoredSecret]) -> Value {
    let live: Vec<Value> = secrets
        .iter()
        .filter(|secret| secret.key_id == key.id)
        .map(|secret| {
            json!({
                "created_at": instant::format(secret.created_at),
                "expires_at": secret.expires_at.map(instant::format),
                "master_key": secret.sealed.key_number,
            })
        })
        .collect();
    json!({
        "key_id": key.id.as_str(),
        "merchant_id": key.merchant_id.map(|id| id.to_string()),
        "ip_allow": key.ip_allow.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "require_v2": key.require_v2,
        "created_at": instant::format(key.created_at),
        "revoked_at": key.revoked_at.map(instant::format),
        "secrets": live,
    })
}

fn row(key: &StoredKey, secrets: &[StoredSecret]) -> Vec<String> {
    let revoked = |at: DateTime<Utc>| format!("revoked {}", instant::format(at));
    let live = secrets.iter().filter(|secret| secret.key_id == key.id).count();
    let networks: Vec<String> = key.ip_allow.iter().map(ToString::to_string).collect();
    vec![
        key.id.to_string(),
        key.merchant_id.map_or_else(|| "operator".to_owned(), |id| id.to_string()),
        key.revoked_at.map_or_else(|| if key.require_v2 { "v2 only" } else { "active" }.to_owned(), revoked),
        live.to_string(),
        if networks.is_empty() { "anywhere".to_owned() } else { networks.join(" ") },
    ]
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(|ip| IpNet::from(ip.to_canonical())))
        .ok()
        .filter(|network| !matches!(network, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some()))
        .ok_or_else(|| "must be a network such as 203.0.113.0/24, or an address".to_owned())
}

fn overlap(text: &str) -> Result<TimeDelta, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    TimeDelta::from_std(duration)
        .ok()
        .filter(|overlap| *overlap <= OVERLAP_MAX)
        .ok_or_else(|| "must be 0s to 7d".to_owned())
}
