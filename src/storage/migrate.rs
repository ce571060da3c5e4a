//! Migrations, safe from several instances at once: diesel takes no lock, so this does.

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{Connection, PgConnection, RunQueryDsl, SqliteConnection, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::error::describe;
use super::{AnyConnection, StoreError};

/// How often several instances may collide over the same catalogue entry.
const RACES_MAX: u32 = 5;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Applies what is pending, under the lock. Returns the names of what was applied.
pub fn run(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    match connection {
        AnyConnection::Postgres(c) => run_postgres(c),
        AnyConnection::Sqlite(c) => run_sqlite(c),
    }
}

/// The migrations that this binary has and the database lacks.
pub fn pending(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    // Asking makes diesel's own table if it is not there: an instance that is faster at it is no error.
    let mut tries = 0;
    loop {
        let found = match connection {
            AnyConnection::Postgres(c) => names(c.pending_migrations(POSTGRES)),
            AnyConnection::Sqlite(c) => names(c.pending_migrations(SQLITE)),
        };
        tries += 1;
        if found.is_ok() || tries > RACES_MAX {
            return found;
        }
    }
}

/// The migrations that were applied to the database, and that this binary does not have: its schema is newer.
pub fn unknown(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let applied = match connection {
        AnyConnection::Postgres(c) => c.applied_migrations(),
        AnyConnection::Sqlite(c) => c.applied_migrations(),
    };
    let mut unknown: Vec<String> = applied.map_err(failed)?.iter().map(ToString::to_string).collect();
    let own = MigrationSource::<diesel::sqlite::Sqlite>::migrations(&SQLITE).map_err(failed)?;
    unknown.retain(|version| own.iter().all(|one| one.name().version().to_string() != *version));
    unknown.sort();
    Ok(unknown)
}

/// Undoes the last migration: for the tests of the migrations.
pub fn revert_last(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let reverted = match connection {
        AnyConnection::Postgres(c) => c.revert_last_migration(POSTGRES).map(|_| ()),
        AnyConnection::Sqlite(c) => c.revert_last_migration(SQLITE).map(|_| ()),
    };
    reverted.map_err(failed)
}

/// How many migrations this binary has.
pub fn count() -> usize {
    MigrationSource::<diesel::sqlite::Sqlite>::migrations(&SQLITE).map_or(0, |all| all.len())
}

/// SQLite locks the whole file for the transaction; the harness's own savepoints lie within.
fn run_sqlite(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    connection.exclusive_transaction(|c| {
        let applied = c.run_pending_migrations(SQLITE).map_err(failed)?;
        Ok(applied.iter().map(ToString::to_string).collect())
    })
}

/// A row of a table of our own is the lock: advisory locks are stubs on some compatible engines.
fn run_postgres(connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    const TABLE: &str =
        "CREATE TABLE IF NOT EXISTS conversiond_migration_lock (id INTEGER NOT NULL PRIMARY KEY)";
    const ROW: &str = "INSERT INTO conversiond_migration_lock (id) VALUES (1) ON CONFLICT (id) DO NOTHING";
    const LOCK: &str = "SELECT id FROM conversiond_migration_lock WHERE id = 1 FOR UPDATE";
    create_table(connection, TABLE)?;
    sql_query(ROW).execute(connection)?;
    connection.transaction(|c| {
        sql_query(LOCK).execute(c)?;
        let applied = c.run_pending_migrations(POSTGRES).map_err(failed)?;
        Ok(applied.iter().map(ToString::to_string).collect())
    })
}

/// `IF NOT EXISTS` is not atomic in PostgreSQL: two sessions may both find nothing, and the later
/// one fails on the catalogue's unique index (23505) or on the table (42P07).
fn create_table(connection: &mut PgConnection, sql: &str) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        match connection.batch_execute(sql) {
            Err(DieselError::DatabaseError(
                DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::Unknown,
                info,
            )) if tries < RACES_MAX => {
                tries += 1;
                tracing::debug!(error = info.message(), "another instance makes the migration lock");
            }
            other => return other.map_err(StoreError::from),
        }
    }
}

fn names<DB: diesel::backend::Backend>(
    migrations: diesel::migration::Result<Vec<Box<dyn Migration<DB>>>>,
) -> Result<Vec<String>, StoreError> {
    migrations.map(|all| all.iter().map(|one| one.name().to_string()).collect()).map_err(failed)
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    match error.downcast::<DieselError>() {
        Ok(error) => StoreError::from(*error),
        Err(error) => StoreError::Unusable(format!("migration: {}", describe_any(error.as_ref()))),
    }
}

fn describe_any(error: &(dyn std::error::Error + 'static)) -> String {
    error.downcast_ref::<DieselError>().map_or_else(|| error.to_string(), describe)
}
