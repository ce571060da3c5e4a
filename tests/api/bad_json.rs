//! Bodies that are no strict JSON: 400, nothing written, the service goes on (contract 4.1).

use conversiond::domain::signature::Form;
use serde_json::json;

use crate::support::caller::Answer;
use crate::support::{Backend, Service, on_both_databases};

const PATH: &str = "/api/v1/conversions";

async fn post_bytes(service: &Service, body: &[u8]) -> Answer {
    let headers = service.caller.headers(Form::Plain, "POST", PATH, body);
    service.caller.send("POST", PATH, body, &headers).await
}

/// A lead with one more member, whose text is given.
fn lead_with(member: &str) -> Vec<u8> {
    format!(r#"{{"event_name":"lead","external_id":"L-1",{member}}}"#).into_bytes()
}

fn nested(open: &str, close: &str, levels: usize) -> String {
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}

fn utf_16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

const LEAD: &str = r#"{"event_name":"lead","external_id":"L-1"}"#;

fn rows() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("a duplicate name", lead_with(r#""event_name":"lead""#)),
        ("a duplicate name with null", lead_with(r#""x":null,"x":null"#)),
        ("a duplicate name one level down", lead_with(r#""custom_data":{"value":"1","value":"2"}"#)),
        ("a duplicate name in an array", lead_with(r#""x":[1,{"y":[{"a":1,"a":1}]}]"#)),
        ("a duplicate name in metadata", lead_with(r#""metadata":{"a":{"b":{"c":1,"c":2}}}"#)),
        ("a duplicate name in an escape", lead_with(r#""event\u005fname":"sale""#)),
        ("a duplicate name in two escapes", lead_with(r#""x":{"\u00e9":1,"é":2}"#)),
        ("a duplicate empty name", lead_with(r#""x":{"":1,"":2}"#)),
        ("arrays at depth 17", lead_with(&format!(r#""x":{}"#, nested("[", "]", 16)))),
        ("objects at depth 17", lead_with(&format!(r#""x":{}"#, nested(r#"{"y":"#, "}", 16)))),
        ("metadata at depth 17", lead_with(&format!(r#""metadata":{}"#, nested(r#"{"y":"#, "}", 16)))),
        ("depth 30,000", nested("[", "]", 30_000).into_bytes()),
        ("depth 60,000, never closed", "[".repeat(60_000).into_bytes()),
        ("an escaped NUL in a value", lead_with(r#""nim_ct":"a\u0000""#)),
        ("an escaped NUL in an unknown value", lead_with(r#""x":[{"y":"\u0000"}]"#)),
        ("an escaped NUL in a name", lead_with(r#""a\u0000b":1"#)),
        ("an escaped NUL in a name in metadata", lead_with(r#""metadata":{"\u0000":1}"#)),
        ("a raw NUL in a value", lead_with("\"x\":\"\0\"")),
        ("a NUL after the end", text(&format!("{LEAD}\0"))),
        ("a lone high surrogate", lead_with(r#""x":"\ud83d""#)),
        ("a lone low surrogate", lead_with(r#""x":"\ude00""#)),
        ("surrogates the wrong way round", lead_with(r#""x":"\ude00\ud83d""#)),
        ("a lone surrogate in a name", lead_with(r#""\ud83dx":1"#)),
        ("a lone surrogate in metadata", lead_with(r#""metadata":{"a":["\udfff"]}"#)),
        ("a surrogate in UTF-8", [br#"{"a":""#.as_slice(), b"\xed\xa0\x80", br#""}"#].concat()),
        ("a second value", text(&format!("{LEAD}{LEAD}"))),
        ("a second value on a line of its own", text(&format!("{LEAD}\n{LEAD}"))),
        ("text after the end", text(&format!("{LEAD} x"))),
        ("a bracket too many", text(&format!("{LEAD}}}"))),
        ("a byte order mark", text(&format!("\u{feff}{LEAD}"))),
        ("UTF-16, little-endian", utf_16(LEAD, u16::to_le_bytes)),
        ("UTF-16, big-endian, with a mark", utf_16(&format!("\u{feff}{LEAD}"), u16::to_be_bytes)),
        (
            "invalid UTF-8",
            [br#"{"event_name":"lead","external_id":""#.as_slice(), b"\xff", br#""}"#].concat(),
        ),
        ("Latin-1", [br#"{"event_name":"lead","external_id":"caf"#.as_slice(), b"\xe9", br#""}"#].concat()),
        ("overlong UTF-8", [br#"{"a":""#.as_slice(), b"\xc0\xaf", br#""}"#].concat()),
        ("UTF-8 that breaks off", [br#"{"a":""#.as_slice(), b"\xf0\x9f\x98", br#""}"#].concat()),
        ("a line comment", text(&format!("// a lead\n{LEAD}"))),
        ("a block comment", lead_with(r#""x":/* one */1"#)),
        ("NaN", lead_with(r#""custom_data":{"value":NaN,"currency":"USD"}"#)),
        ("Infinity", lead_with(r#""x":Infinity"#)),
        ("minus Infinity", lead_with(r#""x":-Infinity"#)),
        ("undefined", lead_with(r#""x":undefined"#)),
        ("True", lead_with(r#""x":True"#)),
        ("a leading zero", lead_with(r#""x":01"#)),
        ("a leading plus", lead_with(r#""x":+1"#)),
        ("a leading point", lead_with(r#""x":.5"#)),
        ("a trailing point", lead_with(r#""x":1."#)),
        ("a minus alone", lead_with(r#""x":-"#)),
        ("an exponent without digits", lead_with(r#""x":1e"#)),
        ("a hexadecimal number", lead_with(r#""x":0x10"#)),
        ("a trailing comma in an object", text(r#"{"event_name":"lead","external_id":"L-1",}"#)),
        ("a trailing comma in an array", lead_with(r#""x":[1,]"#)),
        ("single quotes", text("{'event_name':'lead','external_id':'L-1'}")),
        ("names without quotes", text(r#"{event_name:"lead",external_id:"L-1"}"#)),
        ("a name that is a number", lead_with(r#"1:1"#)),
        ("a member without a value", lead_with(r#""x":"#)),
        ("a raw line break in a text", lead_with("\"x\":\"a\nb\"")),
        ("a raw control character", lead_with("\"x\":\"\u{1}\"")),
        ("an unknown escape", lead_with(r#""x":"\x41""#)),
        ("an escape that breaks off", lead_with(r#""x":"\u00""#)),
        ("an object that breaks off", text(&LEAD[..LEAD.len() - 1])),
        ("a text that breaks off", text(r#"{"event_name":"lead"#)),
        ("a form", text("event_name=lead&external_id=L-1")),
        ("XML", text("<event name=\"lead\"/>")),
        ("white space alone", text(" \r\n\t ")),
        ("a form feed as white space", text(&format!("\u{c}{LEAD}"))),
    ]
}

on_both_databases! {
    async fn what_is_no_strict_json_is_400_and_nothing_is_written(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        for (class, body) in rows() {
            let answer = post_bytes(&service, &body).await;
            assert_eq!(answer.word(), "malformed_json", "{class}: {}", answer.text);
            answer.expect_problem(400, "malformed_json");
            assert_eq!(setup.count_events(), 0, "{class}");
        }
        assert_eq!(post_bytes(&service, LEAD.as_bytes()).await.word(), "ACCEPTED");
    }

    async fn json_that_is_no_object_is_422_and_nothing_is_written(backend: Backend) {
        let service = Service::start(backend).await;
        for body in [format!("[{LEAD}]"), "[]".to_owned(), r#""lead""#.to_owned(), "1".to_owned(), "9".repeat(5_000),
            "null".to_owned(), "true".to_owned()]
        {
            post_bytes(&service, body.as_bytes()).await.expect_errors(&[" wrong_type"]);
        }
        post_bytes(&service, b"{}").await.expect_errors(&["/event_name required"]);
        assert_eq!(service.count_events(), 0);
    }

    async fn unusual_but_strict_json_is_taken_and_read_back_as_it_was(backend: Backend) {
        let service = Service::start(backend).await;
        for (number, metadata) in [
            nested(r#"{"y":"#, "}", 15),
            "{}".to_owned(),
            r#"{"":null}"#.to_owned(),
            format!(r#"{{"n":{}}}"#, "7".repeat(5_000)),
            r#"{"n":[1e400,-0,0.1e-7,-1.50,1E+2,18446744073709551616]}"#.to_owned(),
            r#"{"t":"\ud83d\ude00 😀 \/ \u2028 \u0001 \uffff é e\u0301"}"#.to_owned(),
            r#"{"a":1,"A":2,"à":3,"a ":4}"#.to_owned(),
            format!(r#"{{"t":"{}"}}"#, "x".repeat(8_192 - 8)),
            "{ \"a\" :\r\n\t[ 1 , 2 ] }".to_owned(),
        ].into_iter().enumerate() {
            let body = format!(" {{\"event_name\":\"lead\",\"external_id\":\"L-{number}\",\"metadata\":{metadata}}}\r\n");
            let answer = post_bytes(&service, body.as_bytes()).await;
            assert_eq!(answer.word(), "ACCEPTED", "{metadata}: {}", answer.text);
            let read = service.caller.get(&format!("{PATH}/{}", answer.at("/event_id").as_str().unwrap())).await;
            assert_eq!(read.status, 200, "{}", read.text);
            // Byte for byte: parsing it here would lose digits.
            assert!(read.text.contains(&format!("\"metadata\":{metadata}")), "{metadata}: {}", read.text);
            let again = post_bytes(&service, body.as_bytes()).await;
            assert_eq!((again.word().as_str(), again.at("/differs")), ("DUPLICATE", json!(null)), "{metadata}");
        }
        assert_eq!(service.count_events(), 9);
    }
}
