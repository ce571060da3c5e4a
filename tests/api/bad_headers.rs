//! Headers beside the signature: keys of retries, media types, sizes, request ids.

use conversiond::domain::signature::Form;

use crate::support::caller::{Answer, unix_now};
use crate::support::raw::{exchange, request};
use crate::support::{Backend, Service};

const PATH: &str = "/api/v1/conversions";
const BODY: &[u8] = br#"{"event_name":"lead","external_id":"L-1"}"#;

async fn post_with<K: Into<String>, V: Into<String>>(
    service: &Service,
    further: impl IntoIterator<Item = (K, V)>,
) -> Answer {
    let mut headers = service.caller.headers(Form::Plain, "POST", PATH, BODY);
    headers.extend(further.into_iter().map(|(name, value)| (name.into(), value.into())));
    service.caller.send("POST", PATH, BODY, &headers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_that_is_none_is_400() {
    let service = Service::start(Backend::Sqlite).await;
    let long = "k".repeat(256);
    for bad in ["", "a b", "é", "\"open", "\"\"", "\"a b\"", "\"é\"", "a\tb", &long, "\"a\" b"] {
        for name in ["Idempotency-Key", "X-Idempotency-Key"] {
            let answer = post_with(&service, [(name, bad)]).await;
            assert_eq!(answer.word(), "idempotency_key_malformed", "{bad:?}");
            answer.expect_problem(400, "idempotency_key_malformed");
        }
    }
    for (one, other) in [("a", "b"), ("a", "A"), ("a", "é"), ("a", "")] {
        for names in
            [["Idempotency-Key", "X-Idempotency-Key"], ["Idempotency-Key"; 2], ["X-Idempotency-Key"; 2]]
        {
            let answer = post_with(&service, [(names[0], one), (names[1], other)]).await;
            answer.expect_problem(400, "idempotency_key_malformed");
        }
    }
    assert_eq!(service.count_events(), 0);
    let longest = "k".repeat(255);
    for good in ["a", "\"a\"", "!#$%&'*+,-./:;<=>?@[]^_`{|}~", &longest] {
        assert_eq!(post_with(&service, [("Idempotency-Key", good)]).await.status, 202, "{good}");
    }
    let same = post_with(&service, [("Idempotency-Key", "a"), ("X-Idempotency-Key", "\"a\"")]).await;
    assert_eq!(same.status, 202, "{}", same.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_external_event_id_that_is_none_is_400() {
    let service = Service::start(Backend::Sqlite).await;
    let long = "k".repeat(256);
    for bad in [vec!["é"], vec![&long], vec!["a", "a"], vec!["a", "b"]] {
        let lines: Vec<_> = bad.iter().map(|value| ("X-External-Event-Id", *value)).collect();
        post_with(&service, lines).await.expect_problem(400, "malformed_request");
    }
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_large_is_431() {
    let service = Service::start(Backend::Sqlite).await;
    post_with(&service, [("X-Large", "x".repeat(17 * 1024))]).await.expect_problem(431, "headers_too_large");
    let many: Vec<_> = (0..70).map(|n| (format!("X-Header-{n}"), "x".repeat(300))).collect();
    post_with(&service, many).await.expect_problem(431, "headers_too_large");
    let target = format!("{PATH}?{}", "a".repeat(17 * 1024));
    let headers = service.caller.headers(Form::Bound, "GET", &target, b"");
    service.caller.send("GET", &target, b"", &headers).await.expect_problem(431, "headers_too_large");
    assert_eq!(service.count_events(), 0);
    assert_eq!(post_with(&service, [("X-Large", "x".repeat(12 * 1024))]).await.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_beyond_what_is_parsed_at_all_is_431_and_the_connection_is_closed() {
    let service = Service::start(Backend::Sqlite).await;
    let signed = service.caller.headers(Form::Plain, "POST", PATH, BODY);
    let many = (0..200).map(|n| (format!("X-Header-{n}"), "x".to_owned()));
    let (answer, closed) =
        exchange(service.api, &request("POST", PATH, &[signed, many.collect()].concat(), b"")).await;
    assert_eq!((answer.status, closed), (431, true));
    assert_eq!(service.count_events(), 0);
    assert_eq!(service.caller.get(PATH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_called_json_is_415() {
    let service = Service::start(Backend::Sqlite).await;
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/x-ndjson",
        "application/json-patch+json",
        "application/jsonx",
        "json",
        "",
        ";",
        "*/*",
        "é",
    ] {
        let answer = post_with(&service, [("Content-Type", bad)]).await;
        assert_eq!(answer.word(), "unsupported_media_type", "{bad:?}");
        answer.expect_problem(415, "unsupported_media_type");
    }
    let mut headers = service.caller.headers(Form::Plain, "POST", PATH, BODY);
    headers.push(("Content-Length".to_owned(), BODY.len().to_string()));
    let (answer, _) = exchange(service.api, &request("POST", PATH, &headers, BODY)).await;
    answer.expect_problem(415, "unsupported_media_type");
    assert_eq!(service.count_events(), 0);
    for good in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
    ] {
        assert_eq!(post_with(&service, [("Content-Type", good)]).await.status, 202, "{good}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoded_body_is_415() {
    let service = Service::start(Backend::Sqlite).await;
    for encoding in ["gzip", "br", "deflate", "zstd", "identity", "gzip, gzip", ""] {
        let answer = post_with(&service, [("Content-Encoding", encoding)]).await;
        answer.expect_problem(415, "unsupported_media_type");
    }
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_echoed_where_it_is_one_and_else_replaced() {
    let service = Service::start(Backend::Sqlite).await;
    let longest = "r".repeat(128);
    for good in ["req-1", "!~", "{\"a\":1}", &longest] {
        let accepted = post_with(&service, [("X-Request-ID", good)]).await;
        assert_eq!((accepted.status, accepted.header("x-request-id")), (202, Some(good)));
        let refused = post_with(&service, [("X-Request-ID", good), ("Content-Encoding", "gzip")]).await;
        refused.expect_problem(415, "unsupported_media_type");
        assert_eq!((refused.header("x-request-id"), refused.at("/request_id")), (Some(good), good.into()));
    }
    let mut made = Vec::new();
    let long = "r".repeat(129);
    for bad in ["", "a b", "é", "a\tb", &long] {
        let accepted = post_with(&service, [("X-Request-ID", bad)]).await;
        made.push(accepted.header("x-request-id").unwrap().to_owned());
        let refused = post_with(&service, [("X-Request-ID", bad), ("Content-Encoding", "gzip")]).await;
        refused.expect_problem(415, "unsupported_media_type");
        made.push(refused.header("x-request-id").unwrap().to_owned());
    }
    assert!(
        made.iter().all(|id| (16..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())),
        "{made:?}"
    );
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_first_is_told_first() {
    let service = Service::start(Backend::Sqlite).await;
    let answer = |headers: Vec<(String, String)>, body: &'static [u8]| {
        let caller = service.caller.clone();
        async move { caller.send("POST", PATH, body, &headers).await.word() }
    };
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let text = own("Content-Type", "text/plain");
    let now = unix_now();
    let signed = |at, body: &[u8]| service.caller.headers_at(Form::Plain, "POST", PATH, body, at, "");
    // Header syntax, MAC, timestamp, media type, JSON.
    assert_eq!(
        answer([signed(now, b"x"), vec![text.clone(), own("X-Signature", "x")]].concat(), b"x").await,
        "malformed_signature"
    );
    assert_eq!(answer([signed(now - 999, b"y"), vec![text.clone()]].concat(), b"x").await, "unauthorized");
    assert_eq!(
        answer([signed(now - 999, b"x"), vec![text.clone()]].concat(), b"x").await,
        "timestamp_outside_tolerance"
    );
    assert_eq!(answer([signed(now, b"x"), vec![text]].concat(), b"x").await, "unsupported_media_type");
    assert_eq!(answer(signed(now, b"x"), b"x").await, "malformed_json");
    assert_eq!(service.count_events(), 0);
}
