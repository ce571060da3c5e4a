//! pgbouncer between a service and PostgreSQL, in transaction mode, gone with the test.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diesel::{Connection as _, PgConnection};

use super::TestDatabase;
use super::cluster::{as_user, folder_of, free_port, unprivileged};
use super::programs::for_faults;

/// Runs the pooler until standard input ends, then kills it.
const GUARDIAN: &str = r#"
"$1" -q "$2/pgbouncer.ini" >>"$2/log" 2>&1 & pooler=$!
cat >/dev/null
kill -KILL "$pooler" 2>/dev/null
wait "$pooler"
"#;

/// A pooler, running or killed.
pub struct Pooler {
    program: PathBuf,
    folder: tempfile::TempDir,
    /// The port behind it.
    database: u16,
    port: u16,
    guardian: Option<Child>,
}

impl Pooler {
    /// A running one before this port, with so many connections to it for each database; `None` where
    /// pgbouncer is not installed.
    pub fn start(database: u16, connections: usize) -> Option<Self> {
        let program = for_faults("pgbouncer", "Debian's pgbouncer")?;
        let folder = folder_of(unprivileged());
        let port = free_port();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={database} user=conversiond\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {connections}\n\
             max_client_conn = 200\nserver_login_retry = 1\n"
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        let mut pooler = Self { program, folder, database, port, guardian: None };
        pooler.start_again();
        Some(pooler)
    }

    /// A database's address by this way.
    pub fn way_to(&self, database: &TestDatabase) -> TestDatabase {
        let (direct, pooled) = (format!(":{}/", self.database), format!(":{}/", self.port));
        assert!(database.url.contains(&direct), "{} is not behind the pooler", database.url);
        database.at_url(database.url.replace(&direct, &pooled))
    }

    /// Kills it, and all connections with it.
    pub fn kill(&mut self) {
        if let Some(mut guardian) = self.guardian.take() {
            drop(guardian.stdin.take());
            guardian.wait().unwrap();
        }
    }

    /// Starts it again, and waits until it answers.
    pub fn start_again(&mut self) {
        let mut shell = Command::new("sh");
        shell.current_dir(self.folder.path()).args(["-c", GUARDIAN, "guardian"]).arg(&self.program);
        shell.arg(self.folder.path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Of its own, as the servers' guardians.
        let guardian = as_user(&mut shell, unprivileged()).process_group(0).spawn();
        self.guardian = Some(guardian.expect("the guardian starts"));
        let url = format!("postgres://conversiond@127.0.0.1:{}/postgres", self.port);
        for _ in 0..600 {
            if PgConnection::establish(&url).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("pgbouncer did not start:\n{log}");
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.kill();
    }
}
