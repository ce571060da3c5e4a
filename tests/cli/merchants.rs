//! `merchant create`, `set`, `suspend`, `resume`, `list`.

use serde_json::{Value, json};

use crate::shell::{backends, merchant, run, text};
use crate::support::TestDatabase;
use crate::support::process::run_json;

fn listed(database: &TestDatabase) -> Vec<Value> {
    run_json(database, &["merchant", "list"])["merchants"].as_array().unwrap().clone()
}

/// What is listed of a merchant, without the time.
fn settings(mut account: Value) -> Value {
    let made = account.as_object_mut().unwrap().remove("created_at").unwrap();
    assert!(made.as_str().unwrap().ends_with('Z'), "{made}");
    account
}

#[test]
fn a_merchant_is_made_with_the_contracts_defaults() {
    for backend in backends() {
        let database = backend.database();
        assert!(listed(&database).is_empty());
        let id = merchant(&database);
        assert!(id.starts_with("mer_") && id.len() == 30, "{id}");
        let accounts = listed(&database);
        assert_eq!(accounts.len(), 1);
        assert_eq!(
            settings(accounts[0].clone()),
            json!({"merchant_id": id, "name": "Test shop", "plan": "enterprise", "currency": null,
                   "attribution_window_days": 30, "suspended": false})
        );
    }
}

#[test]
fn every_setting_of_a_merchant_can_be_given_and_changed_alone() {
    for backend in backends() {
        let database = backend.database();
        let made = run_json(
            &database,
            &[
                "merchant",
                "create",
                "--name",
                "Café \"Ünï\"",
                "--plan",
                "pro",
                "--currency",
                "npr",
                "--attribution-window-days",
                "0",
            ],
        );
        let id = text(&made, "merchant_id");
        let mut expected = json!({"merchant_id": id, "name": "Café \"Ünï\"", "plan": "pro", "currency": "NPR",
                                  "attribution_window_days": 0, "suspended": false});
        assert_eq!(settings(listed(&database)[0].clone()), expected);
        let changes: [(&[&str], &str, Value); 6] = [
            (&["set", &id, "--name", "B"], "name", json!("B")),
            (&["set", &id, "--plan", "free"], "plan", json!("free")),
            (&["set", &id, "--currency", "JPY"], "currency", json!("JPY")),
            (&["set", &id, "--attribution-window-days", "365"], "attribution_window_days", json!(365)),
            (&["suspend", &id], "suspended", json!(true)),
            (&["resume", &id], "suspended", json!(false)),
        ];
        for (arguments, member, value) in changes {
            expected[member] = value;
            let answer = run_json(&database, &[&["merchant"], arguments].concat());
            assert_eq!(settings(answer), expected, "{arguments:?}");
            assert_eq!(settings(listed(&database)[0].clone()), expected, "{arguments:?}");
        }
    }
}

#[test]
fn suspending_and_resuming_twice_changes_nothing_more() {
    for backend in backends() {
        let database = backend.database();
        let id = merchant(&database);
        for (word, suspended) in [("suspend", true), ("suspend", true), ("resume", false), ("resume", false)]
        {
            assert_eq!(run_json(&database, &["merchant", word, &id])["suspended"], suspended);
        }
    }
}

#[test]
fn the_list_for_people_has_a_line_per_merchant_and_says_who_is_suspended() {
    for backend in backends() {
        let database = backend.database();
        let (first, second) = (merchant(&database), merchant(&database));
        run(&database, &["merchant", "suspend", &second]).done();
        let table = run(&database, &["merchant", "list"]).done().out;
        let line = |id: &str| table.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(line(&first).ends_with("active") && line(&second).ends_with("suspended"), "{table}");
    }
}

#[test]
fn setting_nothing_is_wrong_usage_and_says_what_can_be_set() {
    for backend in backends() {
        let database = backend.database();
        let id = merchant(&database);
        run(&database, &["merchant", "set", &id]).misused_saying(&[
            "--name",
            "--plan",
            "--currency",
            "--attribution-window-days",
        ]);
    }
}
