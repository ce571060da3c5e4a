//! The plain form: keys, strings and bodies.

use super::*;
use crate::domain::json;
use crate::domain::signature::diagnosis::json_styles::Style;
use sha2::{Digest as _, Sha256};

/// Signs this message with this key, and sends `BODY`.
#[track_caller]
fn plain(code: &str, key: impl AsRef<[u8]>, message: impl AsRef<[u8]>) {
    finds(&[code], &head(TS, &format!("v1={}", hex::encode(hmac(key, message)))), BODY);
}

#[test]
fn keys_that_are_not_the_secret_are_named() {
    let message = format!("{TS}.{BODY}");
    plain("secret_without_prefix", ENCODED, &message);
    plain("secret_decoded", decoded(), &message);
    for key in [format!("{SECRET}\n"), format!("{SECRET}\r\n"), format!("{SECRET} "), format!(" {SECRET}")] {
        plain("secret_with_white_space", key, &message);
    }
    plain("secret_quoted", format!("\"{SECRET}\""), &message);
    plain("secret_quoted", format!("'{SECRET}'"), &message);
    plain("secret_empty", "", &message);
    plain("key_id_as_secret", KEY, &message);
}

#[test]
fn a_prefix_that_was_decoded_is_named_as_each_language_decodes_it() {
    let message = format!("{TS}.{BODY}");
    for key in [NODE_DECODED, PHP_DECODED] {
        plain("prefix_decoded", hex::decode(key).unwrap(), &message);
    }
}

/// `base64_decode(SECRET)` as PHP and Python say it.
const PHP_DECODED: &str = "c21b1e73efc80c1014181c2024282c3034383c4044484c5054585c6064686c7074787c80";

#[test]
fn strings_put_together_wrongly_are_named() {
    for (code, message) in [
        ("wrong_separator", format!("{TS}{BODY}")),
        ("wrong_separator", format!("{TS}:{BODY}")),
        ("wrong_separator", format!("{TS}\n{BODY}")),
        ("wrong_separator", format!("{TS},{BODY}")),
        ("wrong_separator", format!("{TS}|{BODY}")),
        ("body_before_timestamp", format!("{BODY}.{TS}")),
        ("body_before_timestamp", format!("{BODY}{TS}")),
        ("body_alone", BODY.to_owned()),
        ("timestamp_labelled", format!("t={TS}.{BODY}")),
        ("slack_scheme", format!("v0:{TS}:{BODY}")),
        ("version_signed", format!("v1:{TS}:{BODY}")),
        ("key_id_signed", format!("{KEY}.{TS}.{BODY}")),
    ] {
        plain(code, SECRET, message);
    }
}

#[test]
fn the_separator_that_was_used_is_shown() {
    let head = head(TS, &hex::encode(hmac(SECRET, format!("{TS}\n{BODY}"))));
    let says = finds(&["wrong_separator"], &head, BODY).findings.remove(0).explanation;
    assert!(says.contains("`{timestamp}\\n{body}`") && says.contains("`{timestamp}.{body}`"), "{says}");
}

#[test]
fn bodies_changed_around_their_text_are_named() {
    let json = "{\"a\":1,\n\"b\":\"é\"}";
    for (code, signed, sent) in [
        ("trailing_newline_signed", format!("{json}\n"), json.to_owned()),
        ("trailing_newline_signed", format!("{json}\r\n"), json.to_owned()),
        ("trailing_newline_sent", json.to_owned(), format!("{json}\n")),
        ("trailing_newline_sent", json.to_owned(), format!("{json}\r\n")),
        ("trailing_newline_sent", json.to_owned(), format!("{json}\n\n")),
        ("crlf_signed", json.replace('\n', "\r\n"), json.to_owned()),
        ("lf_signed", json.to_owned(), json.replace('\n', "\r\n")),
        ("line_breaks_not_signed", json.replace('\n', ""), json.to_owned()),
        ("bom_signed", format!("\u{feff}{json}"), json.to_owned()),
        ("bom_sent", json.to_owned(), format!("\u{feff}{json}")),
        ("white_space_sent", json.to_owned(), format!("  {json}\t")),
        ("white_space_signed", format!("{json} "), json.to_owned()),
        ("body_left_out", String::new(), json.to_owned()),
        ("object_as_text", "[object Object]".to_owned(), json.to_owned()),
        ("bytes_as_text", r#"b'{"a":1,\n"b":"\xc3\xa9"}'"#.to_owned(), json.to_owned()),
        ("body_hash_signed", hex::encode(Sha256::digest(json)), json.to_owned()),
        ("body_encoded_twice", r#""{\"a\":1,\n\"b\":\"é\"}""#.to_owned(), json.to_owned()),
    ] {
        let mac = hmac(SECRET, format!("{TS}.{signed}"));
        finds(&[code], &head(TS, &hex::encode(mac)), &sent);
    }
    let latin1: Vec<u8> = json.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let mac = hmac(SECRET, [TS.as_bytes(), b".", &latin1].concat());
    finds(&["latin1_signed"], &head(TS, &hex::encode(mac)), json);
}

#[test]
fn a_text_that_is_no_json_is_examined_as_well() {
    let mac = hmac(SECRET, format!("{TS}.a=b"));
    finds(&["trailing_newline_sent"], &head(TS, &hex::encode(mac)), "a=b\n");
    let mac = hmac(SECRET, [TS.as_bytes(), b".\xff"].concat());
    finds(&["white_space_sent"], &head(TS, &hex::encode(mac)), b" \xff");
}

#[test]
fn json_written_anew_is_recognised_in_every_style() {
    let sent = "{ \"b\" : [\"é/<'\", 129.90, 1.0],\n\"a\": {} }";
    let value = json::parse(sent.as_bytes()).unwrap();
    for style in Style::all() {
        let signed = style.write(&value);
        let mac = hmac(SECRET, format!("{TS}.{signed}"));
        let diagnosis = finds(&["json_rewritten"], &head(TS, &hex::encode(mac)), sent);
        // Styles that write the same are named by the first of them.
        let first = Style::all().into_iter().find(|style| style.write(&value) == signed).unwrap();
        assert!(diagnosis.findings[0].explanation.contains(&first.describe()), "{diagnosis:?}");
    }
}

#[test]
fn libraries_are_named_by_what_they_write() {
    let sent = r#"{"url":"https://é.example/","value":129.90}"#;
    for (signed, words) in [
        (r#"{"url": "https://\u00e9.example/", "value": 129.9}"#, "Python's json.dumps"),
        (r#"{"url":"https:\/\/\u00e9.example\/","value":129.9}"#, "PHP's json_encode"),
        (r#"{"url":"https://é.example/","value":129.9}"#, "JSON.stringify"),
        ("{\n  \"url\": \"https://é.example/\",\n  \"value\": 129.90\n}", "pretty-printed with 2 spaces"),
        ("{\n    \"url\": \"https://é.example/\",\n    \"value\": 129.90\n}", "pretty-printed with 4 spaces"),
        (r#"{"url": "https://é.example/", "value": 129.90}"#, "with a space after each comma and colon"),
    ] {
        let mac = hmac(SECRET, format!("{TS}.{signed}"));
        let diagnosis = finds(&["json_rewritten"], &head(TS, &hex::encode(mac)), sent);
        let says = &diagnosis.findings[0].explanation;
        assert!(says.contains(words), "{says}");
    }
    let sorted = r#"{"a":1,"b":2}"#;
    let mac = hmac(SECRET, format!("{TS}.{sorted}"));
    let diagnosis = finds(&["json_rewritten"], &head(TS, &hex::encode(mac)), r#"{"b":2,"a":1}"#);
    assert!(diagnosis.findings[0].explanation.contains("sorted by name"), "{diagnosis:?}");
}

#[test]
fn timestamps_that_differ_from_the_header_are_named() {
    for (code, sent, signed) in [
        ("other_timestamp", TS, "1764109105"),
        ("other_timestamp", TS, "1764109099"),
        ("milliseconds_signed", TS, "1764109104000"),
        ("milliseconds_signed", TS, "1764109104987"),
        ("milliseconds_signed", TS, "1764109103500"),
        ("timestamp_left_out", TS, ""),
    ] {
        let mac = hmac(SECRET, format!("{signed}.{BODY}"));
        finds(&[code], &head(sent, &hex::encode(mac)), BODY);
    }
    let mac = hmac(SECRET, format!("{TS}.{BODY}"));
    let milliseconds = head("1764109104123", &hex::encode(mac));
    finds(&["timestamp_in_milliseconds", "seconds_signed"], &milliseconds, BODY);
}

#[test]
fn hashes_that_are_no_hmac_sha256_are_named() {
    use hmac::{Hmac, KeyInit as _};
    let message = format!("{TS}.{BODY}");
    let mut sha512 = Hmac::<sha2::Sha512>::new_from_slice(SECRET.as_bytes()).unwrap();
    sha512.update(message.as_bytes());
    let sha512 = sha512.finalize().into_bytes().to_vec();
    let no_hmac = |text: String| Sha256::digest(text).to_vec();
    for (codes, value) in [
        (vec!["hmac_sha512"], sha512),
        (vec!["hmac_arguments_swapped"], hmac(&message, SECRET)),
        (vec!["no_hmac"], no_hmac(format!("{SECRET}{message}"))),
        (vec!["no_hmac"], no_hmac(format!("{message}{SECRET}"))),
        (vec!["no_hmac", "body_alone"], no_hmac(format!("{SECRET}{BODY}"))),
    ] {
        finds(&codes, &head(TS, &hex::encode(value)), BODY);
    }
}
