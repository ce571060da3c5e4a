//! A second server that follows the first, and may take its place.

use std::io::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

use super::cluster::{Cluster, as_user, folder_of, free_port, guard};

impl Cluster {
    /// A standby that follows this server by this port, which leads to it.
    pub fn standby(&self, way: u16) -> Self {
        let folder = folder_of(self.user).keep();
        let port = free_port();
        let mut copy = Command::new(self.binaries.join("pg_basebackup"));
        copy.current_dir(&folder).arg("-D").arg(folder.join("data"));
        copy.args(["-h", "127.0.0.1", "-p", &way.to_string(), "-U", "conversiond"]);
        copy.args(["-X", "stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf"]);
        let output = as_user(&mut copy, self.user).output().expect("pg_basebackup runs");
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        // The last of a setting counts. Once it is the first server it waits for nobody.
        let settings = folder.join("data/postgresql.auto.conf");
        let mut settings = std::fs::OpenOptions::new().append(true).open(settings).unwrap();
        let own = format!(
            "\nport = {port}\nsynchronous_standby_names = ''\nwal_retrieve_retry_interval = '100ms'\n"
        );
        settings.write_all(own.as_bytes()).unwrap();
        let guardian = guard(&self.binaries, &folder, self.user);
        let (binaries, user) = (self.binaries.clone(), self.user);
        let standby = Self { binaries, folder, port, user, guardian: Mutex::new(guardian) };
        standby.wait_until_up();
        standby
    }

    /// From now on a COMMIT is confirmed when a standby has it on its disk, which is there.
    pub fn require_standby(&self) {
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.execute("SELECT pg_reload_conf()");
        let there = "DO $$ BEGIN ASSERT (SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'); \
             END $$";
        for _ in 0..1_000 {
            let mut admin = PgConnection::establish(&self.url("postgres")).unwrap();
            if admin.batch_execute(there).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no standby has come:\n{}", self.log());
    }

    /// Makes a standby the first server.
    pub fn promote(&self) {
        self.execute("SELECT pg_promote()");
    }

    fn execute(&self, sql: &str) {
        PgConnection::establish(&self.url("postgres")).unwrap().batch_execute(sql).unwrap();
    }
}
