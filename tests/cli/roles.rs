//! PostgreSQL as compose.yaml sets it up: its secrets, its two roles, its TLS. One role owns the schema,
//! and the one that serves changes rows alone.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::shell::{Ran, caller, finish};
use crate::support::caller::unix_now;
use crate::support::cluster::{Cluster, unprivileged};
use crate::support::process::{ServeProcess, command};
use crate::support::{TestDatabase, eventually};

/// The shipped scripts.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/compose").join(name)
}

/// A server with the shipped secrets, roles and rules of who may come in.
struct Compose {
    cluster: Cluster,
    secrets: tempfile::TempDir,
}

impl Compose {
    fn start() -> Option<Self> {
        let secrets = tempfile::tempdir().unwrap();
        // The server's user reads its own files in there, as a container's does.
        std::fs::set_permissions(secrets.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        make_secrets(secrets.path());
        let file = |name: &str| secrets.path().join(name).display().to_string();
        let settings = [
            "ssl = on".to_owned(),
            format!("ssl_cert_file = '{}'", file("postgres.crt")),
            format!("ssl_key_file = '{}'", file("postgres.key")),
            format!("unix_socket_directories = '{}'", std::env::temp_dir().display()),
        ];
        let cluster = Cluster::start(&settings.each_ref().map(String::as_str))?;
        let compose = Self { cluster, secrets };
        compose.as_superuser("CREATE DATABASE conversiond").done();
        let mut roles = Command::new(script("roles.sh"));
        roles.env("SECRETS", compose.secrets.path()).env("PGDATA", compose.cluster.data_folder());
        roles.env("POSTGRES_USER", "conversiond").env("POSTGRES_DB", "conversiond");
        roles.env("PGHOST", "127.0.0.1").env("PGPORT", compose.cluster.port().to_string());
        finish(roles).done();
        compose.as_superuser("SELECT pg_reload_conf()").done();
        Some(compose)
    }

    /// A statement of the superuser's, by the socket.
    fn as_superuser(&self, sql: &str) -> Ran {
        let mut psql = Command::new("psql");
        psql.args(["-qX", "-h"]).arg(std::env::temp_dir()).args(["-p", &self.cluster.port().to_string()]);
        psql.args(["-U", "conversiond", "-d", "postgres", "-c", sql]);
        finish(psql)
    }

    /// The database for a role, as compose.yaml names it; the server's name leads to this machine.
    fn url(&self, role: &str, sslmode: &str) -> String {
        let certificate = self.secrets.path().join("postgres.crt");
        format!(
            "postgres://conversiond_{role}@postgres:{}/conversiond?hostaddr=127.0.0.1&sslmode={sslmode}\
             &sslrootcert={}",
            self.cluster.port(),
            certificate.display()
        )
    }

    /// A command of this role's.
    fn command(&self, database: &TestDatabase, role: &str, arguments: &[&str]) -> Command {
        let mut command = command(database, arguments);
        command.env("PGPASSFILE", self.secrets.path().join(format!("{role}.pgpass")));
        command.env("CONVERSIOND__DATABASE__MIGRATE", "false");
        command
    }

    /// A statement of this role's.
    fn sql(&self, role: &str, sslmode: &str, sql: &str) -> Ran {
        let mut psql = Command::new("psql");
        psql.env("PGPASSFILE", self.secrets.path().join(format!("{role}.pgpass")));
        psql.args(["-qAtX", "-d", &self.url(role, sslmode), "-c", sql]);
        finish(psql)
    }
}

fn make_secrets(folder: &Path) {
    let own = nix::unistd::geteuid().as_raw();
    let postgres = unprivileged().map_or(own, |(user, _)| user);
    let mut make = Command::new(script("make-secrets.sh"));
    make.arg(folder).env("SERVICE_UID", own.to_string()).env("POSTGRES_UID", postgres.to_string());
    finish(make).done();
}

#[test]
fn secrets_are_made_once_and_each_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let read = || {
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    make_secrets(folder.path());
    let made = read();
    assert_eq!(made.len(), 8);
    for (path, _) in &made {
        let mode = std::fs::metadata(path).unwrap().mode() & 0o777;
        let public = path.ends_with("postgres.crt");
        assert_eq!(mode, if public { 0o444 } else { 0o400 }, "{}", path.display());
    }
    let ring = std::fs::read_to_string(folder.path().join("master-key")).unwrap();
    ring.parse::<conversiond::domain::vault::MasterKeyRing>().unwrap();
    make_secrets(folder.path());
    assert_eq!(read(), made, "what is there stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_that_serves_does_all_that_a_service_does_and_cannot_change_the_schema() {
    let Some(compose) = Compose::start() else { return };
    let migrate = TestDatabase::at(compose.url("migrate", "verify-full"));
    let serve = TestDatabase::at(compose.url("serve", "verify-full"));
    // Before the migration it only says what is missing.
    let early = finish(compose.command(&serve, "serve", &["serve"]));
    assert!(early.code == Some(1) && early.err.contains("conversiond migrate"), "{early:?}");
    let refused = finish(compose.command(&serve, "serve", &["migrate"]));
    refused.failed_saying(&["permission denied"]);
    finish(compose.command(&migrate, "migrate", &["migrate"])).done();

    let as_serve = |arguments: &[&str]| {
        finish(compose.command(&serve, "serve", &[arguments, &["--json"]].concat())).done().json()
    };
    let merchant = as_serve(&["merchant", "create", "--name", "Test shop"])["merchant_id"].clone();
    let merchant = merchant.as_str().unwrap();
    let made = as_serve(&["key", "create", "--merchant", merchant]);
    let issued = ["key_id", "secret"].map(|member| made[member].as_str().unwrap().to_owned());
    let mut starting = compose.command(&serve, "serve", &["serve"]);
    starting.env("CONVERSIOND__IDEMPOTENCY__SWEEP_S", "1");
    let service = ServeProcess::start_command(starting);
    let shop = caller(&service.base, issued.into());
    let sale =
        json!({"event_name": "sale", "custom_data": {"order_id": "ORD-1", "value": "1", "currency": "EUR"}});
    assert_eq!(shop.post_under("a-key", &sale).await.word(), "ACCEPTED");
    let status = json!({"externalOrderId": "ORD-1", "status": "paid"}).to_string();
    assert_eq!(shop.post_to("/api/v1/order-status", "b", &status, unix_now()).await.status, 202);
    for path in ["/api/v1/orders", "/api/v1/attempts", "/api/v1/exports/events"] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let mut forged = shop.clone();
    forged.key_id = "ak_live_0123456789abcdefghijklmn".to_owned();
    assert_eq!(forged.post(&sale).await.status, 401);
    // Housekeeping deletes a key whose time is over.
    let expire = "UPDATE idempotency_keys SET expires_at = now() AT TIME ZONE 'UTC' - interval '1 day'";
    compose.sql("serve", "verify-full", expire).done();
    eventually("expired keys are deleted", async || {
        compose.sql("serve", "verify-full", "SELECT count(*) FROM idempotency_keys").done().out.trim() == "0"
    })
    .await;
    as_serve(&["key", "create", "--operator"]);
    as_serve(&["token-key", "rotate"]);
    as_serve(&["master-key", "rewrap"]);
    as_serve(&["erase", "--merchant", merchant, "--order", "ORD-1"]);
    let report = as_serve(&["doctor"]);
    let says = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["says"].as_str().unwrap().to_owned()
    };
    assert_eq!(says("connection"), "encrypted with TLSv1.3", "{report}");
    assert!(says("migrations").starts_with("all "), "{report}");
    assert_eq!(service.terminate().0, Some(0));

    for refused in [
        "CREATE TABLE a (b integer)",
        "CREATE TEMPORARY TABLE a (b integer)",
        "CREATE SCHEMA a",
        "CREATE FUNCTION a() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX a ON events (order_id)",
        "ALTER TABLE events ADD COLUMN a integer",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "DROP TABLE events",
        "TRUNCATE events",
        "SET ROLE conversiond_migrate",
        "CREATE ROLE a",
        "ALTER ROLE conversiond_serve SUPERUSER",
        "COPY events TO '/tmp/events'",
        "COPY events FROM PROGRAM 'true'",
        "ALTER SYSTEM SET fsync = off",
        "SET session_replication_role = replica",
        "SELECT rolpassword FROM pg_authid",
    ] {
        let ran = compose.sql("serve", "verify-full", refused);
        assert_eq!(ran.code, Some(1), "{refused}: {ran:?}");
        assert!(ran.err.contains("permission denied") || ran.err.contains("must be"), "{refused}: {ran:?}");
    }
}

#[test]
fn nobody_comes_in_without_tls_without_a_password_or_as_the_superuser() {
    let Some(compose) = Compose::start() else { return };
    compose.sql("serve", "verify-full", "SELECT 1").done();
    let refused = |ran: Ran, words: &str| {
        assert!(ran.code != Some(0) && ran.err.contains(words), "{words}: {ran:?}");
    };
    refused(compose.sql("serve", "disable", "SELECT 1"), "no encryption");
    let url = compose.url("serve", "verify-full");
    let with = |url: &str| {
        let mut psql = Command::new("psql");
        psql.args(["-wqX", "-d", url, "-c", "SELECT 1"]).env("PGPASSFILE", "/nonexistent");
        finish(psql)
    };
    refused(with(&url), "no password supplied");
    refused(with(&url.replace("conversiond_serve@", "conversiond@")), "no pg_hba.conf entry");
    refused(with(&url.replace("/conversiond?", "/postgres?")), "no pg_hba.conf entry");
    // Another server's certificate is not believed, nor this one's under another name.
    refused(with(&url.replace("@postgres:", "@elsewhere:")), "does not match host name");
    let other = tempfile::tempdir().unwrap();
    make_secrets(other.path());
    let foreign = other.path().join("postgres.crt").display().to_string();
    let own = compose.secrets.path().join("postgres.crt").display().to_string();
    refused(with(&url.replace(&own, &foreign)), "certificate verify failed");
}
