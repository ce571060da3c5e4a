//! What happens beside the commit path, on a connection of its own: the journal of refused attempts
//! is written, and what is past its time is deleted or forgotten in small batches.
//!
//! Nothing here is waited for by a caller. Its commits do not wait for the disk, and it may drop what
//! it cannot write, which is counted.

mod bodies;
mod sweep;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::TimeDelta;

use super::Connector;
use crate::config::Config;
use crate::domain::attempt::{Attempt, Ending};
use crate::domain::ids::MerchantId;
use crate::domain::merchant::Mode;
use crate::domain::time::Clock;
use crate::system::ClockWatch;
use crate::telemetry::{DropLabels, JournalMetrics};

/// Takes refused attempts. Whoever has one never waits.
#[derive(Clone)]
pub struct Journal {
    queue: SyncSender<Refused>,
    metrics: JournalMetrics,
}

/// Whose key this id is, and its mode; `None` = nobody's or an operator's.
pub type Owners = Arc<dyn Fn(&str) -> Option<(MerchantId, Mode)> + Send + Sync>;

/// A refused attempt on its way into the journal.
pub struct Refused {
    /// What was known of it.
    pub attempt: Attempt,
    /// How it ended.
    pub ending: Ending,
    /// How long it took.
    pub elapsed: Duration,
}

/// The thread, to be waited for at shutdown.
pub struct Housekeeper(JoinHandle<()>);

/// What is kept for how long.
#[derive(Debug, Clone)]
struct Retention {
    sweep_every: Duration,
    attempts: TimeDelta,
    /// Refused attempts that nobody signed.
    forged_max: i64,
    /// Refused attempts that one merchant signed.
    refused_of_merchant_max: i64,
    /// Raw bodies and addresses; `None` = for ever.
    bodies: Option<TimeDelta>,
}

impl Journal {
    /// Starts the housekeeping, by a clock and what is known of it. Refused attempts stand with the owner
    /// of the key that they name.
    pub fn start(
        connector: Connector,
        config: &Config,
        clocks: (Arc<dyn Clock>, Arc<ClockWatch>),
        owners: Owners,
        metrics: JournalMetrics,
    ) -> std::io::Result<(Self, Housekeeper)> {
        let (queue, refused) = sync_channel(config.journal.queue_attempts);
        let retention = Retention::of(config);
        let worker = worker::Worker::new(connector, (refused, owners), retention, clocks, metrics.clone());
        let thread =
            std::thread::Builder::new().name("housekeeping".to_owned()).spawn(move || worker.run())?;
        Ok((Self { queue, metrics }, Housekeeper(thread)))
    }

    /// Takes an attempt, or drops and counts it.
    pub fn refused(&self, attempt: Attempt, ending: Ending, elapsed: Duration) {
        let reason = match self.queue.try_send(Refused { attempt, ending, elapsed }) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "queue_full",
            Err(TrySendError::Disconnected(_)) => "shutting_down",
        };
        self.dropped(reason);
    }

    /// Counts an attempt that is not journaled.
    pub fn dropped(&self, reason: &'static str) {
        self.metrics.dropped.get_or_create(&DropLabels { reason }).inc();
    }
}

impl Housekeeper {
    /// Waits until what was taken is written. All [`Journal`]s must be dropped.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the housekeeping thread panicked");
        }
    }
}

impl Retention {
    fn of(config: &Config) -> Self {
        let bodies = config.retention.raw_body_days;
        Self {
            sweep_every: Duration::from_secs(config.idempotency.sweep_s),
            attempts: TimeDelta::days(config.journal.retention_days.into()),
            forged_max: i64::try_from(config.journal.refused_rows_max).unwrap_or(i64::MAX),
            refused_of_merchant_max: i64::try_from(config.journal.merchant_refused_rows_max)
                .unwrap_or(i64::MAX),
            bodies: (bodies > 0).then(|| TimeDelta::days(bodies.into())),
        }
    }
}
