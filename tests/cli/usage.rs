//! Exit codes and the shape of what is printed.

use crate::shell::{backends, run};
use crate::support::Backend;

const COMMANDS: [&str; 15] = [
    "serve",
    "migrate",
    "doctor",
    "health",
    "merchant",
    "key",
    "token",
    "token-key",
    "master-key",
    "sign",
    "diagnose",
    "attempts",
    "explain",
    "erase",
    "openapi",
];

#[test]
fn help_lists_every_command_and_each_has_its_own() {
    let database = Backend::Sqlite.database();
    let help = run(&database, &["--help"]).done();
    for command in COMMANDS {
        assert!(
            help.out.lines().any(|line| line.trim_start().starts_with(command)),
            "{command}: {}",
            help.out
        );
        let own = run(&database, &[command, "--help"]).done();
        for option in ["--config", "--json"] {
            assert!(own.out.contains(option), "{command} does not take {option}: {}", own.out);
        }
    }
    let version = run(&database, &["--version"]).done();
    assert_eq!(version.out.trim(), concat!("conversiond ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_exits_2_and_touches_nothing() {
    let database = Backend::Sqlite.database();
    let merchant = "mer_01arz3ndektsv4rrffq69g5fav";
    let cases: &[&[&str]] = &[
        &[],
        &["serv"],
        &["serve", "--listen", "127.0.0.1:1"],
        &["serve", "--demo", "--print-config"],
        &["migrate", "now"],
        &["merchant"],
        &["merchant", "create"],
        &["merchant", "create", "--name", "x", "--plan", "gold"],
        &["merchant", "create", "--name", "x", "--currency", "XXX"],
        &["merchant", "create", "--name", "x", "--attribution-window-days", "366"],
        &["merchant", "create", "--name", "x", "--attribution-window-days", "-1"],
        &["merchant", "set", "shop", "--name", "x"],
        &["merchant", "set", merchant],
        &["key", "create"],
        &["key", "create", "--merchant", merchant, "--operator"],
        &["key", "create", "--operator", "--mode", "test"],
        &["key", "create", "--merchant", merchant, "--mode", "both"],
        &["key", "create", "--merchant", merchant, "--ip-allow", "10.0.0.0/33"],
        &["key", "rotate", "ak_live_short"],
        &["key", "rotate", "ak_live_0123456789abcdefghijklmn", "--overlap", "8d"],
        &["key", "rotate", "ak_live_0123456789abcdefghijklmn", "--overlap", "24"],
        &["key", "revoke"],
        &["token", "mint", "--merchant", merchant],
        &["token", "mint", "--merchant", merchant, "--domain", "x", "--url", "y"],
        &["sign", "body.json"],
        &["sign", "--key-id", "k", "--form", "v3", "body.json"],
        &["sign", "--key-id", "k", "--secret", "whsec_x", "body.json"],
        &["sign", "--key-id", "k", "--secret-file", "-", "-"],
        &["diagnose"],
        &["diagnose", "--headers", "h"],
        &["diagnose", "--headers", "h", "--body", "b", "--secret", "whsec_x"],
        &["diagnose", "--headers", "h", "--body", "b", "--now", "yesterday"],
        &["diagnose", "--headers", "-", "--body", "-"],
        &["diagnose", "--headers", "h", "--body", "-", "--secret-file", "-"],
        &["attempts", "--limit", "0"],
        &["attempts", "--limit", "10001"],
        &["attempts", "--outcome", "eaten"],
        &["attempts", "--mode", "both"],
        &["attempts", "--merchant", "shop"],
        &["attempts", "--since", "yesterday"],
        &["attempts", "--order", ""],
        &["explain"],
        &["explain", "ORD-1001", "--mode", "both"],
        &["explain", "ORD-1001", "--merchant", "shop"],
        &["erase", "--merchant", merchant],
        &["erase", "--order", "ORD-1001"],
        &["erase", "--merchant", merchant, "--order", ""],
        &["erase", "--merchant", merchant, "--order", "ORD-1001", "--mode", "both"],
    ];
    for arguments in cases {
        for json in [&[][..], &["--json"]] {
            let ran = run(&database, &[arguments, json].concat());
            assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
            assert!(ran.out.is_empty() && !ran.err.is_empty(), "{arguments:?}: {ran:?}");
        }
    }
    let left: Vec<_> = std::fs::read_dir(database.folder()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_cannot_be_done_exits_1_with_a_word_on_standard_error() {
    let unknown = "mer_01arz3ndektsv4rrffq69g5fav";
    let key = "ak_live_0123456789abcdefghijklmn";
    let uuid = "2f5e5a3e-8a53-4a1b-9a8e-2d4f7c1b0a99";
    for backend in backends() {
        let database = backend.database();
        let cases: [(&[&str], &str); 13] = [
            (&["merchant", "set", unknown, "--name", "x"], "there is no merchant mer_"),
            (&["merchant", "suspend", unknown], "there is no merchant mer_"),
            (&["merchant", "resume", unknown], "there is no merchant mer_"),
            (&["key", "create", "--merchant", unknown], "there is no merchant mer_"),
            (&["key", "rotate", key], "there is no key ak_live_"),
            (&["key", "revoke", key], "there is no key ak_live_"),
            (&["token", "mint", "--merchant", unknown, "--domain", uuid, "--url", uuid], "no merchant"),
            (&["token", "inspect", "nonsense"], "token"),
            (&["sign", "--key-id", "k", "missing.json"], "CONVERSIOND_SECRET"),
            (&["attempts", "--merchant", unknown], "there is no merchant mer_"),
            (&["explain", "ORD-1001", "--merchant", unknown], "there is no merchant mer_"),
            (&["erase", "--merchant", unknown, "--order", "ORD-1001"], "there is no merchant mer_"),
            (&["explain", "ORD-1001"], "nothing is known of ORD-1001"),
        ];
        for (arguments, words) in cases {
            run(&database, arguments).failed_saying(&[words]);
            run(&database, &[arguments, &["--json"]].concat()).failed_saying(&["conversiond: ", words]);
        }
    }
}

#[test]
fn results_are_one_line_of_json_with_the_flag_and_text_for_people_without() {
    for backend in backends() {
        let database = backend.database();
        let cases: [&[&str]; 7] = [
            &["migrate"],
            &["doctor"],
            &["merchant", "list"],
            &["key", "list"],
            &["token-key", "rotate"],
            &["master-key", "rewrap"],
            &["attempts"],
        ];
        for arguments in cases {
            // The flag may stand before the command as well as behind it.
            for with_flag in [[arguments, &["--json"]].concat(), [&["--json"], arguments].concat()] {
                assert!(run(&database, &with_flag).done().json().is_object(), "{arguments:?}");
            }
            let text = run(&database, arguments).done();
            assert!(!text.out.trim().is_empty() && !text.out.starts_with('{'), "{arguments:?}: {text:?}");
        }
    }
}

#[test]
fn a_command_whose_output_nobody_takes_does_not_panic() {
    let database = Backend::Sqlite.database();
    let mut command = crate::support::process::command(&database, &["merchant", "list"]);
    command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    command.stderr(std::process::Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("conversiond: ") && !said.contains("panicked"), "{said}");
}

#[test]
fn the_description_of_the_api_is_printed_without_a_database() {
    let database = Backend::Sqlite.database();
    let committed = include_str!("../../openapi.json");
    assert_eq!(run(&database, &["openapi"]).done().out, committed);
    let line = run(&database, &["openapi", "--json"]).done().out;
    let (line, committed): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&line).unwrap(), serde_json::from_str(committed).unwrap());
    assert_eq!(line, committed);
    assert_eq!(std::fs::read_dir(database.folder()).unwrap().count(), 0);
}
