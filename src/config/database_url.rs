//! Which database, told by the URL's scheme alone: never by trying one after the other.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

use super::postgres_url;

/// `database.url`
#[derive(Clone)]
pub enum DatabaseUrl {
    /// `sqlite:PATH`
    Sqlite(PathBuf),
    /// `postgres://…`: it may hold a password.
    Postgres(SecretString),
}

/// The scheme is neither, or the path is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("database.url must be sqlite:PATH or postgres://…{0}")]
pub struct InvalidDatabaseUrl(&'static str);

impl DatabaseUrl {
    /// The database file, on SQLite.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        if let Some(rest) = rest {
            postgres_url::check(rest).map_err(InvalidDatabaseUrl)?;
            return Ok(Self::Postgres(text.to_owned().into()));
        }
        match text.strip_prefix("sqlite:") {
            Some(path) if path.starts_with("//") => Err(InvalidDatabaseUrl(": write sqlite:PATH without //")),
            Some("" | ":memory:") => {
                Err(InvalidDatabaseUrl(": SQLite needs a file, or nothing would be durable"))
            }
            Some(path) if !path.contains('\0') => Ok(Self::Sqlite(path.into())),
            _ => Err(InvalidDatabaseUrl("")),
        }
    }
}

impl<'de> serde::Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DatabaseUrl {
    /// The URL without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let url = url.expose_secret();
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
                let host_start = rest.get(..authority_end).and_then(|a| a.rfind('@')).map_or(0, |at| at + 1);
                let shown = rest.get(host_start..).unwrap_or("").split('?').next().unwrap_or("");
                write!(f, "postgres://{shown}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_schemes_are_taken() {
        assert!(matches!("sqlite:data/x.db".parse(), Ok(DatabaseUrl::Sqlite(_))));
        assert!(matches!("postgresql://h/db".parse(), Ok(DatabaseUrl::Postgres(_))));
        for text in
            ["", "data/x.db", "mysql://h/db", "sqlite://x.db", "sqlite:", "sqlite::memory:", "Postgres://h"]
        {
            assert!(text.parse::<DatabaseUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let url: DatabaseUrl = "postgres://me:p%40ss@host:5432/db?password=secret".parse().unwrap();
        assert_eq!(url.to_string(), "postgres://host:5432/db");
        assert!(!format!("{url:?}").contains("ss"));
    }
}
