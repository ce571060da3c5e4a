//! Reading: a bounded pool, and a queue that gives up instead of growing.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::r2d2::{ManageConnection, Pool, PooledConnection};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::backend::Purpose;
use super::exports::{self, Horizon};
use super::log_gate::{Length, Pass};
use super::shares::{Read, Shares};
use super::time_limit::TimeLimit;
use super::{AnyConnection, Connector, StoreError};
use crate::domain::ids::MerchantId;
use crate::domain::time::Clock;

/// Runs queries on blocking threads, as many at a time as there are connections, and of one merchant no
/// more than its share.
#[derive(Clone)]
pub struct Reader {
    pool: Pool<Manager>,
    connector: Connector,
    permits: Arc<Semaphore>,
    /// For what takes long.
    long: Arc<Semaphore>,
    shares: Shares,
    wait: Duration,
    /// How long a caller waits for the whole.
    patience: Duration,
    runtime: Handle,
}

/// What a read holds while it runs, whether or not its caller still waits.
#[derive(Default)]
struct Turn {
    // The merchant's share goes last: whoever is next in it queues behind other merchants.
    _pass: Option<Pass>,
    _permits: Vec<OwnedSemaphorePermit>,
    _read: Option<Read>,
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
        Self { pool, connector, permits, long, shares: Shares::of(size), wait, patience, runtime }
    }

    /// Runs a query of the service's own.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when no connection came free in time, [`StoreError::Unavailable`] when the
    /// database did not answer in time, else the query's own.
    pub async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = async {
            let permit = acquire(&self.permits).await?;
            Ok(Turn { _pass: Some(self.connector.gate().pass_by()), _permits: vec![permit], _read: None })
        };
        self.patiently(self.in_turn(turn, |Self { pool, .. }| pooled(&pool)?.read(query))).await
    }

    /// Runs a query of a merchant's, in a connection of its share.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_for<T, F>(&self, merchant: MerchantId, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = self.turn(merchant, Length::Short);
        self.patiently(self.in_turn(turn, |Self { pool, .. }| pooled(&pool)?.read(query))).await
    }

    /// Runs queries of a merchant's that may take seconds: one at a time of the merchant's, and of all
    /// together in half of the connections at most, so that the others stay for short ones.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_long<T, F>(&self, merchant: MerchantId, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AnyConnection) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = self.turn(merchant, Length::Long);
        self.patiently(self.in_turn(turn, |Self { pool, .. }| pooled(&pool)?.read(query))).await
    }

    /// Does what takes long without a connection, so that none waits for it meanwhile: as much at a
    /// time as long queries run.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when no turn came in time.
    pub async fn compute<T, F>(&self, merchant: MerchantId, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let turn = async {
            let mut read = self.shares.begin(merchant)?;
            read.take_long().await?;
            Ok(Turn { _pass: None, _permits: vec![acquire(&self.long).await?], _read: Some(read) })
        };
        self.in_turn(turn, |_| Ok(work())).await
    }

    /// How far an export of a merchant's may go now, so far behind the present.
    ///
    /// # Errors
    /// As of [`exports::horizon`], and [`StoreError::Overloaded`] when no connection came free in time.
    pub async fn horizon(
        &self,
        merchant: MerchantId,
        behind: TimeDelta,
        clock: Arc<dyn Clock>,
    ) -> Result<Horizon, StoreError> {
        let work = move |Self { pool, connector, wait, .. }: Self| match connector.is_shared() {
            true => exports::horizon(&mut *pooled(&pool)?, behind, wait, clock.as_ref()),
            // The pool's may not write.
            false => exports::horizon(&mut connector.connect(Purpose::Write)?, behind, wait, clock.as_ref()),
        };
        self.patiently(self.in_turn(self.turn(merchant, Length::Short), work)).await
    }

    /// Waits for a connection of the merchant's share.
    async fn turn(&self, merchant: MerchantId, length: Length) -> Result<Turn, StoreError> {
        let mut read = self.shares.begin(merchant)?;
        let mut permits = Vec::with_capacity(2);
        if length == Length::Long {
            read.take_long().await?;
            permits.push(acquire(&self.long).await?);
        }
        read.take_connection().await?;
        // First: nobody has a connection who is held back.
        let pass = self.connector.gate().enter(length).await;
        permits.push(acquire(&self.permits).await?);
        Ok(Turn { _pass: Some(pass), _permits: permits, _read: Some(read) })
    }

    /// Whether a transaction that writes could begin now.
    ///
    /// # Errors
    /// As of [`Self::run`].
    pub async fn may_write(&self) -> Result<bool, StoreError> {
        let turn = async {
            let permit = acquire(&self.permits).await?;
            Ok(Turn { _pass: Some(self.connector.gate().pass_by()), _permits: vec![permit], _read: None })
        };
        let look = |Self { pool, .. }: Self| super::backend::may_write(&mut *pooled(&pool)?);
        self.patiently(self.in_turn(turn, look)).await
    }

    /// A database that hangs says nothing, not even that it is gone. The query keeps its connection until
    /// it notices that nobody waits for it any more.
    async fn patiently<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::time::timeout(self.patience, work).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable("a query took longer than database.read_timeout_s".to_owned()))
        })
    }

    /// Does work on a blocking thread when its turn has come, which must be soon.
    async fn in_turn<T, F>(
        &self,
        turn: impl Future<Output = Result<Turn, StoreError>>,
        work: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Self) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = tokio::time::timeout(self.wait, turn)
            .await
            .map_err(|_| StoreError::Overloaded("no turn to read came within database.pool_wait_ms"))??;
        let reader = self.clone();
        let span = tracing::Span::current();
        let limit = TimeLimit::default();
        let _waiting = limit.wait();
        let work = self.runtime.spawn_blocking(move || {
            let _turn = turn;
            let _span = span.enter();
            limit.hold(|| work(reader))
        });
        work.await.unwrap_or_else(|error| Err(StoreError::Refused(format!("a query panicked: {error}"))))
    }

    /// How large SQLite's log is on the disk, in bytes, and how many reads have waited for a copy of it.
    pub fn log_figures(&self) -> (u64, u64) {
        (self.connector.log_bytes(), self.connector.gate().held_back())
    }

    /// Connections open and, of them, idle.
    pub fn usage(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections, state.idle_connections)
    }
}

async fn acquire(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, StoreError> {
    permits.clone().acquire_owned().await.map_err(|_| StoreError::ShuttingDown)
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
