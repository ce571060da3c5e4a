//! The connection type.

use diesel::{PgConnection, SqliteConnection};

/// A connection to either database. Never made by the derived `establish`, which would try one
/// backend after the other.
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// PostgreSQL, or what speaks its language.
    Postgres(PgConnection),
    /// The embedded database.
    Sqlite(SqliteConnection),
}
