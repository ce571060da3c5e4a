//! `diagnose`: which mistake a refused signature is, end to end.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conversiond::domain::secret::SigningSecret;
use conversiond::domain::signature::hmac_sha256;
use hmac::Mac as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::shell::{Ran, finish, finish_reading};
use crate::support::process::command;
use crate::support::{Backend, TestDatabase};

const KEY: &str = "ak_live_0123456789abcdefghijklmn";
const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const TS: &str = "1764109104";
const BODY: &str = r#"{"event_name":"sale","custom_data":{"order_id":"ORD-1001","value":129.90}}"#;

/// An HMAC-SHA256, in hex.
fn mac(key: impl AsRef<[u8]>, message: impl AsRef<str>) -> String {
    let mut mac = hmac_sha256(key.as_ref());
    mac.update(message.as_ref().as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// The right v1.
fn right() -> String {
    mac(SECRET, format!("{TS}.{BODY}"))
}

/// What `curl -v` shows of a request.
fn curl(timestamp: &str, signature: &str) -> String {
    format!(
        "*   Trying 127.0.0.1:8080...\r\n> POST /api/v1/conversions HTTP/1.1\r\n> Host: 127.0.0.1:8080\r\n\
         > User-Agent: curl/8.5.0\r\n> Accept: */*\r\n> Content-Type: application/json\r\n\
         > X-API-Key: {KEY}\r\n> X-Timestamp: {timestamp}\r\n> X-Signature: {signature}\r\n> \r\n\
         }} [74 bytes data]\r\n< HTTP/1.1 401 Unauthorized\r\n< content-type: application/problem+json\r\n"
    )
}

/// Examines these headers and this body, the secret in the environment.
fn diagnosing(database: &TestDatabase, headers: &str, body: &str, arguments: &[&str]) -> Command {
    std::fs::write(database.folder().join("headers"), headers).unwrap();
    std::fs::write(database.folder().join("body"), body).unwrap();
    let files = ["diagnose", "--headers", "headers", "--body", "body"];
    let mut command = command(database, &[&files, arguments].concat());
    command.env("CONVERSIOND_SECRET", SECRET).env_remove("CONVERSIOND_MASTER_KEY");
    command
}

/// The same at the time of the request, as JSON.
#[track_caller]
fn diagnosis(database: &TestDatabase, headers: &str, body: &str) -> Value {
    let ran = finish(diagnosing(database, headers, body, &["--now", TS, "--json"])).done();
    keeps_the_secret(&ran);
    ran.json()
}

fn codes(json: &Value) -> Vec<&str> {
    json["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

/// Neither the secret is shown nor what is secret in it.
#[track_caller]
fn keeps_the_secret(ran: &Ran) {
    let inner = SECRET.trim_start_matches("whsec_").trim_end_matches('=');
    assert!(!ran.out.contains(inner) && !ran.err.contains(inner), "{ran:?}");
}

/// Each class of mistakes once: what must be found first, and the headers of a request with `BODY`.
fn cases() -> Vec<(&'static str, String)> {
    let decoded = SigningSecret::parse(SECRET).unwrap().expose_bytes();
    let plain = |key: &[u8], message: &str| curl(TS, &format!("v1={}", mac(key, message)));
    let spaced = r#"{"event_name": "sale", "custom_data": {"order_id": "ORD-1001", "value": 129.9}}"#;
    let lower = format!("v2\n{TS}\npost\n/api/v1/conversions\n\n\n{}", hex::encode(Sha256::digest(BODY)));
    let webhooks = mac(&decoded, format!("msg_1.{TS}.{BODY}"));
    vec![
        ("json_rewritten", plain(SECRET.as_bytes(), &format!("{TS}.{spaced}"))),
        ("trailing_newline_signed", plain(SECRET.as_bytes(), &format!("{TS}.{BODY}\n"))),
        ("secret_without_prefix", plain(&SECRET.as_bytes()[6..], &format!("{TS}.{BODY}"))),
        ("secret_decoded", plain(&decoded, &format!("{TS}.{BODY}"))),
        ("base64_in_x_signature", curl(TS, &STANDARD.encode(hex::decode(right()).unwrap()))),
        ("timestamp_in_milliseconds", curl("1764109104123", &right())),
        ("milliseconds_signed", plain(SECRET.as_bytes(), &format!("1764109104123.{BODY}"))),
        ("wrong_separator", plain(SECRET.as_bytes(), &format!("{TS}{BODY}"))),
        ("github_scheme", curl(TS, &format!("sha256={}", mac(SECRET, BODY)))),
        ("method_lower_case", curl(TS, &format!("v2={}", mac(SECRET, lower)))),
        ("plain_labelled_v2", curl(TS, &format!("v2={}", right()))),
        ("schemes_mixed", curl(TS, &format!("{}\r\n> webhook-id: msg_1", right()))),
        (
            "hex_in_webhook_signature",
            format!(
                "X-API-Key: {KEY}\nwebhook-id: msg_1\nwebhook-timestamp: {TS}\nwebhook-signature: v1,{webhooks}\n"
            ),
        ),
        ("header_missing", format!("X-Timestamp: {TS}\nX-Signature: {}\n", right())),
    ]
}

#[test]
fn each_class_of_mistakes_is_named_for_people_and_for_programs() {
    let database = Backend::Sqlite.database();
    for (code, headers) in cases() {
        let json = diagnosis(&database, &headers, BODY);
        assert_eq!((json["verdict"].as_str(), codes(&json)[0]), (Some("mistake_found"), code), "{json}");
        let ran = finish(diagnosing(&database, &headers, BODY, &["--now", TS])).done();
        keeps_the_secret(&ran);
        assert!(ran.out.starts_with(&format!("The signature is wrong:\n\n1. {code}\n")), "{ran:?}");
        assert!(ran.out.contains("-Signature: v") || ran.out.contains("-signature: v1,"), "{ran:?}");
    }
}

#[test]
fn json_has_verdict_findings_and_what_was_expected() {
    let database = Backend::Sqlite.database();
    let json = diagnosis(&database, &curl(TS, &mac(SECRET, format!("{TS}:{BODY}"))), BODY);
    let explanation = json["findings"][0]["explanation"].as_str().unwrap();
    assert!(explanation.contains("{timestamp}:{body}"), "{explanation}");
    let expected = json!({
        "verdict": "mistake_found",
        "findings": [{"code": "wrong_separator", "explanation": explanation}],
        "expected": {
            "form": "v1",
            "string_to_sign": format!("{TS}.{BODY}"),
            "headers": {
                "X-API-Key": KEY,
                "X-Timestamp": TS,
                "X-Signature": format!("v1={}", right()),
            },
        },
    });
    assert_eq!(json, expected);
}

#[test]
fn a_long_body_is_shortened_for_people_and_whole_for_programs() {
    let database = Backend::Sqlite.database();
    let body = format!("{{\"a\":\"{}\"}}\n", "x".repeat(2_000));
    let headers = curl(TS, &mac(SECRET, format!("{TS}.{}", body.trim_end())));
    let json = diagnosis(&database, &headers, &body);
    assert_eq!(codes(&json), ["trailing_newline_sent"]);
    assert_eq!(json["expected"]["string_to_sign"], format!("{TS}.{body}"));
    let ran = finish(diagnosing(&database, &headers, &body, &["--now", TS])).done();
    assert!(ran.out.contains("characters left out") && ran.out.contains("x\"}\\n\n"), "{ran:?}");
    assert!(ran.out.len() < 3_000, "{ran:?}");
}

#[test]
fn a_right_signature_is_called_right() {
    let database = Backend::Sqlite.database();
    let headers = curl(TS, &right());
    let ran = finish(diagnosing(&database, &headers, BODY, &["--now", TS])).done();
    assert!(ran.out.starts_with("The signature is right.\n") && ran.out.contains("key list"), "{ran:?}");
    let json = diagnosis(&database, &headers, BODY);
    assert_eq!((&json["verdict"], &json["findings"]), (&json!("right"), &json!([])));
}

#[test]
fn the_tolerance_is_the_configurations_and_now_is_the_present_unless_given() {
    let database = Backend::Sqlite.database();
    let headers = curl(TS, &right());
    for now in [&["--now", "2025-11-25T22:28:24Z", "--json"][..], &["--now", "1764109704", "--json"]] {
        let json = finish(diagnosing(&database, &headers, BODY, now)).done().json();
        assert_eq!(json["verdict"], "right_but_refused");
        assert_eq!(codes(&json), ["timestamp_outside_tolerance"]);
        let mut tolerant = diagnosing(&database, &headers, BODY, now);
        tolerant.env("CONVERSIOND__SIGNATURE__TOLERANCE_S", "900");
        assert_eq!(finish(tolerant).done().json()["verdict"], "right");
    }
    let json = finish(diagnosing(&database, &headers, BODY, &["--json"])).done().json();
    assert_eq!(codes(&json), ["timestamp_outside_tolerance"]);
}

#[test]
fn what_nothing_explains_exits_1_and_says_how_to_go_on() {
    let database = Backend::Sqlite.database();
    let headers = curl(TS, &"0".repeat(64));
    for arguments in [&["--now", TS][..], &["--now", TS, "--json"]] {
        let ran = finish(diagnosing(&database, &headers, BODY, arguments));
        keeps_the_secret(&ran);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("no known mistake explains the signature"), "{ran:?}");
        assert!(ran.out.contains("another secret") && ran.out.contains("unexplained"), "{ran:?}");
    }
}

#[test]
fn method_and_target_come_from_the_request_line_or_from_the_command_line() {
    let database = Backend::Sqlite.database();
    let empty = hex::encode(Sha256::digest(""));
    let value = mac(SECRET, format!("v2\n{TS}\nGET\n/api/v1/conversions?limit=1\n\n\n{empty}"));
    let headers = format!("X-API-Key: {KEY}\nX-Timestamp: {TS}\nX-Signature: v2={value}\n");
    let line = format!("GET /api/v1/conversions?limit=1 HTTP/1.1\n{headers}");
    assert_eq!(diagnosis(&database, &line, "")["verdict"], "right");
    let named = ["--method", "get", "--target", "/api/v1/conversions?limit=1", "--now", TS, "--json"];
    assert_eq!(finish(diagnosing(&database, &headers, "", &named)).done().json()["verdict"], "right");
    let plain = curl(TS, &mac(SECRET, format!("{TS}."))).replace("POST", "GET");
    let json = diagnosis(&database, &plain, "");
    assert_eq!(
        (&json["verdict"], codes(&json)[0]),
        (&json!("right_but_refused"), "signature_form_not_allowed")
    );
    assert_eq!(json["expected"]["form"], "v2");
}

#[test]
fn any_one_of_headers_body_and_secret_may_be_standard_input() {
    let database = Backend::Sqlite.database();
    let headers = curl(TS, &right());
    let file = database.folder().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (name, input) in [("headers", headers.as_str()), ("body", BODY), ("secret", SECRET)] {
        let of = |own: &'static str| if own == name { "-" } else { own };
        let arguments = ["--headers", of("headers"), "--body", of("body"), "--secret-file", of("secret")];
        diagnosing(&database, &headers, BODY, &[]);
        let mut command =
            command(&database, &[&["diagnose", "--json", "--now", TS], &arguments[..]].concat());
        command.env_remove("CONVERSIOND_MASTER_KEY");
        let ran = finish_reading(command, input.as_bytes()).done();
        assert_eq!(ran.json()["verdict"], "right", "{name}");
    }
}

#[test]
fn a_secret_that_was_sent_is_told_and_not_shown() {
    let database = Backend::Sqlite.database();
    for headers in [curl(TS, SECRET), curl(TS, &right()).replace(KEY, SECRET)] {
        let json = diagnosis(&database, &headers, BODY);
        assert_eq!(codes(&json)[0], "secret_sent", "{json}");
        let ran = finish(diagnosing(&database, &headers, BODY, &["--now", TS])).done();
        keeps_the_secret(&ran);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_no_database_is_opened() {
    let database = Backend::Sqlite.database();
    let headers = curl(TS, &right());
    let mut without_secret = diagnosing(&database, &headers, BODY, &[]);
    without_secret.env_remove("CONVERSIOND_SECRET");
    finish(without_secret).failed_saying(&["--secret-file", "CONVERSIOND_SECRET"]);
    let mut short = diagnosing(&database, &headers, BODY, &[]);
    short.env("CONVERSIOND_SECRET", &SECRET[..20]);
    let ran = finish(short).failed_saying(&["the secret must be"]);
    assert!(!ran.err.contains(&SECRET[..20]), "{ran:?}");
    finish(diagnosing(&database, "nothing", BODY, &[])).failed_saying(&["headers: holds no header"]);
    let twice = format!("{headers}{headers}");
    finish(diagnosing(&database, &twice, BODY, &[])).failed_saying(&["headers: holds several requests"]);
    finish(command(&database, &["diagnose", "--headers", "nowhere", "--body", "body"]))
        .failed_saying(&["CONVERSIOND_SECRET"]);
    diagnosis(&database, &headers, BODY);
    let mut left: Vec<_> =
        std::fs::read_dir(database.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["body", "headers"]);
}
