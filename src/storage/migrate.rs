//! Migrations, safe from several instances at once: diesel takes no lock, so this does.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, SqliteConnection, sql_query, sql_types,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::error::describe;
use super::{AnyConnection, StoreError};

/// How often several instances may collide over the same catalogue entry.
const RACES_MAX: u32 = 5;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Applies what is pending, under the lock. Returns the names of what was applied. Where nothing is
/// pending it only reads, which needs no right to change the schema.
pub fn run(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    if pending(connection)?.is_empty() {
        return Ok(Vec::new());
    }
    match connection {
        AnyConnection::Postgres(c) => run_postgres(c),
        AnyConnection::Sqlite(c) => run_sqlite(c),
    }
}

/// The migrations that this binary has and the database lacks. It only reads: diesel's own way of asking
/// creates its table, which the role that serves may not.
pub fn pending(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let applied = applied(connection)?;
    match connection {
        AnyConnection::Postgres(_) => missing::<diesel::pg::Pg>(&POSTGRES, &applied),
        AnyConnection::Sqlite(_) => missing::<diesel::sqlite::Sqlite>(&SQLITE, &applied),
    }
}

/// The versions that the database has recorded as applied.
fn applied(connection: &mut AnyConnection) -> Result<BTreeSet<String>, StoreError> {
    const POSTGRES_HAS: &str = "SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL AS there";
    const SQLITE_HAS: &str = "SELECT count(*) > 0 AS there FROM sqlite_master \
         WHERE type = 'table' AND name = '__diesel_schema_migrations'";
    const APPLIED: &str = "SELECT version FROM __diesel_schema_migrations";
    let there = match connection {
        AnyConnection::Postgres(c) => sql_query(POSTGRES_HAS).get_result::<Table>(c)?.there,
        AnyConnection::Sqlite(c) => sql_query(SQLITE_HAS).get_result::<Table>(c)?.there,
    };
    let versions: Vec<Applied> = match connection {
        _ if !there => Vec::new(),
        AnyConnection::Postgres(c) => sql_query(APPLIED).load(c)?,
        AnyConnection::Sqlite(c) => sql_query(APPLIED).load(c)?,
    };
    Ok(versions.into_iter().map(|applied| applied.version).collect())
}

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = sql_types::Bool)]
    there: bool,
}

#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = sql_types::Text)]
    version: String,
}

/// The names of the source's migrations that are not among these, in their order.
fn missing<DB: diesel::backend::Backend>(
    source: &EmbeddedMigrations,
    applied: &BTreeSet<String>,
) -> Result<Vec<String>, StoreError> {
    let all: Vec<Box<dyn Migration<DB>>> = MigrationSource::<DB>::migrations(source).map_err(failed)?;
    let lacking =
        all.iter().map(|one| one.name()).filter(|name| !applied.contains(&name.version().to_string()));
    let mut names: Vec<String> = lacking.map(ToString::to_string).collect();
    names.sort_unstable();
    Ok(names)
}

/// The migrations that were applied to the database, and that this binary does not have: its schema is newer.
pub fn unknown(connection: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let mut unknown: Vec<String> = applied(connection)?.into_iter().collect();
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

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    match error.downcast::<DieselError>() {
        Ok(error) => StoreError::from(*error),
        Err(error) => StoreError::Unusable(format!("migration: {}", describe_any(error.as_ref()))),
    }
}

fn describe_any(error: &(dyn std::error::Error + 'static)) -> String {
    error.downcast_ref::<DieselError>().map_or_else(|| error.to_string(), describe)
}
