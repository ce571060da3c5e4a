//! `sign`: the headers of a signed request.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::shell::{Ran, finish, finish_reading};
use crate::support::process::command;
use crate::support::{Backend, TestDatabase};

const KEY: &str = "ak_live_0123456789abcdefghijklmn";
const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../fixtures/signatures.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn sign(database: &TestDatabase, arguments: &[&str]) -> Command {
    command(database, &[&["sign", "--key-id", KEY], arguments].concat())
}

/// Signs a vector's body from a file, the secret in the environment.
fn of_vector(database: &TestDatabase, vector: &Value, form: &str) -> Command {
    let at = |name: &str| vector[name].as_str().unwrap();
    std::fs::write(database.folder().join("body"), at("body")).unwrap();
    let mut command = sign(database, &["--json", "--form", form, "--timestamp", at("timestamp")]);
    command.args(["--method", at("method"), "--target", at("path"), "--webhook-id", at("webhook_id")]);
    command.args([
        "--idempotency-key",
        at("idempotency_key"),
        "--external-event-id",
        at("external_event_id"),
    ]);
    command.arg("body").env("CONVERSIOND_SECRET", at("secret"));
    command
}

/// The headers that a vector expects of a form.
fn expected(vector: &Value, form: &str) -> Value {
    match form {
        "v1" => json!({"X-API-Key": KEY, "X-Timestamp": vector["timestamp"],
                       "X-Signature": format!("v1={}", vector["x_signature"].as_str().unwrap())}),
        "v2" => json!({"X-API-Key": KEY, "X-Timestamp": vector["timestamp"],
                       "X-Signature": vector["x_signature_v2"]}),
        _ => json!({"X-API-Key": KEY, "webhook-id": vector["webhook_id"],
                    "webhook-timestamp": vector["timestamp"], "webhook-signature": vector["webhook_signature"]}),
    }
}

#[test]
fn all_three_forms_give_the_contracts_vectors() {
    let database = Backend::Sqlite.database();
    let vectors = vectors();
    assert!(vectors.len() >= 7);
    for vector in &vectors {
        for form in ["v1", "v2", "standard-webhooks"] {
            let ran = finish(of_vector(&database, vector, form)).done();
            assert_eq!(ran.json(), expected(vector, form), "{} as {form}", vector["name"]);
        }
    }
}

fn secret_file(database: &TestDatabase, secret: &str) {
    let path = database.folder().join("secret");
    std::fs::write(&path, format!("{secret}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_secret_comes_from_a_file_or_from_standard_input_as_well() {
    let database = Backend::Sqlite.database();
    for vector in &vectors() {
        let secret = vector["secret"].as_str().unwrap();
        secret_file(&database, secret);
        let mut by_file = of_vector(&database, vector, "v2");
        // A named file wins over the environment.
        by_file.args(["--secret-file", "secret"]).env("CONVERSIOND_SECRET", SECRET);
        assert_eq!(finish(by_file).done().json(), expected(vector, "v2"));
        let mut by_pipe = of_vector(&database, vector, "v1");
        by_pipe.args(["--secret-file", "-"]).env_remove("CONVERSIOND_SECRET");
        assert_eq!(finish_reading(by_pipe, secret.as_bytes()).done().json(), expected(vector, "v1"));
    }
}

#[test]
fn the_body_comes_from_standard_input_byte_for_byte() {
    let database = Backend::Sqlite.database();
    for vector in &vectors() {
        let text = |name: &str| vector[name].as_str().unwrap();
        let mut command = sign(&database, &["--json", "--timestamp", text("timestamp"), "-"]);
        command.env("CONVERSIOND_SECRET", text("secret"));
        let ran = finish_reading(command, text("body").as_bytes()).done();
        assert_eq!(ran.json(), expected(vector, "v1"), "{}", vector["name"]);
    }
}

#[test]
fn the_headers_are_printed_one_a_line_as_curl_reads_them() {
    let database = Backend::Sqlite.database();
    let mut command = sign(&database, &["--form", "standard-webhooks", "-"]);
    command.env("CONVERSIOND_SECRET", SECRET);
    let ran = finish_reading(command, b"{}").done();
    let names: Vec<&str> = ran.out.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(names, ["X-API-Key", "webhook-id", "webhook-timestamp", "webhook-signature"]);
    assert!(!ran.out.contains("whsec_"));
}

#[test]
fn without_a_timestamp_the_present_is_signed() {
    let database = Backend::Sqlite.database();
    let mut command = sign(&database, &["--json", "-"]);
    command.env("CONVERSIOND_SECRET", SECRET);
    let before = crate::support::caller::unix_now();
    let signed = finish_reading(command, b"{}").done().json();
    let timestamp: i64 = signed["X-Timestamp"].as_str().unwrap().parse().unwrap();
    assert!((before..=crate::support::caller::unix_now()).contains(&timestamp), "{timestamp}");
}

#[test]
fn a_secret_that_others_may_read_is_refused_and_one_that_its_group_may_read_is_warned_of() {
    let database = Backend::Sqlite.database();
    std::fs::write(database.folder().join("body"), "{}").unwrap();
    secret_file(&database, SECRET);
    for (mode, refused, warned) in [
        (0o644, true, false),
        (0o604, true, false),
        (0o602, true, false),
        (0o640, false, true),
        (0o660, false, true),
        (0o600, false, false),
        (0o400, false, false),
    ] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(database.folder().join("secret"), permissions).unwrap();
        let ran = finish(sign(&database, &["--secret-file", "secret", "body"]));
        assert_eq!(ran.code, Some(i32::from(refused)), "{mode:o}: {ran:?}");
        assert_eq!(ran.err.contains("chmod 600 secret"), refused || warned, "{mode:o}: {ran:?}");
        assert!(!ran.err.contains(SECRET), "{ran:?}");
    }
    // Who gives the secret for its file is not shown it again.
    let ran = finish(sign(&database, &["--secret-file", SECRET, "body"])).failed_saying(&["--secret-file"]);
    assert!(!ran.err.contains(&SECRET[6..20]), "{ran:?}");
}

#[test]
fn without_a_readable_secret_nothing_is_signed_and_the_secret_is_not_shown() {
    let database = Backend::Sqlite.database();
    std::fs::write(database.folder().join("body"), "{}").unwrap();
    finish(sign(&database, &["body"])).failed_saying(&["--secret-file", "CONVERSIOND_SECRET"]);
    finish(sign(&database, &["--secret-file", "nowhere", "body"])).failed_saying(&["nowhere"]);
    for secret in ["", "whsec_", "whsec_c2hvcnQ=", &SECRET["whsec_".len()..]] {
        let mut command = sign(&database, &["body"]);
        command.env("CONVERSIOND_SECRET", secret);
        let ran: Ran = finish(command).failed_saying(&["the secret"]);
        assert!(secret.len() < 7 || !ran.err.contains(secret), "{}", ran.err);
    }
}

#[test]
fn signing_opens_no_database() {
    let database = Backend::Sqlite.database();
    let mut command = sign(&database, &["-"]);
    command.env("CONVERSIOND_SECRET", SECRET).env_remove("CONVERSIOND_MASTER_KEY");
    finish_reading(command, b"{}").done();
    assert_eq!(std::fs::read_dir(database.folder()).unwrap().count(), 0);
}

#[test]
fn secret_and_body_cannot_both_be_standard_input() {
    let database = Backend::Sqlite.database();
    let command = sign(&database, &["--secret-file", "-", "-"]);
    finish_reading(command, SECRET.as_bytes()).misused_saying(&["standard input"]);
}
