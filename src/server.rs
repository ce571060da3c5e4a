//! Putting the service together, and taking it apart again without losing anything.
//!
//! Start: lock, migrate, keys, writer, listeners. Shutdown, on SIGTERM: say so in `/readyz`, stop
//! accepting, finish the requests taken, let the writer commit what is queued, end.

mod listeners;
mod refresh;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::domain::landing_url::SigningParameters;
use crate::domain::seen_signatures::SeenSignatures;
use crate::domain::time::{Clock, Entropy};
use crate::domain::vault::MasterKeyRing;
use crate::http::exports::Places;
use crate::http::openapi::Description;
use crate::http::{
    AppState, BodyMemories, BulkShares, ConnectionLimits, Connections, DailyQuotas, HttpLimits, RateLimits,
    RefusedAttempts, UntrustedForwarding, Workbench,
};
use crate::ingest::Ingest;
use crate::keyring::{Keyring, Loader, ensure_token_key};
use crate::storage::files::Watch;
use crate::storage::housekeeping::{Housekeeper, Journal};
use crate::storage::lock::ServeLock;
use crate::storage::placement::{self, Complaint};
use crate::storage::writer::{BatchStore, DatabaseStore, Stores, Writer, WriterThreads};
use crate::storage::{Connector, Purpose, Reader, StoreError, database_now, migrate};
use crate::system::ClockWatch;
use crate::telemetry::Metrics;

/// What a service is given besides its configuration; tests give their own.
pub struct Dependencies {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// What secrets are encrypted with.
    pub master_key: MasterKeyRing,
}

/// Why a service did not start or broke off.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address that is in use, say.
    #[error("cannot listen on {setting} = {address}: {error}")]
    Listen {
        /// The setting.
        setting: &'static str,
        /// Its value.
        address: SocketAddr,
        /// The system's word.
        error: std::io::Error,
    },
    /// The database did not let go of the writer at shutdown.
    #[error("the writer did not end in time: what it had taken was not acknowledged")]
    WriterStuck,
    /// The database's files were taken away: the next start would not find what was acknowledged.
    #[error("the service ends without its database's files: {0}")]
    Files(String),
    /// Threads could not be started, or a listener failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// How long an answer may take to be read by its caller before its connection counts as idle.
const SLOW_READERS: Duration = Duration::from_secs(30);

/// How often idle connections are looked for.
const IDLE_EVERY: Duration = Duration::from_secs(1);

/// How long the writer may take to end once no caller waits for it any more.
const WRITER_END_MAX: Duration = Duration::from_secs(2);

/// A service that listens and is ready to run.
pub struct BoundServer {
    /// Where the API listens.
    pub api_address: SocketAddr,
    /// Where the operator's endpoints listen.
    pub admin_address: SocketAddr,
    api: Server,
    admin: Server,
    refresh: JoinHandle<()>,
    idle: JoinHandle<()>,
    state: web::Data<AppState>,
    writer_threads: WriterThreads,
    housekeeper: Housekeeper,
    watch: Option<Arc<Watch>>,
    _lock: Option<ServeLock>,
}

/// Starts a service on the configured database.
///
/// Must be called on a multi-threaded tokio runtime, which then also runs blocking reads.
pub async fn build(config: &Config, dependencies: Dependencies) -> Result<BoundServer, ServeError> {
    let writers = config.database.writers;
    let stores = {
        let clock = dependencies.clock.clone();
        move |connector: &Connector| {
            let writers = if connector.is_shared() { writers } else { 1 };
            let store = |purpose| DatabaseStore::connect(connector.clone(), purpose, clock.clone());
            let lanes = (0..writers).map(|_| store(Purpose::Write)).collect::<Result<Vec<_>, _>>()?;
            let rescue = connector.is_shared().then(|| store(Purpose::Rescue)).transpose()?;
            Ok(Stores { lanes, rescue })
        }
    };
    build_with(config, dependencies, stores).await
}

/// As [`build`], with other stores behind the writer: for measuring what the store costs.
pub async fn build_with<S: BatchStore>(
    config: &Config,
    dependencies: Dependencies,
    stores: impl FnOnce(&Connector) -> Result<Stores<S>, StoreError>,
) -> Result<BoundServer, ServeError> {
    let Dependencies { clock, entropy, master_key } = dependencies;
    let mut connector = Connector::new(config.database.clone());
    let lock = config.database.url.sqlite_path().map(ServeLock::take).transpose()?;
    let files = connector.hold_files()?;
    if let Some(path) = config.database.url.sqlite_path()
        && let Some(Complaint::Warned(why)) = placement::look(path)?
    {
        tracing::warn!(why, "the database lies at a place that may lose it");
    }
    let clock_watch = Arc::new(ClockWatch::new(clock.clone()));
    let mut loader = Loader::new(master_key.clone(), entropy.as_ref());
    let directory = {
        let mut connection = connector.connect(Purpose::Write)?;
        prepare_schema(&mut connection, config.database.migrate)?;
        ensure_token_key(&mut connection, &master_key, clock.now(), entropy.as_ref())?;
        if let Some(now) = database_now(&mut connection)? {
            clock_watch.believe(now, clock.monotonic());
        }
        connection.read(|c| loader.load(c, clock.now()))?
    };
    tracing::info!(database = %config.database.url, keys = directory.len(), "database is ready");
    let stale_after = Duration::from_secs(config.keys.stale_s);
    let keyring = Arc::new(Keyring::new(directory, stale_after, clock.clone()));
    let mut metrics = Metrics::new();
    let watch =
        files.map(|files| Watch::start(files, config.database.disk_free_min_bytes, metrics.add_disk()));
    let watch = watch.transpose()?.map(Arc::new);
    let metrics = Arc::new(metrics);
    let (writer, writer_threads) =
        Writer::start(stores(&connector)?, &config.ingest, &config.idempotency, &clock, &metrics.writer)?;
    let (journal, housekeeper) = Journal::start(
        connector.clone(),
        config,
        (clock.clone(), clock_watch.clone()),
        {
            let keyring = keyring.clone();
            Arc::new(move |key_id: &str| keyring.owner_of(key_id))
        },
        metrics.journal.clone(),
    )?;
    let runtime = tokio::runtime::Handle::current();
    let reader = Reader::new(connector.clone(), config.database.pool_size, runtime.clone());
    let alone = || Reader::new(connector.clone(), 1, runtime.clone());
    let refresh = tokio::spawn(refresh::refresh_keys(
        // A connection of its own: reads must not keep a revocation waiting.
        alone(),
        loader,
        writer.clone(),
        keyring.clone(),
        clock_watch.clone(),
        clock.clone(),
        Duration::from_secs(config.keys.refresh_s),
    ));
    let limits = HttpLimits::new(config);
    let (bodies, books) =
        (config.server.bodies_in_flight_bytes_max / 2, config.server.reconciliation_body_bytes_max);
    let (api_clock, connection_metrics) = (clock.clone(), metrics.connections.clone());
    let signing = Arc::new(SigningParameters::from_list(&config.landing.signing_parameters));
    let state = web::Data::new(AppState {
        ingest: Ingest { writer, reader, keyring, clock, entropy, signing },
        pulse: alone(),
        watch: watch.clone(),
        clock_watch,
        metrics,
        description: Description::new(&limits),
        limits,
        rate_limits: RateLimits::new(config),
        // From as early as a timestamp may lie ahead until it is too old.
        seen_signatures: Mutex::new(SeenSignatures::new(Duration::from_secs(
            config.signature.tolerance_s.unsigned_abs() * 2,
        ))),
        attempts: RefusedAttempts::new(journal, &config.journal, config.peer.table_entries),
        body_memory: BodyMemories::new(bodies, config.server.body_bytes_max),
        bulk_body_memory: BodyMemories::new(bodies, config.server.bulk_body_bytes_max),
        reconciliation_body_memory: BodyMemories::new(2 * books, books),
        judging: Workbench::new(workbench_places(), runtime.clone()),
        forwarding: UntrustedForwarding::new(connection_metrics.clone()),
        connections: Connections::new(connection_limits(config), api_clock, connection_metrics),
        daily_quotas: DailyQuotas::default(),
        bulk_shares: BulkShares::new(config),
        workbench: Workbench::new(workbench_places(), runtime),
        exports: Places::new(config.exports_max()),
        draining: Arc::new(AtomicBool::new(false)),
    });
    let connections = state.connections.clone();
    let idle = tokio::spawn(async move {
        loop {
            tokio::time::sleep(IDLE_EVERY).await;
            connections.close_idle();
        }
    });
    let (api, api_address) = listeners::api_server(config, state.clone())?;
    let (admin, admin_address) = listeners::admin_server(config, state.clone())?;
    tracing::info!(%api_address, %admin_address, "listening");
    Ok(BoundServer {
        api_address,
        admin_address,
        api,
        admin,
        refresh,
        idle,
        state,
        writer_threads,
        housekeeper,
        watch,
        _lock: lock,
    })
}

impl BoundServer {
    /// Runs until `shutdown` completes, then finishes what was taken.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { api, admin, refresh, idle, state, writer_threads, housekeeper, watch, _lock, .. } = self;
        let (api_handle, admin_handle) = (api.handle(), admin.handle());
        let mut api = tokio::spawn(api);
        let mut admin = tokio::spawn(admin);
        let failed = tokio::select! {
            () = shutdown => None,
            ended = &mut api => Some(ended),
            ended = &mut admin => Some(ended),
        };
        tracing::info!("shutting down: finishing what was taken");
        state.draining.store(true, Ordering::Relaxed);
        api_handle.stop(true).await;
        idle.abort();
        let _ = idle.await;
        refresh.abort();
        let _ = refresh.await;
        admin_handle.stop(false).await;
        // The listeners' own tasks end once their workers have. The one that ended first is over.
        for listener in [api, admin] {
            if !listener.is_finished() {
                let _ = listener.await;
            }
        }
        // With the last sender the writer's queue ends, after everything in it.
        drop(state);
        let writer = tokio::task::spawn_blocking(move || writer_threads.join());
        let housekeeper = tokio::task::spawn_blocking(move || housekeeper.join());
        // What the housekeeper has not written by then is lost, as it may be: nobody was promised it.
        let (writer, _) = tokio::join!(
            tokio::time::timeout(WRITER_END_MAX, writer),
            tokio::time::timeout(WRITER_END_MAX, housekeeper)
        );
        // What is committed to files that have no name is not on disk for the next start.
        let files = match watch {
            Some(watch) => tokio::task::spawn_blocking(move || watch.finish()).await,
            None => Ok(Ok(())),
        };
        if writer.is_err() {
            return Err(ServeError::WriterStuck);
        }
        files.map_err(std::io::Error::other)?.map_err(ServeError::Files)?;
        tracing::info!("everything taken is on disk");
        match failed {
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(error)) => Err(ServeError::Io(std::io::Error::other(error))),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }
}

fn connection_limits(config: &Config) -> ConnectionLimits {
    let server = &config.server;
    ConnectionLimits {
        all: server.max_connections,
        of_address: server.connections_per_address,
        // An answer may yet be on its way to a slow reader when its request is over.
        idle_max: Duration::from_secs(server.keep_alive_s + server.head_timeout_s) + SLOW_READERS,
        trusted_proxies: server.trusted_proxies.clone(),
    }
}

/// How many long bodies are read at one moment: on few processors one, so that callbacks have the others.
fn workbench_places() -> usize {
    if std::thread::available_parallelism().map_or(1, usize::from) > 2 { 2 } else { 1 }
}

fn prepare_schema(
    connection: &mut crate::storage::AnyConnection,
    may_migrate: bool,
) -> Result<(), StoreError> {
    if may_migrate {
        for name in migrate::run(connection)? {
            tracing::info!(name, "migrated");
        }
        return warn_of_newer(connection);
    }
    warn_of_newer(connection)?;
    match migrate::pending(connection)?.as_slice() {
        [] => Ok(()),
        names => Err(StoreError::Unusable(format!(
            "{} migrations are pending ({}) and database.migrate is false: run `conversiond migrate`",
            names.len(),
            names.join(", ")
        ))),
    }
}

/// While instances are replaced one by one the version before runs on the new schema (migrations/README.md).
fn warn_of_newer(connection: &mut crate::storage::AnyConnection) -> Result<(), StoreError> {
    let unknown = migrate::unknown(connection)?;
    if !unknown.is_empty() {
        tracing::warn!(
            unknown = unknown.join(", "),
            "the database's schema is newer than this version: that is right while instances are replaced by the next \
             version, and else not: start the newer version"
        );
    }
    Ok(())
}
