//! What every handler can reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use ipnet::IpNet;

use super::admission::{Connections, UntrustedForwarding};
use super::api::exports::Places;
use super::attempts::RefusedAttempts;
use super::bulk_shares::BulkShares;
use super::daily_quotas::DailyQuotas;
use super::extract::BodyMemories;
use super::openapi::Description;
use super::rate_limits::RateLimits;
use super::workbench::Workbench;
use crate::config::Config;
use crate::domain::seen_signatures::SeenSignatures;
use crate::domain::signature::Forms;
use crate::ingest::Ingest;
use crate::storage::Reader;
use crate::storage::files::Watch;
use crate::system::ClockWatch;
use crate::telemetry::Metrics;

/// Shared by all workers.
pub struct AppState {
    /// The use cases.
    pub ingest: Ingest,
    /// Asks whether the database is there, on a connection of its own: others may all be busy, and must
    /// not be taken for it.
    pub pulse: Reader,
    /// Looks after SQLite's files and the room on their disk.
    pub watch: Option<Arc<Watch>>,
    /// Whether our own clock can be believed.
    pub clock_watch: Arc<ClockWatch>,
    /// Takes refused attempts.
    pub attempts: RefusedAttempts,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is enforced.
    pub limits: HttpLimits,
    /// What the API says of itself.
    pub description: Description,
    /// What merchants spend and peers do wrong.
    pub rate_limits: RateLimits,
    /// The signatures seen of late that leave the path open.
    pub seen_signatures: Mutex<SeenSignatures>,
    /// The memory of callbacks' bodies.
    pub body_memory: BodyMemories,
    /// The same of bulk requests' bodies: a few of them must not keep out everybody.
    pub bulk_body_memory: BodyMemories,
    /// The same of merchants' books: two of the largest.
    pub reconciliation_body_memory: BodyMemories,
    /// Where long bodies are judged.
    pub judging: Workbench,
    /// Tells of proxies that are not trusted.
    pub forwarding: UntrustedForwarding,
    /// The open connections.
    pub connections: Connections,
    /// What merchants may write per day.
    pub daily_quotas: DailyQuotas,
    /// What each merchant's bulk requests take of the service.
    pub bulk_shares: BulkShares,
    /// Where long bodies are read.
    pub workbench: Workbench,
    /// Exports that may yet begin at this moment.
    pub exports: Places,
    /// Set when the service is to end: connections are closed after their next answer.
    pub draining: Arc<AtomicBool>,
}

/// The settings that the HTTP layer enforces.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The largest head.
    pub headers_bytes_max: usize,
    /// The largest body of a callback.
    pub body_bytes_max: usize,
    /// The largest body of a bulk request.
    pub bulk_body_bytes_max: usize,
    /// The largest of a merchant's books.
    pub reconciliation_body_bytes_max: usize,
    /// Rows in one bulk request.
    pub bulk_rows_max: usize,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// How much of a body must arrive in any 3 s.
    pub body_bytes_in_3s_min: usize,
    /// How far a timestamp may lie from now.
    pub tolerance_s: i64,
    /// The forms of signature that are taken at all.
    pub forms: Forms,
    /// How far behind the present exports end.
    pub export_behind: TimeDelta,
    /// How long a caller may take nothing of its export.
    pub export_stall: Duration,
}

impl HttpLimits {
    /// The limits of a configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            trusted_proxies: config.server.trusted_proxies.clone(),
            headers_bytes_max: config.server.headers_bytes_max,
            body_bytes_max: config.server.body_bytes_max,
            bulk_body_bytes_max: config.server.bulk_body_bytes_max,
            reconciliation_body_bytes_max: config.server.reconciliation_body_bytes_max,
            bulk_rows_max: config.ingest.bulk_rows_max,
            body_timeout: Duration::from_secs(config.server.body_timeout_s),
            body_bytes_in_3s_min: config.server.body_bytes_in_3s_min,
            tolerance_s: config.signature.tolerance_s,
            forms: config.signature.forms(),
            export_behind: TimeDelta::seconds(config.export.behind_s.into()),
            export_stall: Duration::from_secs(config.export.stall_s),
        }
    }
}

impl AppState {
    /// Whether the service is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
