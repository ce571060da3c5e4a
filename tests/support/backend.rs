//! A database per test.

use std::path::PathBuf;
use std::sync::Arc;

use figment::Figment;
use figment::providers::{Format as _, Toml};

use super::cluster::Cluster;
use conversiond::config::{Config, load_from};

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

impl Backend {
    /// PostgreSQL where it is installed.
    pub fn postgres() -> Option<Self> {
        Cluster::shared().map(|_| Self::Postgres)
    }

    /// A fresh, empty database.
    pub fn database(self) -> TestDatabase {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let url = match self {
            Self::Sqlite => format!("sqlite:{}", folder.path().join("test.db").display()),
            Self::Postgres => {
                let cluster = Cluster::shared().expect("PostgreSQL is installed");
                cluster.url(&cluster.create_database())
            }
        };
        TestDatabase { url, folder, export_behind_s: None }
    }
}

/// A database that is gone after the test.
#[derive(Clone)]
pub struct TestDatabase {
    pub url: String,
    folder: Arc<tempfile::TempDir>,
    /// How far behind the present exports end, however little that is.
    export_behind_s: Option<u32>,
}

impl TestDatabase {
    /// A database at this URL.
    pub fn at(url: String) -> Self {
        Self { url, folder: Arc::new(tempfile::tempdir().unwrap()), export_behind_s: None }
    }

    /// The same at another URL.
    pub fn at_url(&self, url: String) -> Self {
        Self { url, ..self.clone() }
    }

    /// The same, whose services export all but the newest seconds.
    pub fn exported_behind(self, seconds: u32) -> Self {
        Self { export_behind_s: Some(seconds), ..self }
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The configuration of a service on it, on free ports, with further settings over it.
    pub fn config(&self, settings: &str) -> Config {
        let base = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [database]\nurl = \"{}\"\n[keys]\nrefresh_s = 1\n",
            self.url
        );
        let mut config = load_from(Figment::from(Toml::string(&base)).merge(Toml::string(settings))).unwrap();
        if let Some(seconds) = self.export_behind_s {
            config.export.behind_s = seconds;
        }
        config
    }
}
