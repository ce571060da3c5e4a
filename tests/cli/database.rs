//! `migrate` and `doctor`.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::shell::{self, backends, finish, run};
use crate::support::process::{command, run_json};
use crate::support::service::Setup;
use crate::support::{Backend, TestDatabase, on_both_databases};

fn check(report: &Value, name: &str) -> Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}")).clone()
}

/// `doctor --json`, which must find something wrong.
fn complaint(database: &TestDatabase) -> Value {
    let ran = run(database, &["doctor", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report = ran.json();
    assert_eq!(report["ok"], false);
    report
}

#[test]
fn a_second_migration_has_nothing_to_do() {
    for backend in backends() {
        let database = backend.database();
        let first = run_json(&database, &["migrate"]);
        assert!(!first["applied"].as_array().unwrap().is_empty(), "{first}");
        assert_eq!(run_json(&database, &["migrate"]), json!({"applied": []}));
        assert!(run(&database, &["migrate"]).done().out.contains("up to date"));
    }
}

#[test]
fn migrations_started_together_on_an_empty_database_all_succeed_and_one_does_the_work() {
    for backend in backends() {
        for round in 0..8 {
            let database = backend.database();
            let children: Vec<_> = (0..2 + round % 3)
                .map(|_| {
                    let mut migrate = command(&database, &["migrate", "--json"]);
                    migrate.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
                })
                .collect();
            let mut worked = 0;
            for child in children {
                let output = child.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{backend:?}, round {round}: {said}");
                let result: Value = serde_json::from_slice(&output.stdout).unwrap();
                worked += usize::from(result != json!({"applied": []}));
            }
            assert_eq!(worked, 1, "{backend:?}, round {round}");
            run(&database, &["doctor"]).done();
        }
    }
}

#[test]
fn commands_migrate_first_unless_that_is_turned_off() {
    for backend in backends() {
        let database = backend.database();
        let without = |arguments: &[&str]| {
            let mut command = command(&database, arguments);
            command.env("CONVERSIOND__DATABASE__MIGRATE", "false");
            command
        };
        assert_eq!(finish(without(&["merchant", "list"])).code, Some(1));
        let serve = finish(without(&["serve"]));
        assert_eq!(serve.code, Some(1), "{serve:?}");
        assert!(serve.err.contains("conversiond migrate"), "{serve:?}");
        // Asked for by name, it migrates all the same.
        finish(without(&["migrate"])).done();
        finish(without(&["merchant", "list"])).done();
        run(&backend.database(), &["merchant", "list"]).done();
    }
}

#[test]
fn doctor_finds_nothing_wrong_with_a_good_database() {
    for backend in backends() {
        let database = backend.database();
        run(&database, &["key", "create", "--operator"]).done();
        let report = run_json(&database, &["doctor"]);
        assert_eq!(report["ok"], true);
        for name in ["configuration", "master key", "database", "migrations", "clock", "keys"] {
            assert_eq!(check(&report, name)["ok"], true, "{report}");
        }
        assert_eq!(check(&report, "keys")["says"], "1 keys, every secret opens and every key row verifies");
        let table = run(&database, &["doctor"]).done().out;
        assert!(table.lines().all(|line| line.starts_with("ok ")), "{table}");
    }
}

#[test]
fn doctor_says_that_a_sqlite_file_is_missing_and_makes_none() {
    let database = Backend::Sqlite.database();
    let report = complaint(&database);
    let says = check(&report, "database")["says"].clone();
    assert!(says.as_str().unwrap().contains("conversiond migrate"), "{says}");
    assert!(run(&database, &["doctor"]).out.contains("FAIL"));
    assert_eq!(std::fs::read_dir(database.folder()).unwrap().count(), 0);
}

#[test]
fn doctor_says_that_a_postgres_database_or_server_is_missing_and_hides_the_password() {
    let Some(backend) = Backend::postgres() else { return };
    let there = backend.database().url;
    let server = there.rsplit_once('/').unwrap().0.replacen("conversiond@", "conversiond:hunter2@", 1);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("{server}/no_such_database"), format!("postgres://me:hunter2@{closed}/x")] {
        let database = TestDatabase::at(url);
        let report = complaint(&database);
        assert_eq!(check(&report, "database")["ok"], false);
        assert!(!report.to_string().contains("hunter2"), "{report}");
        let ran = run(&database, &["merchant", "list"]).failed_saying(&["the database is not available"]);
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    }
}

#[test]
fn doctor_names_the_migrations_that_are_missing_and_blames_nothing_else() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let report = complaint(&database);
    let says = check(&report, "migrations")["says"].clone();
    assert!(says.as_str().unwrap().contains("run `conversiond migrate`"), "{says}");
    let failed = report["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).count();
    assert_eq!(failed, 1, "{report}");
}

#[test]
fn doctor_complains_about_a_file_that_is_no_database() {
    let database = Backend::Sqlite.database();
    std::fs::write(
        database.folder().join("test.db"),
        "this is no database, but it is long enough".repeat(40),
    )
    .unwrap();
    let report = complaint(&database);
    let failed: Vec<&Value> =
        report["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).collect();
    assert!(failed[0]["says"].as_str().unwrap().contains("not a database"), "{report}");
}

on_both_databases! {
    async fn a_schema_that_is_newer_is_served_with_a_warning_and_told_by_doctor_and_migrate(backend: Backend) {
        let database = backend.database();
        shell::run(&database, &["key", "create", "--operator"]).done();
        shell::run(&database, &["doctor"]).done();
        let applied = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231235959')";
        Setup::new(&database, "").execute(applied);
        let ran = shell::run(&database, &["doctor"]);
        assert!(ran.code == Some(1) && ran.out.contains("newer than this version: unknown migrations 29991231235959"), "{ran:?}");
        assert!(ran.out.contains("every secret opens"), "{ran:?}");
        let migrated = shell::run(&database, &["migrate", "--json"]).done().json();
        assert_eq!(migrated, json!({"applied": [], "unknown": ["29991231235959"]}));
        assert!(shell::run(&database, &["migrate"]).done().out.contains("newer than this version"));
        let mut serve = command(&database, &["serve"]);
        // It ends by itself once it has said so.
        serve.env("CONVERSIOND__ADMIN__LISTEN", "203.0.113.1:1");
        let refused = finish(serve);
        assert!(refused.err.contains("schema is newer") && refused.err.contains("29991231235959"), "{refused:?}");
    }
}
