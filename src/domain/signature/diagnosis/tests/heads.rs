//! Headers: other services' ways, faults, and what leads to no MAC at all.

use super::*;

fn right() -> Vec<u8> {
    hmac(SECRET, format!("{TS}.{BODY}"))
}

fn right_hex() -> String {
    hex::encode(right())
}

#[test]
fn values_written_wrongly_are_named() {
    let base64 = STANDARD.encode(right());
    for (code, value) in [
        ("base64_in_x_signature", base64.clone()),
        ("base64_in_x_signature", format!("v1={base64}")),
        ("base64_in_x_signature", format!("v1={}", base64.trim_end_matches('='))),
        ("base64_of_hex", STANDARD.encode(right_hex())),
        ("github_scheme", format!("sha256={}", right_hex())),
        ("stripe_scheme", format!("t={TS},v1={}", right_hex())),
        ("slack_scheme", format!("v0={}", right_hex())),
        ("unknown_label", format!("hmac={}", right_hex())),
    ] {
        finds(&[code], &head(TS, &value), BODY);
    }
}

#[test]
fn other_services_ways_are_named() {
    let body_alone = hmac(SECRET, BODY);
    let slack = hmac(SECRET, format!("v0:{TS}:{BODY}"));
    let key = format!("X-API-Key: {KEY}\n");
    for (codes, headers) in [
        (vec!["stripe_scheme"], format!("Stripe-Signature: t={TS},v1={}", right_hex())),
        (
            vec!["github_scheme", "body_alone"],
            format!("X-Hub-Signature-256: sha256={}", hex::encode(&body_alone)),
        ),
        (
            vec!["shopify_scheme", "body_alone"],
            format!("X-Shopify-Hmac-Sha256: {}", STANDARD.encode(&body_alone)),
        ),
        (
            vec!["slack_scheme"],
            format!("X-Slack-Request-Timestamp: {TS}\nX-Slack-Signature: v0={}", hex::encode(&slack)),
        ),
    ] {
        finds(&codes, &format!("{key}{headers}\n"), BODY);
    }
    let in_ours = head(TS, &format!("v0={}", hex::encode(slack)));
    finds(&["slack_scheme"], &in_ours, BODY);
    let stripe_alone = format!("{key}X-Signature: t={TS},v1={}\n", right_hex());
    finds(&["stripe_scheme", "header_missing"], &stripe_alone, BODY);
}

#[test]
fn another_services_header_is_named_even_when_its_value_fits_nothing() {
    let head = format!("X-API-Key: {KEY}\nX-Hub-Signature-256: sha256={}\n", "0".repeat(64));
    finds(&["github_scheme", "unexplained"], &head, BODY);
    let unreadable = format!("X-API-Key: {KEY}\nStripe-Signature: nothing\n");
    finds(&["stripe_scheme"], &unreadable, BODY);
}

#[test]
fn another_services_header_beside_ours_is_passed_over() {
    let both = format!("{}X-Hub-Signature-256: sha256={}\n", head(TS, &right_hex()), "0".repeat(64));
    assert_eq!(examine(&both, BODY).verdict, Verdict::Right);
}

#[test]
fn faults_of_the_headers_are_all_named() {
    let hex = right_hex();
    let missing = ["header_missing", "otherwise_right"];
    finds(&missing, &format!("X-Timestamp: {TS}\nX-Signature: {hex}\n"), BODY);
    finds(&["header_missing"], &format!("X-API-Key: {KEY}\nX-Timestamp: {TS}\n"), BODY);
    finds(&["header_missing"; 3], "Accept: */*\n", BODY);
    let underscores = format!("X-API-Key: {KEY}\nX-Timestamp: {TS}\nX_Signature: {hex}\n");
    let says = finds(&["header_missing"], &underscores, BODY).findings.remove(0).explanation;
    assert!(says.contains("X_Signature"), "{says}");
    let repeated = format!("{}X-Signature: {hex}\n", head(TS, &hex));
    finds(&["header_repeated", "otherwise_right"], &repeated, BODY);
    let mixed = format!("{}webhook-id: msg_1\n", head(TS, &hex));
    finds(&["schemes_mixed", "otherwise_right"], &mixed, BODY);
    let also_malformed = head(TS, &format!("{hex},v2=zz"));
    finds(&["header_malformed", "otherwise_right"], &also_malformed, BODY);
    finds(&["header_malformed"], &head(TS, "not a signature"), BODY);
    let sha1 = finds(&["header_malformed"], &head(TS, &"a".repeat(40)), BODY);
    assert!(sha1.findings[0].explanation.contains("SHA-1"), "{sha1:?}");
}

#[test]
fn a_malformed_timestamp_is_told_even_where_it_was_signed_as_sent() {
    for (code, timestamp) in [
        ("timestamp_in_milliseconds", "1764109104123"),
        ("timestamp_malformed", "1764109104.5"),
        ("timestamp_malformed", "1764109104123456"),
        ("timestamp_malformed", "2025-11-25T22:18:24Z"),
        ("timestamp_malformed", "soon"),
    ] {
        let signed = hex::encode(hmac(SECRET, format!("{timestamp}.{BODY}")));
        let diagnosis = finds(&[code, "otherwise_right"], &head(timestamp, &signed), BODY);
        assert_eq!(diagnosis.expected.headers[1].1, TS, "{timestamp}");
    }
}

#[test]
fn a_key_id_that_is_none_is_told_although_the_signature_is_right() {
    let diagnosis = examine(&head(TS, &right_hex()).replace(KEY, "ak_live_x"), BODY);
    assert_eq!((diagnosis.verdict, codes(&diagnosis)), (Verdict::RightButRefused, vec!["key_id_malformed"]));
}

#[test]
fn a_body_file_that_is_not_what_was_sent_is_told_first() {
    let announced = format!("{}Content-Length: {}\n", head(TS, &right_hex()), BODY.len());
    finds(&["body_file_differs", "trailing_newline_sent"], &announced, format!("{BODY}\n"));
}

#[test]
fn the_secret_is_never_shown() {
    let text = ENCODED.trim_start_matches("+/").trim_end_matches('=');
    let sent = format!(
        "POST /x?secret={SECRET} HTTP/1.1\nX-API-Key: {SECRET}\nIdempotency-Key: {SECRET}\nX-Timestamp: \
         {TS}\nX-Signature: {SECRET}\n"
    );
    let escaped = SECRET.replace('/', "\\/");
    for (head, body) in [
        (sent, SECRET),
        (head(TS, &"0".repeat(64)), SECRET),
        (head(TS, &"0".repeat(64)), escaped.as_str()),
        (head(TS, SECRET), BODY),
    ] {
        let diagnosis = examine(&head, body);
        assert_eq!(codes(&diagnosis)[0], "secret_sent");
        assert!(!format!("{diagnosis:?}").contains(text), "{diagnosis:?}");
        assert!(!String::from_utf8_lossy(&diagnosis.expected.string_to_sign).contains(text));
    }
}
