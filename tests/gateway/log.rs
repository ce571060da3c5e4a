//! What the gateway's log holds of requests, and what it never holds.

use serde_json::{Value, json};

use crate::nginx::Gateway;
use crate::support::raw::RawConnection;
use crate::{TARGET, behind_gateway, sale};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_is_json_and_holds_neither_keys_nor_queries() {
    let Some((_service, gateway, caller)) = behind_gateway("").await else { return };
    let sent = caller.post(&sale("ORD-1")).await;
    caller.get(&format!("{TARGET}?order_id=ORD-SECRET")).await;
    let lines = gateway.access_log(2);
    assert_eq!(lines[0]["request_id"].as_str(), sent.header("x-request-id"));
    assert_eq!((&lines[0]["client"], &lines[0]["endpoint"]), (&json!("127.0.0.1"), &json!("api")));
    assert_eq!((&lines[0]["method"], &lines[1]["method"]), (&json!("POST"), &json!("GET")));
    let text = format!("{lines:?}");
    for hidden in [&caller.key_id, "ORD-SECRET", "v1=", "v2="] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}

/// Bytes that are no UTF-8, a C1 control character, text from right to left, an end of a JSON string.
const STRANGE: [&[u8]; 6] =
    [b"\xff\xfe", b"\xc2\x9b31m", b"\xe2\x80\xaeevil", b"\x80", b"\xed\xa0\x80", b"\",\"status\":\"200"];

/// Requests that carry these bytes in path, query, header, header's name, method and version.
fn requests_with(strange: &[u8]) -> Vec<Vec<u8>> {
    let around = |before: &str, after: &str| [before.as_bytes(), strange, after.as_bytes()].concat();
    let end = " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let head = "GET /api/v1/orders HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";
    vec![
        around("GET /", end),
        around("GET /api/v1/orders/", end),
        around("POST /v1/webhooks/", end),
        around("GET /api/v1/conversions/bulk?a=", end),
        around("GET /api/v1/orders?order_id=", end),
        around(&format!("{head}X-Request-ID: "), "\r\n\r\n"),
        around(&format!("{head}X-API-Key: "), "\r\n\r\n"),
        around(&format!("{head}User-Agent: "), "\r\n\r\n"),
        around(&format!("{head}X-"), ": a\r\n\r\n"),
        around("GET /api/v1/orders HTTP/1.1\r\nConnection: close\r\nHost: ", "\r\n\r\n"),
        around("G", " /api/v1/orders HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"),
        around("GET /api/v1/orders HTTP/1.", "\r\nHost: test\r\nConnection: close\r\n\r\n"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_bytes_strangers_send_every_line_of_the_log_is_json_in_plain_ascii() {
    let Some((_service, gateway, _)) = behind_gateway("").await else { return };
    let mut sent = 0;
    for strange in STRANGE {
        for bytes in requests_with(strange) {
            let mut connection = RawConnection::open(gateway.address).await;
            connection.send(&bytes).await;
            let answer = connection.answer().await;
            assert_ne!(answer.status, 200, "{:?}", String::from_utf8_lossy(&bytes));
            sent += 1;
        }
    }
    let lines = gateway.access_log(sent);
    for line in &lines {
        assert!(line.to_string().is_ascii(), "{line}");
        let method = line["method"].as_str().unwrap();
        assert!(["", "GET", "POST", "OTHER"].contains(&method), "{line}");
        assert!(!line["endpoint"].as_str().unwrap().contains("evil"), "{line}");
    }
    assert!(gateway.raw_logs().is_ascii(), "and so is the log of errors");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_gateways_own_is_logged_with_the_method_that_was_sent() {
    let Some((service, gateway, caller)) = behind_gateway("").await else { return };
    drop(service);
    let large = vec![b'x'; 100_000];
    let url = |path: &str| format!("{}{path}", gateway.base());
    for (method, path) in [("POST", "/metrics"), ("DELETE", "/api"), ("BREW", "/pot")] {
        caller.http.request(method.parse().unwrap(), url(path)).send().await.unwrap();
    }
    caller.http.post(url(TARGET)).body(large).send().await.unwrap();
    let lines = gateway.access_log(4);
    let told: Vec<[&Value; 3]> =
        lines.iter().map(|line| [&line["method"], &line["endpoint"], &line["status"]]).collect();
    for (line, expected) in told.iter().zip([
        ["POST", "none", "404"],
        ["DELETE", "none", "404"],
        ["OTHER", "none", "404"],
        // It was refused by its length, before a location's own lines ran.
        ["", "", "413"],
    ]) {
        assert_eq!(line, &expected.map(|text| json!(text)).each_ref(), "{told:?}");
    }
}

#[test]
fn nothing_of_a_request_is_logged_where_the_service_cannot_be_reached() {
    let Some(gateway) = Gateway::start("127.0.0.1:1".parse().unwrap()) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let mut connection = RawConnection::open(gateway.address).await;
        connection.send(b"GET /api/v1/orders?order_id=ORD-SECRET\xff HTTP/1.1\r\nHost: test\r\n\r\n").await;
        connection.answer().await.status
    });
    assert_eq!(status, 502);
    gateway.access_log(1);
    assert!(!gateway.raw_logs().windows(6).any(|bytes| bytes == b"SECRET"));
}
