//! `merchant create`, `set`, `suspend`, `resume`, `list`.

use conversiond::domain::time::Clock as _;
use conversiond::system::SystemClock;
use serde_json::{Value, json};

use crate::shell::{backends, merchant, run, text};
use crate::support::process::run_json;
use crate::support::service::Setup;
use crate::support::{Backend, TestDatabase};

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
            json!({"merchant_id": id, "name": "Test shop", "plan": "enterprise", "rate_limit": null,
                   "row_limit": null, "quota": null, "currency": null, "attribution_window_days": 30,
                   "suspended": false, "require_v2": false})
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
                                  "rate_limit": {"rate_per_s": 100, "burst": 200, "of_plan": true},
                                  "row_limit": {"rows_per_s": 10_000, "of_plan": true}, "quota": null,
                                  "attribution_window_days": 0, "suspended": false, "require_v2": false});
        assert_eq!(settings(listed(&database)[0].clone()), expected);
        let changes: [(&[&str], &str, Value); 5] = [
            (&["set", &id, "--name", "B"], "name", json!("B")),
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
fn a_limit_of_its_own_wins_over_the_plans_until_it_is_taken_back() {
    for backend in backends() {
        let database = backend.database();
        let create = ["merchant", "create", "--name", "Shop", "--plan", "free", "--rate", "40"];
        let id = text(&run_json(&database, &create), "merchant_id");
        assert_eq!(plan_and_limit(&listed(&database)[0]), (json!("free"), limit(40, 40, false)));
        let changes: [(&[&str], &str, Value); 8] = [
            (&["--burst", "90", "--rate", "40"], "free", limit(40, 90, false)),
            // A rate alone is one second's worth, whatever the burst was.
            (&["--rate", "7"], "free", limit(7, 7, false)),
            (&["--plan", "business"], "business", limit(7, 7, false)),
            (&["--name", "Other"], "business", limit(7, 7, false)),
            (&["--plan-rate"], "business", limit(500, 500, true)),
            (
                &["--plan", "enterprise", "--rate", "1000000", "--burst", "1"],
                "enterprise",
                limit(1_000_000, 1, false),
            ),
            (&["--plan", "pro", "--plan-rate"], "pro", limit(100, 200, true)),
            (&["--plan", "enterprise"], "enterprise", Value::Null),
        ];
        for (arguments, plan, limit) in changes {
            let answer = run_json(&database, &[&["merchant", "set", &id], arguments].concat());
            let expected = (json!(plan), limit);
            assert_eq!(plan_and_limit(&answer), expected, "{arguments:?}");
            assert_eq!(plan_and_limit(&listed(&database)[0]), expected, "{arguments:?}");
        }
    }
}

fn limit(rate: u32, burst: u32, of_plan: bool) -> Value {
    json!({"rate_per_s": rate, "burst": burst, "of_plan": of_plan})
}

fn plan_and_limit(account: &Value) -> (Value, Value) {
    (account["plan"].clone(), account["rate_limit"].clone())
}

#[test]
fn the_list_for_people_shows_the_limit_that_holds() {
    let database = Backend::Sqlite.database();
    let id = merchant(&database);
    for (arguments, shown) in [
        (&["--plan", "pro"][..], "pro   100/s, 200 at once  10000/s  -"),
        (&["--rate", "5"], "pro   5/s, 5 at once (own)  10000/s  -"),
        (&["--rows-rate", "7"], "7/s (own)"),
        (&["--quota-rows", "7"], "0 % used today"),
        (&["--plan", "enterprise", "--plan-rate", "--plan-rows-rate"], "enterprise  -"),
    ] {
        run(&database, &[&["merchant", "set", &id], arguments].concat()).done();
        let table = run(&database, &["merchant", "list"]).done().out;
        assert!(table.contains(shown), "{table}");
    }
}

#[test]
fn rows_in_bulk_and_a_quota_of_the_day_can_be_limited_and_let_go_of() {
    for backend in backends() {
        let database = backend.database();
        let create = ["merchant", "create", "--name", "Shop", "--rows-rate", "50", "--quota-rows", "1000"];
        let id = text(&run_json(&database, &create), "merchant_id");
        let rows = |rate: u32, of_plan: bool| json!({"rows_per_s": rate, "of_plan": of_plan});
        let quota = |rows: Option<u64>, bytes: Option<u64>, percent: u64| json!({"rows": rows, "bytes": bytes, "rows_today": 0, "bytes_today": 0, "used_percent": percent});
        let told = |account: &Value| (account["row_limit"].clone(), account["quota"].clone());
        assert_eq!(told(&listed(&database)[0]), (rows(50, false), quota(Some(1_000), None, 0)));
        let changes: [(&[&str], Value, Value); 5] = [
            (&["--quota-bytes", "1000000"], rows(50, false), quota(Some(1_000), Some(1_000_000), 0)),
            (&["--quota-rows", "0"], rows(50, false), quota(None, Some(1_000_000), 0)),
            (&["--plan", "free", "--plan-rows-rate"], rows(1_000, true), quota(None, Some(1_000_000), 0)),
            (&["--plan", "enterprise"], Value::Null, quota(None, Some(1_000_000), 0)),
            (&["--quota-bytes", "0"], Value::Null, Value::Null),
        ];
        for (arguments, row_limit, quota) in changes {
            let answer = run_json(&database, &[&["merchant", "set", &id], arguments].concat());
            assert_eq!(told(&answer), (row_limit.clone(), quota.clone()), "{arguments:?}");
            assert_eq!(told(&listed(&database)[0]), (row_limit, quota), "{arguments:?}");
        }
    }
}

#[test]
fn who_has_used_most_of_its_quota_is_told_in_the_list_and_by_the_doctor() {
    for backend in backends() {
        let database = backend.database();
        let id = text(
            &run_json(&database, &["merchant", "create", "--name", "Shop", "--quota-bytes", "1000"]),
            "merchant_id",
        );
        let says = |database: &TestDatabase| {
            let checks = run_json(database, &["doctor"])["checks"].as_array().unwrap().clone();
            text(checks.iter().find(|check| check["name"] == "quotas").unwrap(), "says")
        };
        assert!(says(&database).contains("nobody"));
        Setup::new(&database, "").execute(&format!(
            "INSERT INTO merchant_usage (merchant_id, day, rows, bytes) VALUES ('{id}', '{}', 3, 805)",
            SystemClock.now().date_naive()
        ));
        assert_eq!(listed(&database)[0]["quota"]["used_percent"], 80);
        assert_eq!(says(&database), format!("{id} has used 80 %"));
    }
}

#[test]
fn a_limit_that_cannot_be_is_wrong_usage() {
    let database = Backend::Sqlite.database();
    let id = merchant(&database);
    for (arguments, word) in [
        (&["--rate", "0"][..], "0"),
        (&["--rate", "1000001"], "1000001"),
        (&["--rate", "-1"], "-1"),
        (&["--rate", "1.5"], "1.5"),
        (&["--rate", "5", "--burst", "0"], "0"),
        (&["--burst", "5"], "--rate"),
        (&["--plan-rate", "--rate", "5"], "--plan-rate"),
        (&["--plan-rate", "--burst", "5"], "--plan-rate"),
        (&["--rows-rate", "0"], "0"),
        (&["--rows-rate", "1000001"], "1000001"),
        (&["--plan-rows-rate", "--rows-rate", "5"], "--plan-rows-rate"),
        (&["--quota-rows", "-1"], "-1"),
        (&["--quota-bytes", "1e9"], "1e9"),
    ] {
        run(&database, &[&["merchant", "set", &id], arguments].concat()).misused_saying(&[word]);
    }
    assert_eq!(listed(&database)[0]["rate_limit"], Value::Null);
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
            "--rate",
            "--plan-rate",
            "--rows-rate",
            "--plan-rows-rate",
            "--quota-rows",
            "--quota-bytes",
            "--currency",
            "--attribution-window-days",
        ]);
    }
}
