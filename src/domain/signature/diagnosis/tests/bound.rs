//! The bound form: the seven lines.

use super::*;
use sha2::{Digest as _, Sha256};

const TARGET: &str = "/api/v1/conversions?a=B";
const IDEMPOTENCY: &str = "ORD-1001-conversion";
const EVENT: &str = "evt-77";

fn digest(body: &str) -> String {
    hex::encode(Sha256::digest(body))
}

fn lines(fields: [&str; 7]) -> String {
    fields.join("\n")
}

fn bound_head(value: &[u8]) -> String {
    let value = hex::encode(value);
    format!(
        "POST {TARGET} HTTP/1.1\nHost: api.example.com\nX-API-Key: {KEY}\nIdempotency-Key: {IDEMPOTENCY}\n\
         X-External-Event-Id: {EVENT}\nX-Timestamp: {TS}\nX-Signature: v2={value}\n"
    )
}

#[track_caller]
fn bound(codes: &[&str], message: impl AsRef<[u8]>) {
    finds(codes, &bound_head(&hmac(SECRET, message)), BODY);
}

#[test]
fn a_line_filled_in_wrongly_is_named() {
    let hash = digest(BODY);
    let upper = hash.to_uppercase();
    let base64 = STANDARD.encode(Sha256::digest(BODY));
    let with = |at: usize, text: &str| {
        let mut fields = ["v2", TS, "POST", TARGET, IDEMPOTENCY, EVENT, hash.as_str()];
        fields[at] = text;
        lines(fields)
    };
    for (code, message) in [
        ("other_timestamp", with(1, "1764109103")),
        ("milliseconds_signed", with(1, "1764109104321")),
        ("method_lower_case", with(2, "post")),
        ("other_method", with(2, "GET")),
        ("method_left_out", with(2, "")),
        ("target_without_query", with(3, "/api/v1/conversions")),
        ("target_without_slash", with(3, "api/v1/conversions?a=B")),
        ("target_is_url", with(3, "https://api.example.com/api/v1/conversions?a=B")),
        ("target_is_url", with(3, "http://api.example.com/api/v1/conversions?a=B")),
        ("target_is_url", with(3, "https://api.example.com/api/v1/conversions")),
        ("target_cut", with(3, "/v1/conversions?a=B")),
        ("target_cut", with(3, "/conversions?a=B")),
        ("target_lower_case", with(3, "/api/v1/conversions?a=b")),
        ("target_left_out", with(3, "")),
        ("idempotency_key_left_out", with(4, "")),
        ("external_event_id_left_out", with(5, "")),
        ("body_hash_upper_case", with(6, &upper)),
        ("body_hash_base64", with(6, &base64)),
        ("body_not_hashed", with(6, BODY)),
        ("body_left_out", with(6, &digest(""))),
        ("trailing_newline_signed", with(6, &digest(&format!("{BODY}\n")))),
        ("json_rewritten", with(6, &digest(r#"{"event_name": "lead", "external_id": "L-1"}"#))),
    ] {
        bound(&[code], message);
    }
}

#[test]
fn ids_left_out_or_swapped_are_named() {
    let hash = digest(BODY);
    let of = |key, event| lines(["v2", TS, "POST", TARGET, key, event, &hash]);
    bound(&["ids_swapped"], of(EVENT, IDEMPOTENCY));
    bound(&["idempotency_key_left_out", "external_event_id_left_out"], of("", ""));
    let quoted = bound_head(&hmac(SECRET, of(IDEMPOTENCY, EVENT)))
        .replace(&format!("Idempotency-Key: {IDEMPOTENCY}"), &format!("Idempotency-Key: \"{IDEMPOTENCY}\""));
    finds(&["idempotency_key_unquoted"], &quoted, BODY);
}

#[test]
fn lines_joined_wrongly_are_named() {
    let hash = digest(BODY);
    let right = lines(["v2", TS, "POST", TARGET, IDEMPOTENCY, EVENT, &hash]);
    bound(&["newline_behind_lines"], format!("{right}\n"));
    bound(&["lines_joined_by_crlf"], right.replace('\n', "\r\n"));
    bound(&["lines_joined_by_backslash_n"], right.replace('\n', "\\n"));
    bound(&["lines_joined_by_full_stops"], right.replace('\n', "."));
    bound(&["version_line_left_out"], right.trim_start_matches("v2\n"));
    let value =
        hmac(SECRET, lines(["v2", TS, "POST", "/api/v1/conversions", "", "", &hash]).replace("\n\n\n", "\n"));
    finds(&["empty_lines_left_out"], &head(TS, &format!("v2={}", hex::encode(value))), BODY);
}

#[test]
fn keys_count_here_as_well() {
    let hash = digest(BODY);
    let right = lines(["v2", TS, "POST", TARGET, IDEMPOTENCY, EVENT, &hash]);
    for (code, key) in [
        ("secret_without_prefix", ENCODED.as_bytes().to_vec()),
        ("secret_decoded", decoded()),
        ("secret_with_white_space", format!("{SECRET}\n").into_bytes()),
    ] {
        finds(&[code], &bound_head(&hmac(key, &right)), BODY);
    }
}

#[test]
fn a_value_under_the_other_forms_label_is_named() {
    let hash = digest(BODY);
    let bound = hmac(SECRET, lines(["v2", TS, "POST", "/api/v1/conversions", "", "", &hash]));
    let plain = hmac(SECRET, format!("{TS}.{BODY}"));
    for (code, value) in [
        ("bound_labelled_v1", format!("v1={}", hex::encode(&bound))),
        ("bound_labelled_v1", hex::encode(&bound)),
        ("plain_labelled_v2", format!("v2={}", hex::encode(&plain))),
    ] {
        finds(&[code], &head(TS, &value), BODY);
    }
}

#[test]
fn what_is_expected_is_the_contracts_string() {
    let diagnosis = examine(&bound_head(&[0; 32]), BODY);
    let right = lines(["v2", TS, "POST", TARGET, IDEMPOTENCY, EVENT, &digest(BODY)]);
    assert_eq!(diagnosis.verdict, Verdict::Unexplained);
    assert_eq!(diagnosis.expected.string_to_sign, right.as_bytes());
    let value = format!("v2={}", hex::encode(hmac(SECRET, &right)));
    assert_eq!(
        diagnosis.expected.headers,
        [("X-API-Key", KEY.to_owned()), ("X-Timestamp", TS.to_owned()), ("X-Signature", value)]
    );
}
