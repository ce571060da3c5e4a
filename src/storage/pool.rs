//! Reading: a bounded pool, and a queue that gives up instead of growing.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::r2d2::{ManageConnection, Pool, PooledConnection};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::backend::Purpose;
use super::exports::{self, Horizon};
use super::{AnyConnection, Connector, StoreError};
use crate::domain::time::Clock;

/// Runs queries on blocking threads, as many at a time as there are connections.
#[derive(Clone)]
pub struct Reader {
    pool: Pool<Manager>,
    connector: Connector,
    permits: Arc<Semaphore>,
    /// For what takes long.
    long: Arc<Semaphore>,
    wait: Duration,
    /// How long a caller waits for the whole.
    patience: Duration,
    runtime: Handle,
}

/// How the pool makes and checks connections.
struct Manager(Connector);

impl ManageConnection for Manager {
    type Connection = AnyConnection;
    type Error = StoreError;

    fn connect(&self) -> Result<AnyConnection, StoreError> {
        self.0.connect(Purpose::Read)
    }

    fn is_valid(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        Ok(connection.batch_execute("SELECT 1")?)
    }

    fn has_broken(&self, connection: &mut AnyConnection) -> bool {
        std::thread::panicking() || connection.is_broken()
    }
}

impl Reader {
    /// A pool of at most `size` connections, made when first needed. Waiting for one longer than
    /// `database.pool_wait_ms` is an error, and so is a query that takes longer than
    /// `database.read_timeout_s`. Blocking work runs on the given runtime, not on the web server's.
    pub fn new(connector: Connector, size: u32, runtime: Handle) -> Self {
        let wait = Duration::from_millis(connector.settings().pool_wait_ms);
        let patience = Duration::from_secs(connector.settings().read_timeout_s);
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(0))
            .connection_timeout(wait)
            .error_handler(Box::new(Quiet))
            .build_unchecked(Manager(connector.clone()));
        let size = usize::try_from(size).unwrap_or(1);
        let permits = Arc::new(Semaphore::new(size));
        let long = Arc::new(Semaphore::new((size / 2).max(1)));
        Self { pool, connector, permits, long, wait, patience, runtime }
    }

    /// Runs a query.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when no connection came free in time, [`StoreError::Unavailable`] when the
    /// database did not answer in time, else the query's own.
    pub async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, StoreError> + Send + 'static,
    {
        self.blocking(|Self { pool, .. }| pooled(&pool)?.read(query)).await
    }

    /// Runs queries that may take seconds. They have half of the connections at most, so that the others
    /// stay for short ones.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_long<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = tokio::time::timeout(self.wait, self.long.clone().acquire_owned())
            .await
            .map_err(|_| StoreError::Overloaded("as many long queries run as may"))?
            .map_err(|_| StoreError::ShuttingDown)?;
        // It lasts as long as the query, whether or not the caller still waits.
        self.run(move |connection| {
            let _turn = turn;
            query(connection)
        })
        .await
    }

    /// Does what takes long without a connection, so that none waits for it meanwhile: as much at a
    /// time as long queries run.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when no turn came in time.
    pub async fn compute<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let busy = "too much else is being worked on";
        self.with_permit(&self.long, busy, |_| Ok(work())).await
    }

    /// How far an export may go now, so far behind the present.
    ///
    /// # Errors
    /// As of [`exports::horizon`], and [`StoreError::Overloaded`] when no connection came free in time.
    pub async fn horizon(&self, behind: TimeDelta, clock: Arc<dyn Clock>) -> Result<Horizon, StoreError> {
        self.blocking(move |Self { pool, connector, wait, .. }| match connector.is_shared() {
            true => exports::horizon(&mut *pooled(&pool)?, behind, wait, clock.as_ref()),
            // The pool's may not write.
            false => exports::horizon(&mut connector.connect(Purpose::Write)?, behind, wait, clock.as_ref()),
        })
        .await
    }

    /// Whether a transaction that writes could begin now.
    ///
    /// # Errors
    /// As of [`Self::run`].
    pub async fn may_write(&self) -> Result<bool, StoreError> {
        self.blocking(|Self { pool, .. }| super::backend::may_write(&mut *pooled(&pool)?)).await
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> Result<T, StoreError> + Send + 'static,
    {
        // A database that hangs says nothing, not even that it is gone. The query keeps its connection.
        tokio::time::timeout(
            self.patience,
            self.with_permit(&self.permits, "every reading connection is in use", work),
        )
        .await
        .unwrap_or_else(|_| {
            Err(StoreError::Unavailable("a query took longer than database.read_timeout_s".to_owned()))
        })
    }

    async fn with_permit<T, F>(
        &self,
        permits: &Arc<Semaphore>,
        busy: &'static str,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = tokio::time::timeout(self.wait, Arc::clone(permits).acquire_owned())
            .await
            .map_err(|_| StoreError::Overloaded(busy))?
            .map_err(|_| StoreError::ShuttingDown)?;
        let reader = self.clone();
        let span = tracing::Span::current();
        let work = self.runtime.spawn_blocking(move || {
            let _permit = permit;
            let _span = span.enter();
            work(reader)
        });
        work.await.unwrap_or_else(|error| Err(StoreError::Refused(format!("a query panicked: {error}"))))
    }

    /// Connections open and, of them, idle.
    pub fn usage(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections, state.idle_connections)
    }
}

fn pooled(pool: &Pool<Manager>) -> Result<PooledConnection<Manager>, StoreError> {
    pool.get().map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// The pool's own attempts to connect are not errors yet: whoever waits gets one.
#[derive(Debug)]
struct Quiet;

impl diesel::r2d2::HandleError<StoreError> for Quiet {
    fn handle_error(&self, error: StoreError) {
        tracing::debug!(%error, "the pool could not connect");
    }
}
