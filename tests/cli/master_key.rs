//! The ring of master keys: `master-key rewrap`, and rings that do not fit.

use std::process::Command;

use serde_json::json;

use crate::shell::{Ran, backends, finish, key, merchant, run, text};
use crate::support::process::{ServeProcess, command, run_json};
use crate::support::service::MASTER_KEY;
use crate::support::{Backend, TestDatabase};

/// Another key, as number 2.
const SECOND: &str = "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
/// Another key under the number of the tests' own.
const OTHER_FIRST: &str = "1:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn with_ring(database: &TestDatabase, ring: &str, arguments: &[&str]) -> Ran {
    let mut command: Command = command(database, arguments);
    command.env("CONVERSIOND_MASTER_KEY", ring);
    finish(command)
}

/// A database with a key that has two secrets, and two token keys.
fn filled(backend: Backend) -> (TestDatabase, String) {
    let database = backend.database();
    let merchant = merchant(&database);
    let (id, _) = key(&database, &["--merchant", &merchant]);
    key(&database, &["--operator"]);
    run(&database, &["key", "rotate", &id]).done();
    run(&database, &["token-key", "rotate"]).done();
    run(&database, &["token-key", "rotate"]).done();
    let domain = "0b7d9f2e-5c41-4f0a-9d3e-6a1f2b3c4d5e";
    let minted =
        run_json(&database, &["token", "mint", "--merchant", &merchant, "--domain", domain, "--url", domain]);
    (database, text(&minted, "nim_ct"))
}

#[test]
fn after_a_rewrap_the_newest_key_alone_opens_everything() {
    for backend in backends() {
        let (database, token) = filled(backend);
        let ring = format!("{SECOND},{MASTER_KEY}");
        with_ring(&database, &ring, &["doctor"]).done();
        let rewrapped = with_ring(&database, &ring, &["master-key", "rewrap", "--json"]).done();
        assert_eq!(rewrapped.json(), json!({"master_key": 2, "secrets": 3, "token_keys": 2}));
        let listed = with_ring(&database, SECOND, &["key", "list", "--json"]).done().json();
        for secret in listed["keys"].as_array().unwrap().iter().flat_map(|k| k["secrets"].as_array().unwrap())
        {
            assert_eq!(secret["master_key"], 2);
        }
        with_ring(&database, SECOND, &["doctor"]).done();
        with_ring(&database, SECOND, &["token", "inspect", &token]).done();
        let old = with_ring(&database, MASTER_KEY, &["doctor"]);
        assert_eq!(old.code, Some(1), "{old:?}");
        assert!(old.out.contains("number 1") || old.out.contains("number 2"), "{old:?}");
        // Once more changes nothing but the ciphertexts.
        with_ring(&database, SECOND, &["master-key", "rewrap"]).done();
        with_ring(&database, SECOND, &["doctor"]).done();
    }
}

#[test]
fn a_rewrap_that_cannot_open_everything_changes_nothing() {
    for backend in backends() {
        let (database, token) = filled(backend);
        with_ring(&database, SECOND, &["master-key", "rewrap"])
            .failed_saying(&["number 1 is not in the ring"]);
        let ring = format!("{SECOND},1:{}", &SECOND[2..]);
        with_ring(&database, &ring, &["master-key", "rewrap"]).failed_saying(&["does not open"]);
        run(&database, &["doctor"]).done();
        run(&database, &["token", "inspect", &token]).done();
    }
}

#[test]
fn doctor_says_so_when_the_ring_is_the_wrong_one() {
    for backend in backends() {
        let (database, _) = filled(backend);
        for (ring, words) in [(SECOND, "number 1 is not in the ring"), (OTHER_FIRST, "does not open")] {
            let ran = with_ring(&database, ring, &["doctor", "--json"]);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            let report = ran.json();
            assert_eq!(report["ok"], false);
            let checks = report["checks"].as_array().unwrap();
            let keys = checks.iter().find(|check| check["name"] == "keys").unwrap();
            assert_eq!(keys["ok"], false);
            assert!(keys["says"].as_str().unwrap().contains(words), "{keys}");
        }
    }
}

#[test]
fn the_service_does_not_start_with_a_ring_that_does_not_open_its_secrets() {
    for backend in backends() {
        let (database, _) = filled(backend);
        for (ring, words) in [(SECOND, "number 1 is not in the ring"), (OTHER_FIRST, "does not open")] {
            let ran = with_ring(&database, ring, &["serve"]);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            assert!(ran.err.contains(words), "{ran:?}");
        }
    }
}

#[test]
fn a_ring_that_is_none_is_refused_without_being_shown() {
    let database = Backend::Sqlite.database();
    let twice = format!("{MASTER_KEY},{MASTER_KEY}");
    for ring in ["", "c2hvcnQ=", "1:c2hvcnQ=", "0:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=", &twice] {
        let ran = with_ring(&database, ring, &["key", "create", "--operator"])
            .failed_saying(&["CONVERSIOND_MASTER_KEY", "base64 of 32 bytes"]);
        assert!(ring.is_empty() || !ran.err.contains(ring), "{}", ran.err);
    }
}

#[test]
fn nothing_is_sealed_under_another_master_key_than_the_services() {
    for backend in backends() {
        let database = backend.database();
        let service = ServeProcess::start(&database);
        let merchant = merchant(&database);
        for arguments in [
            vec!["key", "create", "--merchant", merchant.as_str()],
            vec!["key", "create", "--operator"],
            vec!["token-key", "rotate"],
            vec!["serve"],
        ] {
            with_ring(&database, OTHER_FIRST, &arguments)
                .failed_saying(&["the master key is not the one that the service has: nothing was done"]);
            if backend == Backend::Sqlite {
                let mut without = command(&database, &arguments);
                without.env_remove("CONVERSIOND_MASTER_KEY");
                finish(without)
                    .failed_saying(&["no master key: set CONVERSIOND_MASTER_KEY as the service has it"]);
                let files = std::fs::read_dir(database.folder()).unwrap();
                let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
                assert!(names.into_iter().all(|name| !name.contains("master-key")));
            }
        }
        run(&database, &["doctor"]).done();
        assert_eq!(service.terminate().0, Some(0));
    }
}
