//! Configuration: `config/default.toml` < `--config FILE` < `CONVERSIOND__SECTION__KEY`.
//!
//! The default file holds and explains every key, so it is also the list of known keys.

mod database_url;
mod limits;
mod load;
mod log_format;
pub mod postgres_url;

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

pub use database_url::{DatabaseUrl, InvalidDatabaseUrl};
pub use load::{ConfigError, DEFAULTS, load, load_from};
pub use log_format::LogFormat;

use crate::domain::rate_limit::{PlanLimits, RateLimit};
use crate::domain::signature::{Form, Forms};

/// All settings. Field by field explained in `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Config {
    pub server: Server,
    pub admin: Admin,
    pub database: Database,
    pub ingest: Ingest,
    pub idempotency: Idempotency,
    pub plans: Plans,
    pub peer: Peer,
    pub journal: Journal,
    pub retention: Retention,
    pub export: Export,
    pub signature: Signature,
    pub keys: Keys,
    pub security: Security,
    pub landing: Landing,
    pub telemetry: Telemetry,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Server {
    pub listen: SocketAddr,
    pub trusted_proxies: Vec<IpNet>,
    pub workers: usize,
    pub max_connections: usize,
    pub connections_per_address: usize,
    pub keep_alive_s: u64,
    pub head_timeout_s: u64,
    pub body_timeout_s: u64,
    pub body_bytes_in_3s_min: usize,
    pub headers_bytes_max: usize,
    pub body_bytes_max: usize,
    pub bulk_body_bytes_max: usize,
    /// The largest body of a reconciliation. Two of them may be held at a time.
    pub reconciliation_body_bytes_max: usize,
    pub bodies_in_flight_bytes_max: usize,
    pub shutdown_s: u64,
}

/// `[admin]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Admin {
    pub listen: SocketAddr,
}

/// `[database]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Database {
    pub url: DatabaseUrl,
    pub migrate: bool,
    pub pool_size: u32,
    pub pool_wait_ms: u64,
    pub read_timeout_s: u64,
    pub writers: usize,
    pub connect_timeout_s: u64,
    pub prepared_statements: bool,
    pub checkpoint_pages: u32,
    pub log_pages_max: u32,
    pub disk_free_min_bytes: u64,
}

/// `[ingest]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Ingest {
    pub queue_events: usize,
    pub queue_bytes: usize,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub bulk_rows_max: usize,
    pub bulk_wait_ms: u64,
    pub answer_timeout_s: u64,
}

/// `[idempotency]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Idempotency {
    pub ttl_hours: u32,
    pub wait_ms: u64,
    pub sweep_s: u64,
}

/// `[plans]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Plans {
    pub free: RateSetting,
    pub pro: RateSetting,
    pub business: RateSetting,
    pub enterprise: RateSetting,
}

/// A plan's rate limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct RateSetting {
    pub rate_per_s: u32,
    pub burst: u32,
    pub rows_per_s: u32,
}

/// `[peer]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Peer {
    pub failures_per_s: u32,
    pub burst: u32,
    pub tries_per_s: u32,
    pub table_entries: usize,
}

/// `[journal]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Journal {
    pub queue_attempts: usize,
    pub peer_attempts_per_s: u32,
    pub unproven_attempts_per_s: u32,
    pub retention_days: u32,
    pub refused_rows_max: u64,
    pub merchant_refused_rows_max: u64,
}

/// `[retention]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Retention {
    pub raw_body_days: u32,
}

/// `[export]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Export {
    pub concurrent: u32,
    pub stall_s: u64,
    pub behind_s: u32,
}

/// `[signature]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Signature {
    pub tolerance_s: i64,
    pub forms: Vec<FormName>,
}

/// A form of signature, by the name that `conversiond sign --form` knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum FormName {
    V1,
    V2,
    StandardWebhooks,
}

/// `[keys]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Keys {
    pub refresh_s: u64,
    pub stale_s: u64,
}

/// `[security]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Security {
    pub master_key_file: PathBuf,
}

/// `[landing]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Landing {
    pub signing_parameters: Vec<String>,
}

/// `[telemetry]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml explains every key; saying it twice would drift")]
pub struct Telemetry {
    pub log_level: String,
    pub log_format: LogFormat,
}

impl Plans {
    /// What each plan allows.
    pub const fn limits(&self) -> PlanLimits {
        PlanLimits {
            free: self.free.limit(),
            pro: self.pro.limit(),
            business: self.business.limit(),
            enterprise: self.enterprise.limit(),
        }
    }
}

impl Plans {
    /// What each plan allows of bulk requests' rows.
    pub const fn row_limits(&self) -> PlanLimits {
        PlanLimits {
            free: RateLimit::of_rows(self.free.rows_per_s),
            pro: RateLimit::of_rows(self.pro.rows_per_s),
            business: RateLimit::of_rows(self.business.rows_per_s),
            enterprise: RateLimit::of_rows(self.enterprise.rows_per_s),
        }
    }
}

impl RateSetting {
    /// The limit; `None` = none.
    const fn limit(&self) -> Option<RateLimit> {
        RateLimit::of(self.rate_per_s, self.burst)
    }
}

impl Signature {
    /// The forms that are taken at all.
    pub fn forms(&self) -> Forms {
        Forms::of(self.forms.iter().map(|name| match name {
            FormName::V1 => Form::Plain,
            FormName::V2 => Form::Bound,
            FormName::StandardWebhooks => Form::StandardWebhooks,
        }))
    }
}

impl Peer {
    /// What a peer may do wrong; `None` = everything.
    pub const fn limit(&self) -> Option<RateLimit> {
        RateLimit::of(self.failures_per_s, self.burst)
    }
}

impl Export {
    /// By how much less an export could pass an event that is still to be committed: the greatest age
    /// of an id when it is recorded (90 s), and a clock that is set back by half a minute.
    const BEHIND_S_MIN: i128 = 120;
}

impl Config {
    /// How many exports may run at one moment: they leave other reads a connection.
    pub fn exports_max(&self) -> usize {
        let others_leave = self.database.pool_size.saturating_sub(1).max(1);
        usize::try_from(self.export.concurrent.min(others_leave)).unwrap_or(1)
    }
}
