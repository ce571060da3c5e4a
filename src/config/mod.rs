//! Configuration: `config/default.toml` < `--config FILE` < `CONVERSIOND__SECTION__KEY`.
//!
//! The default file holds and explains every key, so it is also the list of known keys.

mod database_url;
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
use crate::domain::vault::MasterKeyRing;

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

    /// Checks what no single key can say.
    fn validate(&self) -> Result<(), String> {
        let within = |name: &str, value: i128, low: i128, high: i128| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} = {value} must lie between {low} and {high}"))
            }
        };
        let number = |value: usize| i128::try_from(value).unwrap_or(i128::MAX);
        within("signature.tolerance_s", self.signature.tolerance_s.into(), 30, 900)?;
        if !self.signature.forms.contains(&FormName::V2) {
            return Err("signature.forms must name v2: reading needs it".to_owned());
        }
        within("keys.refresh_s", self.keys.refresh_s.into(), 1, 4)?;
        within("keys.stale_s", self.keys.stale_s.into(), 5, 3_600)?;
        within("server.keep_alive_s", self.server.keep_alive_s.into(), 1, 300)?;
        within("server.head_timeout_s", self.server.head_timeout_s.into(), 1, 60)?;
        within("server.body_timeout_s", self.server.body_timeout_s.into(), 1, 60)?;
        within("server.shutdown_s", self.server.shutdown_s.into(), 1, 300)?;
        within("server.max_connections", number(self.server.max_connections), 8, 1_000_000)?;
        within("server.connections_per_address", number(self.server.connections_per_address), 1, 1_000_000)?;
        within("server.body_bytes_in_3s_min", number(self.server.body_bytes_in_3s_min), 0, 65_536)?;
        within("server.headers_bytes_max", number(self.server.headers_bytes_max), 1_024, 65_536)?;
        within("server.body_bytes_max", number(self.server.body_bytes_max), 1_024, 1 << 20)?;
        // A half is for bulk requests: the largest of either kind must fit into its half.
        let body_max = number(self.server.body_bytes_max.max(self.server.bulk_body_bytes_max));
        within(
            "server.bodies_in_flight_bytes_max",
            number(self.server.bodies_in_flight_bytes_max),
            2 * body_max,
            1 << 31,
        )?;
        within("database.pool_size", self.database.pool_size.into(), 1, 1_000)?;
        within("database.read_timeout_s", self.database.read_timeout_s.into(), 1, 600)?;
        within("database.writers", number(self.database.writers), 1, 64)?;
        within("database.checkpoint_pages", self.database.checkpoint_pages.into(), 100, 100_000)?;
        let pages = (self.database.checkpoint_pages, self.database.log_pages_max);
        within("database.log_pages_max", pages.1.into(), pages.0.into(), 10_000_000)?;
        within("database.disk_free_min_bytes", self.database.disk_free_min_bytes.into(), 0, 1 << 50)?;
        within("database.connect_timeout_s", self.database.connect_timeout_s.into(), 1, 60)?;
        within("ingest.queue_events", number(self.ingest.queue_events), 1, 1 << 20)?;
        within("ingest.queue_bytes", number(self.ingest.queue_bytes), 1 << 20, 1 << 31)?;
        within("ingest.batch_events", number(self.ingest.batch_events), 1, 10_000)?;
        within("ingest.batch_bytes", number(self.ingest.batch_bytes), 1 << 16, 1 << 28)?;
        within("ingest.answer_timeout_s", self.ingest.answer_timeout_s.into(), 1, 60)?;
        within("ingest.bulk_rows_max", number(self.ingest.bulk_rows_max), 1, 1_000)?;
        let bulk_wait_max = i128::from(self.ingest.answer_timeout_s) * 1_000;
        within("ingest.bulk_wait_ms", self.ingest.bulk_wait_ms.into(), 0, bulk_wait_max)?;
        within("server.bulk_body_bytes_max", number(self.server.bulk_body_bytes_max), 1_024, 1 << 24)?;
        let books_max = number(self.server.reconciliation_body_bytes_max);
        within("server.reconciliation_body_bytes_max", books_max, 1_024, 1 << 28)?;
        within("idempotency.ttl_hours", self.idempotency.ttl_hours.into(), 1, 720)?;
        // Else who waits is told 503 before it could be told 409.
        let wait_max = i128::from(self.ingest.answer_timeout_s) * 1_000 - 100;
        within("idempotency.wait_ms", self.idempotency.wait_ms.into(), 100, wait_max)?;
        within("idempotency.sweep_s", self.idempotency.sweep_s.into(), 1, 3_600)?;
        let Plans { free, pro, business, enterprise } = &self.plans;
        let plans = [("free", free), ("pro", pro), ("business", business), ("enterprise", enterprise)];
        for (name, plan) in plans {
            within(&format!("plans.{name}.rate_per_s"), plan.rate_per_s.into(), 0, RateLimit::MAX.into())?;
            within(&format!("plans.{name}.rows_per_s"), plan.rows_per_s.into(), 0, RateLimit::MAX.into())?;
            within(&format!("plans.{name}.burst"), plan.burst.into(), 0, RateLimit::MAX.into())?;
        }
        within("peer.failures_per_s", self.peer.failures_per_s.into(), 0, RateLimit::MAX.into())?;
        within("peer.burst", self.peer.burst.into(), 0, RateLimit::MAX.into())?;
        within("peer.tries_per_s", self.peer.tries_per_s.into(), 0, RateLimit::MAX.into())?;
        within("peer.table_entries", number(self.peer.table_entries), 16, 1 << 20)?;
        within("export.concurrent", self.export.concurrent.into(), 1, 1_000)?;
        within("export.stall_s", self.export.stall_s.into(), 1, 3_600)?;
        within("export.behind_s", self.export.behind_s.into(), Export::BEHIND_S_MIN, 86_400)?;
        // Mistaken for it, the key itself would be repeated as the name of a file that is not there.
        if self.security.master_key_file.to_string_lossy().parse::<MasterKeyRing>().is_ok() {
            return Err("security.master_key_file takes a file's name, not the key".to_owned());
        }
        within("journal.queue_attempts", number(self.journal.queue_attempts), 1, 1 << 20)?;
        within("retention.raw_body_days", self.retention.raw_body_days.into(), 0, 36_500)?;
        within("journal.retention_days", self.journal.retention_days.into(), 1, 3_650)?;
        let attempts_max = i128::from(RateLimit::MAX);
        within(
            "journal.unproven_attempts_per_s",
            self.journal.unproven_attempts_per_s.into(),
            0,
            attempts_max,
        )?;
        let of_merchant = self.journal.merchant_refused_rows_max;
        within("journal.merchant_refused_rows_max", of_merchant.into(), 100, 1 << 40)?;
        within("journal.refused_rows_max", self.journal.refused_rows_max.into(), 1_000, 1 << 40)
    }
}
