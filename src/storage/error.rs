//! What can go wrong between the service and its database, by what a caller can do about it.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Why the store gave no answer. Its text is for logs, never for callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database is away, or lost on the way: whether anything was written is unknown.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Too much is waiting already; nothing was taken.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// The service is shutting down; nothing was taken.
    #[error("shutting down")]
    ShuttingDown,
    /// A statement failed.
    #[error("the database failed: {1}")]
    Failed(Failure, String),
    /// The database, or the service's own code, refused this and nothing else: a bug.
    #[error("refused by the database: {0}")]
    Refused(String),
    /// What lies in the database cannot be read, or a setting forbids going on.
    #[error("{0}")]
    Unusable(String),
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        Self::Failed(Failure::of(&error), describe(&error))
    }
}

impl From<diesel::ConnectionError> for StoreError {
    fn from(error: diesel::ConnectionError) -> Self {
        Self::Unavailable(one_line(&error.to_string()))
    }
}

/// A failed transaction, by what the writer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The connection is gone or of no use (08*, 57P0x, 25006): reconnect, run it again.
    Lost,
    /// Another transaction was in the way (40001, `SQLITE_BUSY`): run it again.
    Contended,
    /// A row is locked by somebody who does not let go (55P03): the others must not wait for it.
    Blocked,
    /// The same, and what is locked is an idempotency key: the request that has it still runs.
    KeyBlocked,
    /// It came too late to be recorded under its id (`events`): nothing was written.
    Late,
    /// The disk is full or failing: every transaction would fail.
    Exhausted,
    /// One row's fault: a constraint, or a value that cannot be written or read.
    Refused,
    /// Anything else.
    Unknown,
}

impl Failure {
    /// Sorts an error. diesel tells few SQLSTATEs apart; what it does not know is
    /// [`Failure::Unknown`], whose treatment (new connection, once more, then halves) is right for
    /// deadlocks, lock time-outs and stale plans too.
    pub fn of(error: &DieselError) -> Self {
        let DieselError::DatabaseError(kind, info) = error else {
            return match error {
                // A lost connection or a failing disk at COMMIT fails the rollback after it, too.
                DieselError::RollbackErrorOnCommit { commit_error, .. } => Self::of(commit_error),
                DieselError::BrokenTransactionManager
                | DieselError::NotInTransaction
                | DieselError::AlreadyInTransaction => Self::Lost,
                _ => Self::Refused,
            };
        };
        match kind {
            DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::ReadOnlyTransaction => Self::Lost,
            DatabaseErrorKind::SerializationFailure => Self::Contended,
            DatabaseErrorKind::UniqueViolation
            | DatabaseErrorKind::ForeignKeyViolation
            | DatabaseErrorKind::NotNullViolation
            | DatabaseErrorKind::CheckViolation => Self::Refused,
            _ => Self::of_message(info.message()),
        }
    }

    /// SQLite's messages are fixed per result code (`sqlite3_errstr`). PostgreSQL's may be in
    /// another language; what they would have told is then found out by halving.
    fn of_message(message: &str) -> Self {
        match message {
            "database is locked" | "database table is locked" | "deadlock detected" => Self::Contended,
            "canceling statement due to lock timeout" => Self::Blocked,
            "database or disk is full"
            | "disk I/O error"
            | "attempt to write a readonly database"
            | "unable to open database file" => Self::Exhausted,
            _ => Self::Unknown,
        }
    }
}

/// An error as one line for the log.
pub fn describe(error: &DieselError) -> String {
    one_line(&error.to_string())
}

/// A text as one line.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: DatabaseErrorKind, message: &str) -> DieselError {
        DieselError::DatabaseError(kind, Box::new(message.to_owned()))
    }

    #[test]
    fn a_failed_commit_is_what_failed_it_whatever_became_of_the_rollback() {
        for (kind, message, expected) in [
            (DatabaseErrorKind::ClosedConnection, "server closed the connection", Failure::Lost),
            (DatabaseErrorKind::Unknown, "disk I/O error", Failure::Exhausted),
            (DatabaseErrorKind::SerializationFailure, "could not serialize", Failure::Contended),
            (DatabaseErrorKind::Unknown, "something else", Failure::Unknown),
        ] {
            let failed = DieselError::RollbackErrorOnCommit {
                rollback_error: Box::new(error(DatabaseErrorKind::Unknown, "no transaction is active")),
                commit_error: Box::new(error(kind, message)),
            };
            assert_eq!(Failure::of(&failed), expected, "{message}");
        }
    }

    #[test]
    fn only_constraints_and_unwritable_values_are_one_rows_fault() {
        assert_eq!(Failure::of(&error(DatabaseErrorKind::CheckViolation, "")), Failure::Refused);
        assert_eq!(
            Failure::of(&error(DatabaseErrorKind::Unknown, "could not extend file")),
            Failure::Unknown
        );
        assert_eq!(Failure::of(&DieselError::AlreadyInTransaction), Failure::Lost);
    }
}
