//! `key create`, `list`, `rotate`, `revoke`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::shell::{backends, key, merchant, run, text};
use crate::support::process::run_json;
use crate::support::service::Setup;
use crate::support::{Backend, TestDatabase};

fn listed(database: &TestDatabase, key_id: &str) -> Value {
    let keys = run_json(database, &["key", "list"]);
    keys["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == key_id).unwrap().clone()
}

fn live_secrets(database: &TestDatabase, key_id: &str) -> usize {
    listed(database, key_id)["secrets"].as_array().unwrap().len()
}

#[track_caller]
fn assert_secret(secret: &str) {
    let encoded = secret.strip_prefix("whsec_").unwrap();
    assert_eq!(STANDARD.decode(encoded).unwrap().len(), 32, "{}", encoded.len());
}

#[test]
fn keys_are_of_three_kinds_and_each_comes_with_a_secret() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let kinds: [(&[&str], &str, Value); 4] = [
            (&["--merchant", &merchant], "ak_live_", json!(merchant)),
            (&["--merchant", &merchant, "--mode", "live"], "ak_live_", json!(merchant)),
            (&["--merchant", &merchant, "--mode", "test"], "ak_test_", json!(merchant)),
            (&["--operator"], "ak_op_", Value::Null),
        ];
        for (arguments, prefix, owner) in kinds {
            let (id, secret) = key(&database, arguments);
            let random = id.strip_prefix(prefix).unwrap_or_else(|| panic!("{id}"));
            assert!(
                random.len() == 24 && random.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
            );
            assert_secret(&secret);
            let shown = listed(&database, &id);
            assert_eq!(shown["merchant_id"], owner);
            // An operator's key may act for everybody.
            let require_v2 = prefix == "ak_op_";
            assert_eq!((&shown["ip_allow"], &shown["require_v2"]), (&json!([]), &json!(require_v2)));
            assert_eq!((&shown["revoked_at"], live_secrets(&database, &id)), (&Value::Null, 1));
        }
    }
}

#[test]
fn an_allowlist_and_the_demand_for_bound_signatures_are_kept() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let (id, _) = key(
            &database,
            &[
                "--merchant",
                &merchant,
                "--require-v2",
                "--ip-allow",
                "203.0.113.0/24",
                "--ip-allow",
                "192.0.2.7",
                "--ip-allow",
                "2001:db8::/32",
            ],
        );
        let shown = listed(&database, &id);
        assert_eq!(shown["ip_allow"], json!(["203.0.113.0/24", "192.0.2.7/32", "2001:db8::/32"]));
        assert_eq!(shown["require_v2"], true);
        let table = run(&database, &["key", "list"]).done().out;
        assert!(table.contains("v2 only") && table.contains("203.0.113.0/24 192.0.2.7/32"), "{table}");
    }
}

#[test]
fn an_operators_key_is_advised_to_name_its_network() {
    let database = Backend::Sqlite.database();
    let made = run(&database, &["key", "create", "--operator"]).done().out;
    assert!(made.contains("v2 signatures only, from anywhere") && made.contains("--ip-allow"), "{made}");
    let made = run(&database, &["key", "create", "--operator", "--ip-allow", "192.0.2.7"]).done().out;
    assert!(made.contains("v2 signatures only") && !made.contains("--ip-allow"), "{made}");
}

#[test]
fn doctor_names_a_key_that_was_changed_without_the_master_key_and_revoking_it_mends_that() {
    for backend in backends() {
        let database = backend.database();
        let [attacker, victim] = [merchant(&database), merchant(&database)];
        let (own, _) = key(&database, &["--merchant", &attacker]);
        let (foreign, _) = key(&database, &["--merchant", &victim]);
        run(&database, &["token-key", "rotate"]).done();
        let told = run(&database, &["doctor"]).done().out;
        assert!(told.contains("every secret opens and every key row verifies"), "{told}");
        let moved = format!("UPDATE key_secrets SET key_id = '{foreign}' WHERE key_id = '{own}'");
        assert_eq!(Setup::new(&database, "").execute(&moved), 1);
        for arguments in
            [&["doctor"][..], &["serve"], &["key", "create", "--operator"], &["key", "rotate", &own]]
        {
            let ran = run(&database, arguments);
            let told = format!("{}{}", ran.out, ran.err);
            assert!(ran.code == Some(1) && told.contains(&own) && told.contains("does not verify"), "{told}");
        }
        let back = format!("UPDATE key_secrets SET key_id = '{own}' WHERE merchant_id = '{attacker}'");
        assert_eq!(Setup::new(&database, "").execute(&back), 1);
        run(&database, &["doctor"]).done();
        let freed = format!("UPDATE api_keys SET require_v2 = TRUE WHERE key_id = '{own}'");
        assert_eq!(Setup::new(&database, "").execute(&freed), 1);
        assert_eq!(run(&database, &["doctor"]).code, Some(1));
        run(&database, &["key", "revoke", &own]).done();
        run(&database, &["doctor"]).done();
    }
}

#[test]
fn a_secret_is_shown_once_and_never_again() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let shown = run(&database, &["key", "create", "--merchant", &merchant]).done().out;
        assert_eq!(shown.matches("whsec_").count(), 1, "{shown}");
        for arguments in
            [&["key", "list"][..], &["key", "list", "--json"], &["doctor"], &["merchant", "list"]]
        {
            let ran = run(&database, arguments).done();
            assert!(!ran.out.contains("whsec_") && !ran.err.contains("whsec_"), "{arguments:?}");
        }
    }
}

#[test]
fn rotating_leaves_the_older_secret_for_the_overlap() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let (id, first) = key(&database, &["--merchant", &merchant]);
        let rotated = run_json(&database, &["key", "rotate", &id]);
        let second = text(&rotated, "secret");
        assert_eq!(text(&rotated, "key_id"), id);
        assert_secret(&second);
        assert_ne!(first, second);
        let secrets = listed(&database, &id)["secrets"].clone();
        assert_eq!(secrets.as_array().unwrap().len(), 2);
        // Newest first: it has no end, the older ends a day after its successor was made.
        assert_eq!(secrets[0]["expires_at"], Value::Null);
        let instant = |value: &Value| chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap();
        let overlap = instant(&secrets[1]["expires_at"]) - instant(&secrets[0]["created_at"]);
        assert_eq!(overlap, chrono::TimeDelta::hours(24));
    }
}

#[test]
fn a_third_live_secret_is_refused_unless_the_oldest_is_dropped() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let (id, _) = key(&database, &["--merchant", &merchant]);
        run(&database, &["key", "rotate", &id, "--overlap", "7d"]).done();
        let before = listed(&database, &id);
        run(&database, &["key", "rotate", &id]).failed_saying(&["two live secrets", "--drop-oldest", &id]);
        assert_eq!(listed(&database, &id), before, "a refused rotation changes nothing");
        run(&database, &["key", "rotate", &id, "--drop-oldest"]).done();
        let after = listed(&database, &id);
        assert_eq!(live_secrets(&database, &id), 2);
        assert_eq!(after["secrets"][1]["created_at"], before["secrets"][0]["created_at"]);
    }
}

#[test]
fn an_overlap_of_zero_ends_the_older_secret_at_once() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let (id, _) = key(&database, &["--merchant", &merchant]);
        for _ in 0..3 {
            run(&database, &["key", "rotate", &id, "--overlap", "0s"]).done();
            assert_eq!(live_secrets(&database, &id), 1);
        }
    }
}

#[test]
fn a_revoked_key_stays_revoked_and_cannot_be_rotated() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        let (id, _) = key(&database, &["--merchant", &merchant]);
        let revoked = run_json(&database, &["key", "revoke", &id]);
        assert_eq!(revoked, json!({"key_id": id, "revoked": true}));
        let at = listed(&database, &id)["revoked_at"].clone();
        assert!(at.is_string(), "{at}");
        run(&database, &["key", "revoke", &id]).failed_saying(&[&id]);
        run(&database, &["key", "rotate", &id, "--drop-oldest"]).failed_saying(&[&id]);
        assert_eq!(listed(&database, &id)["revoked_at"], at);
        assert!(run(&database, &["key", "list"]).done().out.contains("revoked 2"));
    }
}

#[test]
fn two_rotations_at_once_never_leave_three_live_secrets() {
    for backend in backends() {
        let database = backend.database();
        let merchant = merchant(&database);
        for _ in 0..5 {
            let (id, _) = key(&database, &["--merchant", &merchant]);
            let rotate = || crate::support::process::command(&database, &["key", "rotate", &id]);
            let (mut one, mut other) = (rotate(), rotate());
            let children = [&mut one, &mut other].map(|command| {
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                command.spawn().unwrap()
            });
            let mut codes = children.map(|mut child| child.wait().unwrap().code());
            codes.sort();
            assert_eq!(codes, [Some(0), Some(1)], "one is done, one is refused");
            assert_eq!(live_secrets(&database, &id), 2);
        }
    }
}

#[test]
fn a_single_address_may_be_written_as_a_v4_mapped_one() {
    let database = Backend::Sqlite.database();
    let merchant = merchant(&database);
    let (id, _) = key(&database, &["--merchant", &merchant, "--ip-allow", "::ffff:192.0.2.7"]);
    assert_eq!(listed(&database, &id)["ip_allow"], json!(["192.0.2.7/32"]));
}
