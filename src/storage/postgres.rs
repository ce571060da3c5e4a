//! PostgreSQL: connections that notice a dead peer, and settings without which an answer would not
//! mean on disk.

use diesel::connection::CacheSize;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query, sql_types};
use secrecy::{ExposeSecret, SecretString};

use super::StoreError;
use super::error::one_line;
use crate::config::{Database, postgres_url};

/// Connects. Whatever the URL sets itself stays as it says.
pub fn connect(url: &SecretString, settings: &Database) -> Result<PgConnection, StoreError> {
    let full = with_defaults(url.expose_secret(), settings.connect_timeout_s);
    let mut connection = PgConnection::establish(&full).map_err(|error| unavailable(&error, url))?;
    if !settings.prepared_statements {
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
    }
    check_settings(&mut connection)?;
    Ok(connection)
}

/// What libpq says, which repeats what it cannot use, without any part of a password.
fn unavailable(error: &diesel::ConnectionError, url: &SecretString) -> StoreError {
    let mut secrets = postgres_url::passwords(url);
    secrets.extend(std::env::var("PGPASSWORD").ok().map(SecretString::from));
    StoreError::Unavailable(postgres_url::redact(&one_line(&error.to_string()), &secrets))
}

/// The URL with what libpq leaves to chance: without these a vanished server holds a connection
/// for hours, and a demoted primary is taken for the real one.
fn with_defaults(url: &str, connect_timeout_s: u64) -> SecretUrl {
    let defaults = [
        ("application_name", "conversiond".to_owned()),
        ("connect_timeout", connect_timeout_s.to_string()),
        ("keepalives_idle", "10".to_owned()),
        ("keepalives_interval", "5".to_owned()),
        ("keepalives_count", "3".to_owned()),
        ("tcp_user_timeout", "15000".to_owned()),
        ("target_session_attrs", "read-write".to_owned()),
    ];
    let mut text = url.to_owned();
    for (name, value) in defaults {
        if !url.split_once('?').is_some_and(|(_, query)| query.contains(&format!("{name}="))) {
            let separator = if text.contains('?') { '&' } else { '?' };
            text.push_str(&format!("{separator}{name}={value}"));
        }
    }
    zeroize::Zeroizing::new(text)
}

type SecretUrl = zeroize::Zeroizing<String>;

#[derive(QueryableByName)]
struct Durability {
    #[diesel(sql_type = sql_types::Text)]
    synchronous_commit: String,
    #[diesel(sql_type = sql_types::Text)]
    fsync: String,
    #[diesel(sql_type = sql_types::Text)]
    server_encoding: String,
}

/// Refuses settings without which a confirmed commit may not be on disk, or an id not storable.
pub fn check_settings(connection: &mut PgConnection) -> Result<(), StoreError> {
    let found: Durability = sql_query(
        "SELECT current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync, \
         current_setting('server_encoding') AS server_encoding",
    )
    .get_result(connection)?;
    if found.server_encoding != "UTF8" {
        return Err(StoreError::Unusable(format!(
            "the database's encoding is {}: ids may hold any character, so it must be UTF8",
            found.server_encoding
        )));
    }
    for (name, value) in [("synchronous_commit", found.synchronous_commit), ("fsync", found.fsync)] {
        if value == "off" {
            return Err(StoreError::Unusable(format!(
                "PostgreSQL runs with {name} = off: what it confirms may not be on disk; turn it on"
            )));
        }
    }
    Ok(())
}

/// Whether a COMMIT waits for a synchronous standby. A setting that an engine does not know is not set.
pub fn waits_for_standby(connection: &mut PgConnection) -> Result<bool, StoreError> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = sql_types::Bool)]
        waits: bool,
    }
    let found: Found = sql_query(
        "SELECT coalesce(current_setting('synchronous_standby_names', true), '') <> '' \
         AND current_setting('synchronous_commit') <> 'local' AS waits",
    )
    .get_result(connection)?;
    Ok(found.waits)
}

/// How a connection reaches its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// By this version of TLS.
    Encrypted(String),
    /// In clear text, within this machine.
    Local,
    /// In clear text, over a network.
    Plain,
}

/// How this connection reaches the server, as the server says.
pub fn link(connection: &mut PgConnection) -> Result<Link, StoreError> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
        protocol: Option<String>,
        #[diesel(sql_type = sql_types::Bool)]
        local: bool,
    }
    let found: Found = sql_query(
        "SELECT (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS protocol, \
         coalesce(inet_server_addr() <<= ANY ('{127.0.0.0/8,::1/128}'::inet[]), true) AS local",
    )
    .get_result(connection)?;
    Ok(match found.protocol {
        Some(protocol) => Link::Encrypted(protocol),
        None if found.local => Link::Local,
        None => Link::Plain,
    })
}
