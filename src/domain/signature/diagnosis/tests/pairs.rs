//! Two mistakes at once, and values that nothing explains.

use super::*;

#[test]
fn two_mistakes_are_both_named() {
    let spaced = r#"{"event_name": "lead", "external_id": "L-1"}"#;
    for (codes, key, message) in [
        (["wrong_separator", "secret_without_prefix"], ENCODED.as_bytes().to_vec(), format!("{TS}{BODY}")),
        (["body_alone", "secret_decoded"], decoded(), BODY.to_owned()),
        (["json_rewritten", "secret_without_prefix"], ENCODED.as_bytes().to_vec(), format!("{TS}.{spaced}")),
        (["wrong_separator", "json_rewritten"], SECRET.as_bytes().to_vec(), format!("{TS}:{spaced}")),
        (
            ["json_rewritten", "trailing_newline_signed"],
            SECRET.as_bytes().to_vec(),
            format!("{TS}.{spaced}\n"),
        ),
        (["other_timestamp", "json_rewritten"], SECRET.as_bytes().to_vec(), format!("1764109105.{spaced}")),
        (
            ["secret_without_prefix", "secret_with_white_space"],
            format!("{ENCODED}\n").into_bytes(),
            format!("{TS}.{BODY}"),
        ),
        (
            ["hmac_arguments_swapped", "wrong_separator"],
            format!("{TS}{BODY}").into_bytes(),
            SECRET.to_owned(),
        ),
    ] {
        finds(&codes, &head(TS, &hex::encode(hmac(key, message))), BODY);
    }
}

#[test]
fn the_writing_of_the_value_costs_nothing() {
    let value = STANDARD.encode(hmac(ENCODED, format!("{TS}{BODY}")));
    finds(&["base64_in_x_signature", "wrong_separator", "secret_without_prefix"], &head(TS, &value), BODY);
}

#[test]
fn of_several_values_any_may_be_the_explained_one() {
    let wrong = "0".repeat(64);
    let value = hex::encode(hmac(ENCODED, format!("{TS}.{BODY}")));
    finds(&["secret_without_prefix"], &head(TS, &format!("{wrong},v2={wrong},{value}")), BODY);
}

#[test]
fn what_nothing_explains_is_said_plainly() {
    let other = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    for value in [hmac(other, format!("{TS}.{BODY}")), hmac(SECRET, format!("{TS}.another body"))] {
        let diagnosis = examine(&head(TS, &hex::encode(value)), BODY);
        assert_eq!((diagnosis.verdict, codes(&diagnosis)), (Verdict::Unexplained, vec!["unexplained"]));
        let says = &diagnosis.findings[0].explanation;
        assert!(says.contains("another secret") && says.contains("another body"), "{says}");
        assert!(!says.contains("--target"), "v1 binds no target: {says}");
    }
    let bound = examine(&head(TS, &format!("v2={}", "0".repeat(64))), BODY);
    assert!(bound.findings[0].explanation.contains("--target"), "the target was assumed: {bound:?}");
}

#[test]
fn a_large_body_is_examined_for_single_mistakes() {
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(200 * 1024));
    let single = hex::encode(hmac(ENCODED, format!("{TS}.{body}")));
    finds(&["secret_without_prefix"], &head(TS, &single), &body);
    let pair = hex::encode(hmac(ENCODED, format!("{TS}{body}")));
    let diagnosis = examine(&head(TS, &pair), &body);
    assert_eq!(diagnosis.verdict, Verdict::Unexplained);
    assert!(diagnosis.findings[0].explanation.contains("only single mistakes"), "{diagnosis:?}");
}
