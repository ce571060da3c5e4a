//! Right signatures: never diagnosed as a mistake.

use proptest::prelude::*;

use super::*;
use crate::domain::signature::{Covered, Form, sign};

/// The headers of a right signature, as text.
fn signed(form: Form, timestamp: i64, covered: &Covered<'_>) -> String {
    let secret = SigningSecret::parse(SECRET).unwrap();
    let headers = sign(form, KEY, &secret, timestamp, "msg_1", covered);
    let mut text = format!("{} {} HTTP/1.1\n", covered.method, covered.target);
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    for (name, value) in
        [("Idempotency-Key", covered.idempotency_key), ("X-External-Event-Id", covered.external_event_id)]
    {
        if !value.is_empty() {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    text
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Plain), Just(Form::Bound), Just(Form::StandardWebhooks)]
}

const fn covered<'a>(method: &'a str, body: &'a [u8]) -> Covered<'a> {
    Covered { method, target: "/api/v1/x", idempotency_key: "", external_event_id: "", body }
}

#[test]
fn a_right_signature_at_the_wrong_time_is_right_but_refused() {
    for off in [301, 7_200, -7_200, 100_000_000] {
        let head = signed(Form::Plain, NOW - off, &covered("POST", b"{}"));
        let diagnosis = examine(&head, "{}");
        assert_eq!(
            (diagnosis.verdict, codes(&diagnosis)),
            (Verdict::RightButRefused, vec!["timestamp_outside_tolerance"])
        );
        let says = &diagnosis.findings[0].explanation;
        assert!(says.contains(&format!("{} s", off.abs())), "{says}");
        assert_eq!(says.contains("local time"), off.abs() == 7_200, "{says}");
        // What would be right now.
        assert_eq!(diagnosis.expected.headers[1].1, TS);
    }
    let head = signed(Form::Plain, NOW - 300, &covered("POST", b"{}"));
    assert_eq!(examine(&head, "{}").verdict, Verdict::Right);
}

#[test]
fn a_form_that_the_endpoint_does_not_take_is_told() {
    for form in [Form::Plain, Form::StandardWebhooks] {
        let diagnosis = examine(&signed(form, NOW, &covered("GET", b"")), "");
        assert_eq!(
            (diagnosis.verdict, codes(&diagnosis)),
            (Verdict::RightButRefused, vec!["signature_form_not_allowed"])
        );
        assert_eq!(diagnosis.expected.form, Form::Bound);
    }
    assert_eq!(examine(&signed(Form::Bound, NOW, &covered("GET", b"")), "").verdict, Verdict::Right);
    let value = hex::encode(hmac(ENCODED, format!("{TS}.")));
    let reading = format!("GET /api/v1/orders HTTP/1.1\n{}", head(TS, &value));
    finds(&["secret_without_prefix", "signature_form_not_allowed"], &reading, "");
}

#[test]
fn a_clock_that_is_off_is_told_beside_a_mistake() {
    let value = hex::encode(hmac(ENCODED, format!("1764100000.{BODY}")));
    finds(&["secret_without_prefix", "timestamp_outside_tolerance"], &head("1764100000", &value), BODY);
}

#[test]
fn the_aliases_are_read_and_named_in_what_is_expected() {
    let head =
        signed(Form::Plain, NOW, &covered("POST", b"{}")).replace("X-T", "X-Nim-T").replace("X-S", "X-Nim-S");
    let diagnosis = examine(&head, "{}");
    assert_eq!(diagnosis.verdict, Verdict::Right);
    assert_eq!(diagnosis.expected.headers[2].0, "X-Nim-Signature");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_right_signature_is_never_called_a_mistake(
        form in form(),
        off in -300i64..=300,
        target in "/[a-zA-Z0-9/?=&%._-]{0,40}",
        key in "[!-~]{0,40}",
        event in "[!-~]{0,40}",
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 1..200),
            "\\{\"[a-zé/]{1,8}\" ?: ?[0-9]{1,3}\\.[0-9]{2}\\}\n?".prop_map(String::into_bytes),
        ],
    ) {
        let covered = Covered {
            method: "POST", target: &target, idempotency_key: &key, external_event_id: &event, body: &body,
        };
        let diagnosis = examine(&signed(form, NOW + off, &covered), &body);
        prop_assert_eq!(diagnosis.verdict, Verdict::Right);
        prop_assert!(diagnosis.findings.is_empty());
        prop_assert_eq!(diagnosis.expected.form, form);
    }

    #[test]
    fn no_head_and_no_body_make_the_doctor_stumble(
        lines in prop::collection::vec(
            "(X-API-Key|X-Timestamp|X-Signature|webhook-id|webhook-signature|Stripe-Signature|Host): ?.{0,40}", 1..5,
        ),
        signature in "(v[0-9]=|t=|sha256=|v1,)?([0-9a-f]{64}|[A-Za-z0-9+/]{43}=)",
        timestamp in "[0-9.T:Z-]{0,20}",
        body in ".{0,40}",
    ) {
        let head = format!("{}{}\n", head(&timestamp, &signature), lines.join("\n"));
        let diagnosis = examine(&head, &body);
        prop_assert!(diagnosis.verdict == Verdict::MistakeFound || diagnosis.verdict == Verdict::Unexplained);
        prop_assert!(!diagnosis.findings.is_empty());
    }
}
