//! What commands share: configuration, database, master key, time.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::Failure;
use super::output::Output;
use crate::config::{self, Config};
use crate::domain::time::Clock as _;
use crate::domain::vault::MasterKeyRing;
use crate::keyring::{MasterKeySource, load_master_key};
use crate::storage::{AnyConnection, Connector, Purpose, migrate};
use crate::system::{SystemClock, SystemEntropy};

/// The surroundings of a command.
pub struct Context {
    /// The settings.
    pub config: Config,
    /// Where results go.
    pub output: Output,
}

impl Context {
    /// Reads the configuration.
    pub fn new(file: Option<&Path>, json: bool) -> Result<Self, Failure> {
        Ok(Self { config: config::load(file)?, output: Output::new(json) })
    }

    /// Opens the database, migrated unless that is turned off.
    pub fn database(&self) -> Result<AnyConnection, Failure> {
        let mut connection = Connector::new(self.config.database.clone()).connect(Purpose::Write)?;
        if self.config.database.migrate {
            migrate::run(&mut connection)?;
        }
        Ok(connection)
    }

    /// Finds the master key, or makes it on SQLite's first use.
    pub fn master_key(&self) -> Result<MasterKeyRing, Failure> {
        Ok(load_master_key(&self.master_key_source(), &SystemEntropy)?)
    }

    /// Where the master key is looked for.
    pub fn master_key_source(&self) -> MasterKeySource {
        MasterKeySource {
            file: self.config.security.master_key_file.clone(),
            sqlite: self.config.database.url.sqlite_path().map(Path::to_owned),
        }
    }

    /// The present.
    pub fn now(&self) -> DateTime<Utc> {
        crate::domain::time::cut_to_micros(SystemClock.now())
    }
}
