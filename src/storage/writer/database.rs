//! The store behind the writer: a connection to the real database.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{BatchFailure, BatchStore};
use crate::domain::submission::{Submission, SubmissionOutcome};
use crate::domain::time::Clock;
use crate::storage::backend::Purpose;
use crate::storage::error::Failure;
use crate::storage::submissions::{self, WriteContext};
use crate::storage::{AnyConnection, Connector, StoreError};

/// One writing connection.
pub struct DatabaseStore {
    connector: Connector,
    connection: AnyConnection,
    purpose: Purpose,
    clock: Arc<dyn Clock>,
    /// Whether a write has failed so that the disk may lack more than was refused.
    doubtful: bool,
}

impl DatabaseStore {
    /// Connects. Where the database has no clock of its own, the one given is its clock.
    pub fn connect(
        connector: Connector,
        purpose: Purpose,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let connection = connector.connect(purpose)?;
        Ok(Self { connector, connection, purpose, clock, doubtful: false })
    }

    fn transaction(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, TransactionError> {
        self.connection.write_for(self.purpose, |c| {
            let context = WriteContext { begun_at: self.clock.now(), ..*context };
            submissions::write(c, batch, &context).map_err(TransactionError::Work)
        })
    }
}

impl BatchStore for DatabaseStore {
    fn commit(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure> {
        // A panic here would end the thread, and with it every later callback: it counts as a
        // refusal, which also replaces the connection it may have left in the middle of something.
        let written = match catch_unwind(AssertUnwindSafe(|| self.transaction(batch, context))) {
            Ok(result) => result.map_err(BatchFailure::from),
            Err(_) => Err(BatchFailure::Refused("a panic while writing".to_owned())),
        };
        self.doubtful |= matches!(written, Err(BatchFailure::Exhausted(_) | BatchFailure::Unknown(_)));
        written
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        self.connection = self.connector.connect(self.purpose)?;
        if self.doubtful {
            self.connector.settle(&mut self.connection)?;
            self.doubtful = false;
        }
        Ok(())
    }
}

/// Either part of a transaction may fail: the work, or BEGIN and COMMIT around it.
enum TransactionError {
    Work(StoreError),
    Frame(diesel::result::Error),
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
