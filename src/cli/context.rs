//! What commands share: configuration, database, master key, time.

use std::path::Path;

use chrono::{DateTime, Utc};

use super::output::Output;
use super::{Failure, output};
use crate::config::{self, Config};
use crate::domain::time::Clock as _;
use crate::domain::vault::MasterKeyRing;
use crate::keyring::{Loader, MasterKeySource, Strictness, load_master_key};
use crate::storage::{AnyConnection, Connector, Purpose, keys, migrate};
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
            for name in migrate::run(&mut connection)? {
                tracing::info!(name, "migrated");
            }
        }
        Ok(connection)
    }

    /// Finds the master key, or makes it on SQLite's first use. All that lies in the database opens and
    /// verifies with it.
    pub fn master_key(&self, connection: &mut AnyConnection) -> Result<MasterKeyRing, Failure> {
        self.master_key_for(connection, Strictness::All)
    }

    /// The same for a command that takes out of force what was tampered with: not all need verify.
    pub fn master_key_to_end_keys(&self, connection: &mut AnyConnection) -> Result<MasterKeyRing, Failure> {
        self.master_key_for(connection, Strictness::Any)
    }

    fn master_key_for(
        &self,
        connection: &mut AnyConnection,
        strictness: Strictness,
    ) -> Result<MasterKeyRing, Failure> {
        let migrated = migrate::pending(connection)?.is_empty();
        let sealed = migrated && keys::any_sealed(connection)?;
        let source = self.master_key_source(!sealed);
        let ring = load_master_key(&source, &SystemEntropy)?;
        if let Some(path) = source.open_to_its_group() {
            output::warning(&format!("{0}: its group may read it; run: chmod 600 {0}", path.display()));
        }
        if sealed {
            Loader::check(&ring, connection, strictness, self.now(), &SystemEntropy)?;
        }
        Ok(ring)
    }

    /// Where the master key is looked for.
    pub fn master_key_source(&self, may_make: bool) -> MasterKeySource {
        MasterKeySource {
            may_make,
            file: self.config.security.master_key_file.clone(),
            sqlite: self.config.database.url.sqlite_path().map(Path::to_owned),
        }
    }

    /// The present.
    pub fn now(&self) -> DateTime<Utc> {
        crate::domain::time::cut_to_micros(SystemClock.now())
    }
}
