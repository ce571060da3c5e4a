//! The store behind the writer: a connection to the real database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::{BatchFailure, BatchStore};
use crate::domain::submission::{Submission, SubmissionOutcome};
use crate::domain::time::Clock;
use crate::storage::backend::{Purpose, waits_for_standby};
use crate::storage::checkpoints::Checkpoints;
use crate::storage::error::Failure;
use crate::storage::submissions::{self, WriteContext};
use crate::storage::{AnyConnection, Connector, StoreError};

/// Longer than a COMMIT takes whose standby is there. PostgreSQL gives up waiting for a standby when
/// somebody cancels the statement (`pg_cancel_backend`): it then says COMMIT, and by a mere warning,
/// which does not come through here, that the transaction may be lost with this machine. Nobody cancels
/// what has not taken long.
const COMMIT_MAX: Duration = Duration::from_secs(2);

/// One writing connection.
pub struct DatabaseStore {
    connector: Connector,
    connection: AnyConnection,
    purpose: Purpose,
    clock: Arc<dyn Clock>,
    /// Where the database has a log that must go into its file.
    checkpoints: Option<Checkpoints>,
}

impl DatabaseStore {
    /// Connects. Where the database has no clock of its own, the one given is its clock.
    pub fn connect(
        connector: Connector,
        purpose: Purpose,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let connection = connector.connect(purpose)?;
        let checkpoints = connector.checkpoints();
        let mut store = Self { connector, connection, purpose, clock, checkpoints };
        if let Err(error) = store.settle() {
            tracing::warn!(%error, "the disk is full or failing: nothing is recorded until that is over");
        }
        Ok(store)
    }

    /// Before a commit: nothing that the disk may lack stands before it.
    fn settle(&mut self) -> Result<(), StoreError> {
        match &mut self.checkpoints {
            Some(checkpoints) => checkpoints.proceed(&mut self.connection),
            None => Ok(()),
        }
    }

    fn transaction(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, TransactionError> {
        let mut committing = Duration::MAX;
        let outcomes = self.connection.write_for(self.purpose, |c| {
            let context = WriteContext { begun_at: self.clock.now(), ..*context };
            let outcomes = submissions::write(c, batch, &context).map_err(TransactionError::Work)?;
            committing = self.clock.monotonic();
            Ok::<_, TransactionError>(outcomes)
        })?;
        let took = self.clock.monotonic().saturating_sub(committing);
        if took > COMMIT_MAX && waits_for_standby(&mut self.connection).map_err(TransactionError::Work)? {
            return Err(TransactionError::Unconfirmed(took));
        }
        Ok(outcomes)
    }
}

impl BatchStore for DatabaseStore {
    fn commit(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure> {
        self.settle().map_err(|error| match error {
            StoreError::Failed(failure, why) => BatchFailure::with(failure, why),
            other => BatchFailure::Exhausted(other.to_string()),
        })?;
        // A panic here would end the thread, and with it every later callback: it counts as a
        // refusal, which also replaces the connection it may have left in the middle of something.
        let written = match catch_unwind(AssertUnwindSafe(|| self.transaction(batch, context))) {
            Ok(result) => result.map_err(BatchFailure::from),
            Err(_) => Err(BatchFailure::Refused("a panic while writing".to_owned())),
        };
        // What went into files that have no name any more is lost with this process.
        let written = written.and_then(|outcomes| match self.connector.verify_files() {
            Ok(()) => Ok(outcomes),
            Err(error) => Err(BatchFailure::Exhausted(error.to_string())),
        });
        if let Some(checkpoints) = &mut self.checkpoints {
            match &written {
                Ok(_) => checkpoints.committed(batch.iter().map(Submission::len).sum()),
                Err(BatchFailure::Exhausted(_) | BatchFailure::Unknown(_)) => checkpoints.doubt(),
                Err(_) => {}
            }
        }
        written
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        self.connection = self.connector.connect(self.purpose)?;
        self.settle()
    }
}

/// Either part of a transaction may fail: the work, or BEGIN and COMMIT around it.
enum TransactionError {
    Work(StoreError),
    Frame(diesel::result::Error),
    /// COMMIT took so long that its wait for the standby may have been cancelled.
    Unconfirmed(Duration),
}

impl From<diesel::result::Error> for TransactionError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Frame(error)
    }
}

impl From<TransactionError> for BatchFailure {
    fn from(error: TransactionError) -> Self {
        let error = match error {
            TransactionError::Frame(error) => return Self::of(&error),
            TransactionError::Unconfirmed(took) => {
                return Self::Unconfirmed(format!(
                    "COMMIT took {:.1} s: its wait for the standby may have been cancelled",
                    took.as_secs_f64()
                ));
            }
            TransactionError::Work(error) => error,
        };
        match error {
            StoreError::Failed(failure, why) => Self::with(failure, why),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl BatchFailure {
    fn of(error: &diesel::result::Error) -> Self {
        Self::with(Failure::of(error), crate::storage::error::describe(error))
    }

    fn with(failure: Failure, why: String) -> Self {
        match failure {
            Failure::Lost => Self::Lost(why),
            Failure::Contended => Self::Contended(why),
            Failure::Unknown => Self::Unknown(why),
            Failure::Blocked => Self::Blocked { by_key: false, why },
            Failure::KeyBlocked => Self::Blocked { by_key: true, why },
            Failure::Late => Self::Late(why),
            Failure::Exhausted => Self::Exhausted(why),
            Failure::Refused => Self::Refused(why),
        }
    }
}
