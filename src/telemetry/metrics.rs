//! Figures for Prometheus. Each server has a registry of its own: nothing is global.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// How a request ended. The sum over all labels is the number of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// The endpoint's name, `unknown` for paths that there are not.
    pub endpoint: &'static str,
    /// The HTTP status, 0 when the client left before its answer.
    pub status: u16,
    /// `accepted`, `duplicate`, `ok`, an error code, or the exact reason behind a 401.
    pub reason: &'static str,
}

/// Why an attempt was not journaled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DropLabels {
    /// `queue_full`, `peer_cap`, `store_failed`, `shutting_down`.
    pub reason: &'static str,
}

/// A writing connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabels {
    /// Its number.
    pub lane: usize,
}

/// Why a request found no room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusedLabels {
    /// `queue_rows`, `queue_bytes`: all merchants' together; `merchant_rows`, `merchant_bytes`,
    /// `merchant_bodies`, `merchant_wait`: this merchant's share.
    pub reason: &'static str,
}
/// How many bytes are free.
pub type FreeBytes = Gauge;

/// Everything the service counts.
pub struct Metrics {
    registry: Registry,
    /// Requests that arrived.
    pub requests: Counter,
    /// Requests by how they ended.
    pub outcomes: Family<OutcomeLabels, Counter>,
    /// From a request's head to its answer.
    pub request_seconds: Histogram,
    /// The writer's figures.
    pub writer: WriterMetrics,
    /// The journal's figures.
    pub journal: JournalMetrics,
    /// What the rate limits remember, read at the time.
    pub rate_limits: RateLimitMetrics,
    /// Requests refused because the merchant's quota of the day is used up.
    pub quota_refused: Counter,
    /// SQLite's log, read at the time.
    pub log: LogMetrics,
    /// Callers' connections.
    pub connections: ConnectionMetrics,
    pool_connections: Gauge,
    pool_idle: Gauge,
    key_age_seconds: Gauge<f64, AtomicU64>,
}

/// The writer's figures.
#[derive(Clone)]
pub struct WriterMetrics {
    /// Events waiting.
    pub queue_depth: Gauge,
    /// Merchants that have something waiting, by lane.
    pub waiting_merchants: Family<LaneLabels, Gauge>,
    /// Requests that found no room.
    pub refused: Family<RefusedLabels, Counter>,
    /// Events per transaction.
    pub batch_events: Histogram,
    /// How long transactions took, retries included.
    pub commit_seconds: Histogram,
}

/// The figures of the journal of refused attempts.
#[derive(Clone, Default)]
pub struct JournalMetrics {
    /// Refused attempts written.
    pub written: Counter,
    /// Refused attempts that were not.
    pub dropped: Family<DropLabels, Counter>,
}

/// The entries of the rate limits' tables.
#[derive(Clone, Default)]
pub struct RateLimitMetrics {
    /// Merchants whose bucket is not full.
    pub merchants_spending: Gauge,
    /// Peers whose failures are not forgotten.
    pub peers_failing: Gauge,
}

/// Callers' connections.
#[derive(Clone, Default)]
pub struct ConnectionMetrics {
    /// Open ones, read at the time.
    pub open: Gauge,
    /// Closed by the service because there were too many, or because one was idle for too long.
    closed: Family<DropLabels, Counter>,
    /// Requests with an `X-Forwarded-For` from an address that looks like a proxy's and is not trusted.
    pub forwarded_untrusted: Counter,
}

impl ConnectionMetrics {
    fn register(registry: &mut Registry) -> Self {
        let connections = Self::default();
        registry.register("connections_open", "Open connections to the API", connections.open.clone());
        registry.register(
            "connections_closed",
            "Connections closed by the service for a newer one, or for being idle",
            connections.closed.clone(),
        );
        registry.register(
            "forwarded_untrusted",
            "Requests with X-Forwarded-For from a private address that is no trusted proxy",
            connections.forwarded_untrusted.clone(),
        );
        connections
    }

    /// Counts one that was closed.
    pub fn closed(&self, reason: &'static str) {
        self.closed.get_or_create(&DropLabels { reason }).inc();
    }
}

/// What becomes of SQLite's log.
#[derive(Clone, Default)]
pub struct LogMetrics {
    bytes: Gauge,
    reads_held_back: Counter,
}

const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 10.0];
const EVENTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

impl Metrics {
    /// All figures at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("conversiond");
        let requests = Counter::default();
        registry.register("requests", "Requests that arrived", requests.clone());
        let outcomes = Family::default();
        registry.register("outcomes", "Requests by how they ended", outcomes.clone());
        let request_seconds = Histogram::new(SECONDS);
        registry.register_with_unit("request", "From head to answer", Unit::Seconds, request_seconds.clone());
        let writer = WriterMetrics {
            queue_depth: Gauge::default(),
            waiting_merchants: Family::default(),
            refused: Family::default(),
            batch_events: Histogram::new(EVENTS),
            commit_seconds: Histogram::new(SECONDS),
        };
        registry.register("queue_depth", "Events waiting to be written", writer.queue_depth.clone());
        registry.register(
            "waiting_merchants",
            "Merchants that have events waiting to be written, by writer",
            writer.waiting_merchants.clone(),
        );
        registry.register(
            "share_refused",
            "Requests refused because the queue, or their merchant's share, was used up",
            writer.refused.clone(),
        );
        registry.register("batch_events", "Events per transaction", writer.batch_events.clone());
        registry.register_with_unit(
            "commit",
            "Transactions, retries included",
            Unit::Seconds,
            writer.commit_seconds.clone(),
        );
        let journal = JournalMetrics::default();
        registry.register("journal_written", "Refused attempts journaled", journal.written.clone());
        registry.register("journal_dropped", "Refused attempts not journaled", journal.dropped.clone());
        let rate_limits = RateLimitMetrics::register(&mut registry);
        let quota_refused = Counter::default();
        registry.register(
            "quota_refused",
            "Requests refused because their merchant's quota of the day is used up",
            quota_refused.clone(),
        );
        let log = LogMetrics::register(&mut registry);
        let connections = ConnectionMetrics::register(&mut registry);
        let (pool_connections, pool_idle) = (Gauge::default(), Gauge::default());
        registry.register("pool_connections", "Open connections for reading", pool_connections.clone());
        registry.register("pool_idle", "Of them, idle", pool_idle.clone());
        let key_age_seconds = Gauge::default();
        registry.register_with_unit(
            "keys_age",
            "Since keys were last read",
            Unit::Seconds,
            key_age_seconds.clone(),
        );
        Self {
            registry,
            requests,
            outcomes,
            request_seconds,
            writer,
            journal,
            rate_limits,
            quota_refused,
            log,
            connections,
            pool_connections,
            pool_idle,
            key_age_seconds,
        }
    }

    /// Adds the figure of the room on the database's disk, where that is this machine's.
    pub fn add_disk(&mut self) -> FreeBytes {
        let free = FreeBytes::default();
        let help = "Room on the disk of the database's files";
        self.registry.register_with_unit("disk_free", help, Unit::Bytes, free.clone());
        free
    }

    /// The exposition text, with the figures that are read at the time.
    pub fn render(&self, pool: (u32, u32), key_age_seconds: f64) -> String {
        self.pool_connections.set(pool.0.into());
        self.pool_idle.set(pool.1.into());
        self.key_age_seconds.set(key_age_seconds);
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(error) => format!("# {error}\n"),
        }
    }
}

impl RateLimitMetrics {
    fn register(registry: &mut Registry) -> Self {
        let figures = Self::default();
        registry.register(
            "merchants_spending",
            "Limited merchants whose bucket is not full",
            figures.merchants_spending.clone(),
        );
        registry.register(
            "peers_failing",
            "Addresses whose failures are not forgotten yet (at most peer.table_entries)",
            figures.peers_failing.clone(),
        );
        figures
    }

    /// Takes over how many entries are in use.
    pub fn set(&self, (merchants, peers): (usize, usize)) {
        let figure = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.merchants_spending.set(figure(merchants));
        self.peers_failing.set(figure(peers));
    }
}

impl LogMetrics {
    fn register(registry: &mut Registry) -> Self {
        let figures = Self::default();
        let bytes = "Size of SQLite's log (-wal) on the disk; 0 with PostgreSQL";
        registry.register_with_unit("sqlite_log", bytes, Unit::Bytes, figures.bytes.clone());
        registry.register(
            "reads_held_back",
            "Reads that waited until SQLite's log had been copied",
            figures.reads_held_back.clone(),
        );
        figures
    }

    /// Takes over how large the log is, and how many reads have waited for it so far.
    pub fn set(&self, bytes: u64, held_back: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.reads_held_back.inner().store(held_back, Ordering::Relaxed);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
