//! Putting the service together, and taking it apart again without losing anything.
//!
//! Start: lock, migrate, keys, writer, listeners. Shutdown, on SIGTERM: say so in `/readyz`, stop
//! accepting, finish the requests taken, let the writer commit what is queued, end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::domain::landing_url::SigningParameters;
use crate::domain::time::{Clock, Entropy};
use crate::domain::vault::MasterKeyRing;
use crate::http::exports::Places;
use crate::http::openapi::Description;
use crate::http::{AppState, Connection, HttpLimits, RateLimits, RefusedAttempts, routes};
use crate::ingest::Ingest;
use crate::keyring::{Keyring, Loader, ensure_token_key};
use crate::storage::housekeeping::{Housekeeper, Journal};
use crate::storage::lock::ServeLock;
use crate::storage::writer::{BatchStore, DatabaseStore, Stores, Writer, WriterThreads};
use crate::storage::{Connector, Purpose, Reader, StoreError, check_durability, database_now, migrate};
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
    /// Threads could not be started, or a listener failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

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
    state: web::Data<AppState>,
    writer_threads: WriterThreads,
    housekeeper: Housekeeper,
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
    let connector = Connector::new(config.database.clone());
    let lock = config.database.url.sqlite_path().map(ServeLock::take).transpose()?;
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
    let metrics = Arc::new(Metrics::new());
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
    let refresh = tokio::spawn(refresh_keys(
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
    let signing = Arc::new(SigningParameters::from_list(&config.landing.signing_parameters));
    let state = web::Data::new(AppState {
        ingest: Ingest { writer, reader, keyring, clock, entropy, signing },
        pulse: alone(),
        clock_watch,
        metrics,
        description: Description::new(&limits),
        limits,
        rate_limits: RateLimits::new(config),
        attempts: RefusedAttempts::new(journal, &config.journal, config.peer.table_entries),
        body_bytes: Arc::new(Semaphore::new(config.server.bodies_in_flight_bytes_max / 2)),
        bulk_body_bytes: Arc::new(Semaphore::new(config.server.bodies_in_flight_bytes_max / 2)),
        reconciliation_body_bytes: Arc::new(Semaphore::new(2 * config.server.reconciliation_body_bytes_max)),
        exports: Places::new(config.exports_max()),
        draining: Arc::new(AtomicBool::new(false)),
    });
    let (api, api_address) = api_server(config, state.clone())?;
    let (admin, admin_address) = admin_server(config, state.clone())?;
    tracing::info!(%api_address, %admin_address, "listening");
    Ok(BoundServer {
        api_address,
        admin_address,
        api,
        admin,
        refresh,
        state,
        writer_threads,
        housekeeper,
        _lock: lock,
    })
}

impl BoundServer {
    /// Runs until `shutdown` completes, then finishes what was taken.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { api, admin, refresh, state, writer_threads, housekeeper, _lock, .. } = self;
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
        if writer.is_err() {
            return Err(ServeError::WriterStuck);
        }
        tracing::info!("everything taken is on disk");
        match failed {
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(error)) => Err(ServeError::Io(std::io::Error::other(error))),
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }
}

fn prepare_schema(
    connection: &mut crate::storage::AnyConnection,
    may_migrate: bool,
) -> Result<(), StoreError> {
    if may_migrate {
        for name in migrate::run(connection)? {
            tracing::info!(name, "migrated");
        }
        return Ok(());
    }
    match migrate::pending(connection)?.as_slice() {
        [] => Ok(()),
        names => Err(StoreError::Unusable(format!(
            "{} migrations are pending ({}) and database.migrate is false: run `conversiond migrate`",
            names.len(),
            names.join(", ")
        ))),
    }
}

async fn refresh_keys(
    reader: Reader,
    loader: Loader,
    writer: Writer,
    keyring: Arc<Keyring>,
    clock_watch: Arc<ClockWatch>,
    clock: Arc<dyn Clock>,
    every: Duration,
) {
    let loader = Arc::new(Mutex::new(loader));
    loop {
        tokio::time::sleep(every).await;
        let (loader, watch, clock) = (loader.clone(), clock_watch.clone(), clock.clone());
        let writer = writer.clone();
        let loaded = reader.run(move |connection| {
            writer.set_durable(
                check_durability(connection).inspect_err(|error| tracing::error!(%error)).is_ok(),
            );
            match database_now(connection)? {
                Some(now) => watch.believe(now, clock.monotonic()),
                None => watch.settle(),
            }
            // By a clock that has jumped, secrets would be left out that are still in force.
            let now = watch.reliable_now().ok_or(StoreError::Unusable("the clock is off".to_owned()))?;
            let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
            loader.load(connection, now)
        });
        match loaded.await {
            Ok(directory) => keyring.replace(directory),
            Err(error @ StoreError::Unusable(_)) => {
                tracing::error!(%error, age_s = keyring.age().as_secs(), "keys could not be read");
            }
            Err(error) => tracing::warn!(%error, age_s = keyring.age().as_secs(), "keys could not be read"),
        }
    }
}

fn api_server(config: &Config, state: web::Data<AppState>) -> Result<(Server, SocketAddr), ServeError> {
    let settings = &config.server;
    let workers = match settings.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        workers => workers,
    };
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(routes::api))
        .on_connect(|_, data| {
            data.insert(Connection::default());
        })
        .workers(workers)
        .max_connections(settings.max_connections.div_ceil(workers))
        .keep_alive(Duration::from_secs(settings.keep_alive_s))
        .client_request_timeout(Duration::from_secs(settings.head_timeout_s))
        // The rest of the time is the writer's and the runtime's.
        .shutdown_timeout(settings.shutdown_s.saturating_sub(3).max(1))
        .disable_signals();
    let listen = |error| ServeError::Listen { setting: "server.listen", address: settings.listen, error };
    let server = server.bind(settings.listen).map_err(listen)?;
    let address = server.addrs().first().copied().unwrap_or(settings.listen);
    Ok((server.run(), address))
}

fn admin_server(config: &Config, state: web::Data<AppState>) -> Result<(Server, SocketAddr), ServeError> {
    let address = config.admin.listen;
    let server = HttpServer::new(move || App::new().app_data(state.clone()).configure(routes::admin))
        .workers(1)
        .max_connections(64)
        .shutdown_timeout(1)
        .disable_signals();
    let listen = |error| ServeError::Listen { setting: "admin.listen", address, error };
    let server = server.bind(address).map_err(listen)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}
