//! The thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::{Refused, Retention};
use crate::domain::time::Clock;
use crate::storage::attempts::{self, AttemptRow, WHOLE_REQUEST};
use crate::storage::{AnyConnection, Connector, Purpose, StoreError, idempotency};
use crate::telemetry::{DropLabels, JournalMetrics};

/// Attempts in one transaction, and how long is waited between two: a flood costs the callbacks no
/// more than this.
const BATCH: usize = 500;
const PAUSE: Duration = Duration::from_millis(100);

/// Rows deleted in one transaction, so that no lock is held for long.
const SWEEP_ROWS: i64 = 500;

/// Transactions of one sweep, so that the journal is not kept waiting for ever.
const SWEEP_ROUNDS: usize = 200;

pub struct Worker {
    connector: Connector,
    connection: Option<AnyConnection>,
    refused: Receiver<Refused>,
    retention: Retention,
    clock: Arc<dyn Clock>,
    metrics: JournalMetrics,
}

impl Worker {
    pub fn new(
        connector: Connector,
        refused: Receiver<Refused>,
        retention: Retention,
        clock: Arc<dyn Clock>,
        metrics: JournalMetrics,
    ) -> Self {
        Self { connector, connection: None, refused, retention, clock, metrics }
    }

    /// Runs until every sender is gone and what they sent is written.
    pub fn run(mut self) {
        let mut swept: Option<Duration> = None;
        loop {
            let now = self.clock.monotonic();
            let due = swept.is_none_or(|at| now.saturating_sub(at) >= self.retention.sweep_every);
            if due {
                swept = Some(now);
                if let Err(error) = self.sweep() {
                    tracing::warn!(%error, "what is past its time could not be deleted");
                    self.connection = None;
                }
            }
            match self.refused.recv_timeout(Duration::from_secs(1)) {
                Ok(first) => {
                    let batch = self.take(first);
                    self.write(&batch);
                    std::thread::sleep(PAUSE);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&self, first: Refused) -> Vec<Refused> {
        let mut batch = vec![first];
        batch.extend(self.refused.try_iter().take(BATCH - 1));
        batch
    }

    fn write(&mut self, batch: &[Refused]) {
        let written = self.transaction(|connection| {
            let rows: Vec<AttemptRow<'_>> = batch
                .iter()
                .map(|one| AttemptRow::new(&one.attempt, WHOLE_REQUEST, &one.ending, one.elapsed))
                .collect();
            attempts::insert(connection, rows)
        });
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        match written {
            Ok(()) => {
                self.metrics.written.inc_by(count);
            }
            Err(error) => {
                tracing::warn!(%error, attempts = count, "refused attempts could not be journaled");
                self.metrics.dropped.get_or_create(&DropLabels { reason: "store_failed" }).inc_by(count);
                self.connection = None;
            }
        }
    }

    /// Deletes what is past its time.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.rounds(|c| idempotency::sweep(c, now, SWEEP_ROWS))?;
        let oldest = now - self.retention.attempts;
        let mut merchants = self.transaction(attempts::merchants)?;
        // Where no key was named.
        merchants.push(String::new());
        for merchant in merchants {
            self.rounds(|c| attempts::delete_before(c, &merchant, oldest, SWEEP_ROWS))?;
        }
        let refused_max = self.retention.refused_max;
        let mut excess = self.transaction(attempts::count_refused)? - refused_max;
        self.rounds(|c| {
            if excess <= 0 {
                return Ok(0);
            }
            let deleted = attempts::delete_oldest_refused(c, excess.min(SWEEP_ROWS))?;
            excess -= i64::try_from(deleted).unwrap_or(i64::MAX);
            Ok(deleted)
        })
    }

    /// Deletes until nothing is left to delete, a transaction at a time.
    fn rounds(
        &mut self,
        mut delete: impl FnMut(&mut AnyConnection) -> Result<usize, StoreError>,
    ) -> Result<(), StoreError> {
        for _ in 0..SWEEP_ROUNDS {
            if self.transaction(&mut delete)? == 0 {
                break;
            }
            // Others have their turn: SQLite has one writer at a time.
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.connector.connect(Purpose::Housekeeping)?),
        };
        connection.write_for(Purpose::Housekeeping, work)
    }
}
