//! Fresh databases with the cast in them, and what they can be asked about themselves.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use conversiond::config::load_from;
use conversiond::storage::{AnyConnection, Connector, Purpose, migrate};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, sql_query, sql_types};
use figment::Figment;
use figment::providers::{Format as _, Toml};

use super::cast::Cast;
use super::cluster::Cluster;
use super::process::{self, Cpu};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// The cluster that a benchmark starts for itself.
    Postgres,
}

/// Where databases are made.
pub struct Databases {
    folder: tempfile::TempDir,
    cluster: Option<Cluster>,
    number: Cell<u32>,
}

/// The cluster's settings that are not PostgreSQL's own. What makes a commit durable is left as it is.
const CLUSTER: [&str; 2] = ["shared_buffers = '512MB'", "max_wal_size = '4GB'"];

/// What is told of the cluster.
const TOLD: [&str; 6] =
    ["fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size"];

/// One database.
pub struct Database {
    /// Which.
    pub kind: Kind,
    /// Its URL.
    pub url: String,
    file: PathBuf,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = sql_types::Text)]
    answer: String,
}

impl Databases {
    /// Starts PostgreSQL, where it is installed, and makes the templates of both.
    pub fn new(cast: &Cast) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let databases = Self { folder, cluster: Cluster::start(&CLUSTER), number: Cell::new(0) };
        for kind in [Kind::Sqlite, Kind::Postgres] {
            let Some(template) = databases.named(kind, "template") else { continue };
            if kind == Kind::Postgres {
                databases.admin("CREATE DATABASE template");
            }
            let mut connection = template.connect();
            migrate::run(&mut connection).expect("migrated");
            // A template need not be on disk row by row.
            connection
                .batch_execute(match kind {
                    Kind::Sqlite => "PRAGMA synchronous = OFF",
                    Kind::Postgres => "SET synchronous_commit = off",
                })
                .expect("set");
            cast.plant(&mut connection);
        }
        databases
    }

    /// A database with nothing but the cast; `None` where PostgreSQL is not installed.
    pub fn fresh(&self, kind: Kind) -> Option<Database> {
        let number = self.number.replace(self.number.get() + 1);
        let name = format!("bench{number}");
        let database = self.named(kind, &name)?;
        match kind {
            Kind::Sqlite => {
                std::fs::copy(self.folder.path().join("template.db"), &database.file).expect("a copy");
            }
            // The checkpoint that the other strategy makes would be felt later.
            Kind::Postgres => self.admin(&format!("CREATE DATABASE {name} TEMPLATE template")),
        }
        Some(database)
    }

    /// A database with nothing in it, not even a schema.
    pub fn empty(&self, kind: Kind) -> Option<Database> {
        let number = self.number.replace(self.number.get() + 1);
        let name = format!("bench{number}");
        let database = self.named(kind, &name)?;
        if kind == Kind::Postgres {
            self.admin(&format!("CREATE DATABASE {name}"));
        }
        Some(database)
    }

    /// The cluster's settings, by name; empty where there is none.
    pub fn settings(&self) -> Vec<(String, String)> {
        let Some(database) = self.named(Kind::Postgres, "postgres") else { return Vec::new() };
        let mut watch = Watch::new(&database);
        let told = ["server_version"].into_iter().chain(TOLD);
        told.map(|name| (name.to_owned(), watch.ask(&format!("current_setting('{name}')")))).collect()
    }

    /// Where everything lies.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn named(&self, kind: Kind, name: &str) -> Option<Database> {
        let file = self.folder.path().join(format!("{name}.db"));
        let url = match kind {
            Kind::Sqlite => format!("sqlite:{}", file.display()),
            Kind::Postgres => self.cluster.as_ref()?.url(name),
        };
        Some(Database { kind, url, file })
    }

    fn admin(&self, statement: &str) {
        let cluster = self.cluster.as_ref().expect("asked for where it is");
        let mut admin = PgConnection::establish(&cluster.url("postgres")).expect("PostgreSQL answers");
        admin.batch_execute(statement).expect(statement);
    }
}

impl Database {
    /// A connection that writes.
    pub fn connect(&self) -> AnyConnection {
        let text = format!("[database]\nurl = \"{}\"\n", self.url);
        let config = load_from(Figment::from(Toml::string(&text))).expect("a valid configuration");
        Connector::new(config.database).connect(Purpose::Write).expect("a connection")
    }

    /// Removes it.
    pub fn remove(self, databases: &Databases) {
        match self.kind {
            Kind::Sqlite => {
                for file in [&self.file, &self.log()] {
                    let _ = std::fs::remove_file(file);
                }
            }
            Kind::Postgres => {
                let name = self.url.rsplit('/').next().unwrap_or_default();
                databases.admin(&format!("DROP DATABASE {name} WITH (FORCE)"));
            }
        }
    }

    fn log(&self) -> PathBuf {
        self.file.with_extension("db-wal")
    }
}

/// Looks at a database while it works, without being in its way.
pub struct Watch {
    postgres: Option<(PgConnection, u32)>,
    files: [PathBuf; 2],
}

impl Watch {
    /// On this one.
    pub fn new(database: &Database) -> Self {
        let postgres = (database.kind == Kind::Postgres).then(|| {
            let mut connection = PgConnection::establish(&database.url).expect("PostgreSQL answers");
            let backend: Answer = sql_query("SELECT pg_backend_pid()::text AS answer")
                .get_result(&mut connection)
                .expect("its id");
            (connection, process::parent(backend.answer.parse().expect("a number")))
        });
        Self { postgres, files: [database.file.clone(), database.log()] }
    }

    /// The bytes it takes on disk, PostgreSQL's log left out.
    pub fn size(&mut self) -> u64 {
        match self.postgres {
            Some(_) => self.number("pg_database_size(current_database())"),
            None => self.files.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum(),
        }
    }

    /// How many bytes PostgreSQL has written into its log so far.
    pub fn log_position(&mut self) -> Option<u64> {
        self.postgres.is_some().then(|| self.number("pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))
    }

    /// What all of PostgreSQL's processes have used so far.
    pub fn cpu(&self) -> Cpu {
        self.postgres.as_ref().map(|(_, postmaster)| process::cpu_of_family(*postmaster)).unwrap_or_default()
    }

    fn number(&mut self, expression: &str) -> u64 {
        self.ask(expression).parse().expect("a number")
    }

    fn ask(&mut self, expression: &str) -> String {
        let (connection, _) = self.postgres.as_mut().expect("on PostgreSQL");
        let answer: Answer = sql_query(format!("SELECT ({expression})::text AS answer"))
            .get_result(connection)
            .expect("an answer");
        answer.answer
    }
}
