//! Standard Webhooks.

use super::*;

const ID: &str = "msg_40baqpaaqspp7ft4y5m95edq0p";

fn webhook_head(signature: &str) -> String {
    format!("X-API-Key: {KEY}\nwebhook-id: {ID}\nwebhook-timestamp: {TS}\nwebhook-signature: {signature}\n")
}

fn right() -> Vec<u8> {
    hmac(decoded(), format!("{ID}.{TS}.{BODY}"))
}

#[track_caller]
fn webhook(code: &str, key: impl AsRef<[u8]>, message: &str) {
    finds(&[code], &webhook_head(&format!("v1,{}", STANDARD.encode(hmac(key, message)))), BODY);
}

#[test]
fn keys_that_are_not_the_decoded_secret_are_named() {
    let message = format!("{ID}.{TS}.{BODY}");
    webhook("secret_text_as_key", SECRET, &message);
    webhook("secret_not_decoded", ENCODED, &message);
    webhook("secret_empty", "", &message);
    webhook("prefix_decoded", hex::decode(NODE_DECODED).unwrap(), &message);
}

#[test]
fn strings_put_together_wrongly_are_named() {
    for (code, message) in [
        ("webhook_id_left_out", format!("{TS}.{BODY}")),
        ("webhook_timestamp_left_out", format!("{ID}.{BODY}")),
        ("webhook_id_behind_timestamp", format!("{TS}.{ID}.{BODY}")),
        ("wrong_separator", format!("{ID}:{TS}:{BODY}")),
        ("wrong_separator", format!("{ID}{TS}{BODY}")),
        ("body_alone", BODY.to_owned()),
        ("trailing_newline_signed", format!("{ID}.{TS}.{BODY}\n")),
        ("other_timestamp", format!("{ID}.1764109105.{BODY}")),
        ("milliseconds_signed", format!("{ID}.1764109104001.{BODY}")),
    ] {
        webhook(code, decoded(), &message);
    }
}

#[test]
fn values_written_wrongly_are_named() {
    let base64 = STANDARD.encode(right());
    for (code, value) in [
        ("hex_in_webhook_signature", format!("v1,{}", hex::encode(right()))),
        ("base64_of_hex", format!("v1,{}", STANDARD.encode(hex::encode(right())))),
        ("base64_not_standard", format!("v1,{}", base64.trim_end_matches('='))),
        ("webhook_label", format!("v1={base64}")),
        ("webhook_label", base64.clone()),
        ("webhook_label", format!("v2,{base64}")),
    ] {
        finds(&[code], &webhook_head(&value), BODY);
    }
}

#[test]
fn values_of_one_scheme_in_the_headers_of_another_are_named() {
    let plain = STANDARD.encode(hmac(SECRET, format!("{TS}.{BODY}")));
    finds(&["hex_form_in_webhook_signature"], &webhook_head(&format!("v1,{plain}")), BODY);
    let svix = webhook_head(&format!("v1,{}", STANDARD.encode(right()))).replace("webhook-", "svix-");
    finds(&["svix_headers"], &svix, BODY);
    // Without its id the message of Standard Webhooks is the plain one with the decoded key.
    let head = head(TS, &STANDARD.encode(hmac(decoded(), format!("{TS}.{BODY}"))));
    finds(&["base64_in_x_signature", "secret_decoded"], &head, BODY);
}

#[test]
fn the_expected_headers_keep_the_id() {
    let diagnosis =
        finds(&["hex_in_webhook_signature"], &webhook_head(&format!("v1,{}", hex::encode(right()))), BODY);
    let names: Vec<&str> = diagnosis.expected.headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["X-API-Key", "webhook-id", "webhook-timestamp", "webhook-signature"]);
    assert_eq!(diagnosis.expected.string_to_sign, format!("{ID}.{TS}.{BODY}").into_bytes());
    assert_eq!(diagnosis.expected.headers[3].1, format!("v1,{}", STANDARD.encode(right())));
}
