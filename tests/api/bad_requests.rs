//! Requests that go wrong around their content: sizes, framing, time, methods and paths.

use conversiond::domain::signature::Form;

use crate::support::caller::Answer;
use crate::support::raw::{RawConnection, exchange, request};
use crate::support::{Backend, Service, on_both_databases};

const PATH: &str = "/api/v1/conversions";
const BODY: &[u8] = br#"{"event_name":"lead","external_id":"L-1"}"#;

/// The headers that say where a body ends.
type Framing<'a> = &'a [(&'a str, &'a str)];

/// A lead that takes this many bytes.
fn lead_of(bytes: usize) -> Vec<u8> {
    let mut body = BODY.to_vec();
    body.resize(bytes, b' ');
    body
}

async fn post(service: &Service, body: &[u8]) -> Answer {
    let headers = service.caller.headers(Form::Plain, "POST", PATH, body);
    service.caller.send("POST", PATH, body, &headers).await
}

/// The headers of a signed request, and these.
fn signed_with(service: &Service, body: &[u8], further: Framing<'_>) -> Vec<(String, String)> {
    let mut headers = service.caller.headers(Form::Plain, "POST", PATH, body);
    headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    headers.extend(further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    headers
}

on_both_databases! {
    async fn a_body_may_have_64_kib_and_not_a_byte_more(backend: Backend) {
        let service = Service::start(backend).await;
        for bytes in [65_537, 70_000, 1 << 20, 2_000_000] {
            // Several times: an answer that races a reset is read by chance.
            for _ in 0..3 {
                post(&service, &lead_of(bytes)).await.expect_problem(413, "body_too_large");
            }
        }
        assert_eq!(service.count_events(), 0);
        assert_eq!(post(&service, &lead_of(65_536)).await.word(), "ACCEPTED");
        assert_eq!(service.count_events(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_body_is_400() {
    let service = Service::start(Backend::Sqlite).await;
    let headers = service.caller.headers(Form::Bound, "POST", PATH, b"");
    service.caller.send("POST", PATH, b"", &headers).await.expect_problem(400, "malformed_request");
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_that_is_too_large_is_413_before_the_body_is_there() {
    let service = Service::start(Backend::Sqlite).await;
    let headers = signed_with(&service, BODY, &[("Content-Length", "18446744073709551615")]);
    let (answer, closed) = exchange(service.api, &request("POST", PATH, &headers, BODY)).await;
    answer.expect_problem(413, "body_too_large");
    assert!(closed);
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_is_411_and_the_connection_is_closed() {
    let service = Service::start(Backend::Sqlite).await;
    let chunked = [format!("{:x}\r\n", BODY.len()).as_bytes(), BODY, b"\r\n0\r\n\r\n"].concat();
    for encoding in ["chunked", "Chunked"] {
        let headers = signed_with(&service, BODY, &[("Transfer-Encoding", encoding)]);
        let (answer, closed) = exchange(service.api, &request("POST", PATH, &headers, &chunked)).await;
        answer.expect_problem(411, "length_required");
        assert!(closed, "{encoding}");
    }
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_could_end_in_two_places_is_refused_and_the_connection_is_closed() {
    let service = Service::start(Backend::Sqlite).await;
    let length = BODY.len().to_string();
    let chunked = [format!("{:x}\r\n", BODY.len()).as_bytes(), BODY, b"\r\n0\r\n\r\n"].concat();
    let rows: [(Framing<'_>, &[u8]); 12] = [
        (&[("Content-Length", &length), ("Transfer-Encoding", "chunked")], &chunked),
        (&[("Transfer-Encoding", "chunked"), ("Content-Length", &length)], &chunked),
        (&[("Content-Length", &length), ("Transfer-Encoding", "identity")], BODY),
        (&[("Content-Length", &length), ("Transfer-Encoding", "xchunked")], BODY),
        (&[("Transfer-Encoding", "gzip, chunked")], &chunked),
        (&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity")], &chunked),
        (&[("Content-Length", &length), ("Content-Length", &length)], BODY),
        (&[("Content-Length", &length), ("Content-Length", "5")], BODY),
        (&[("Content-Length", "5, 5")], BODY),
        (&[("Content-Length", "-1")], BODY),
        (&[("Content-Length", "+41")], BODY),
        (&[("Content-Length", "0x29")], BODY),
    ];
    for (framing, body) in rows {
        let headers = signed_with(&service, BODY, framing);
        let (answer, closed) = exchange(service.api, &request("POST", PATH, &headers, body)).await;
        assert!(matches!(answer.status, 400 | 411), "{framing:?}: {} {}", answer.status, answer.text);
        assert!(closed, "{framing:?}");
        assert_eq!(service.count_events(), 0, "{framing:?}");
    }
    assert_eq!(post(&service, BODY).await.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_behind_a_chunked_body_is_taken_for_a_request() {
    let service = Service::start(Backend::Sqlite).await;
    let length = BODY.len().to_string();
    let behind = request("POST", PATH, &signed_with(&service, BODY, &[("Content-Length", &length)]), BODY);
    let chunked = [format!("{:x}\r\n", BODY.len()).as_bytes(), BODY, b"\r\n0\r\n\r\n"].concat();
    let whole_length = (chunked.len() + behind.len()).to_string();
    let framings: [Framing<'_>; 3] = [
        &[("Transfer-Encoding", "chunked")],
        &[("Transfer-Encoding", "chunked"), ("Content-Length", &whole_length)],
        &[("Content-Length", &whole_length), ("Transfer-Encoding", "chunked")],
    ];
    for framing in framings {
        let headers = signed_with(&service, BODY, framing);
        let mut connection = RawConnection::open(service.api).await;
        connection.send(&[request("POST", PATH, &headers, &chunked), behind.clone()].concat()).await;
        let answer = connection.answer().await;
        assert!(matches!(answer.status, 400 | 411), "{framing:?}: {}", answer.status);
        if !connection.is_closed().await {
            assert_eq!(connection.answer().await.word(), "malformed_request", "{framing:?}");
            assert!(connection.is_closed().await, "{framing:?}");
        }
    }
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_is_no_body() {
    let service = Service::start(Backend::Sqlite).await;
    let headers = signed_with(&service, BODY, &[]);
    let (answer, _) = exchange(service.api, &request("POST", PATH, &headers, BODY)).await;
    answer.expect_problem(401, "unauthorized");
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_http_is_400_and_the_service_goes_on() {
    let service = Service::start(Backend::Sqlite).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"POST /api HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \0\r\n\r\n",
    ] {
        let (answer, closed) = exchange(service.api, bytes).await;
        assert_eq!((answer.status, closed), (400, true), "{bytes:?}");
    }
    assert_eq!(service.caller.get(PATH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_arrive_in_time_is_408() {
    let service = Service::start_with(Backend::Sqlite.database(), "[server]\nbody_timeout_s = 1\n").await;
    let length = BODY.len().to_string();
    let headers = signed_with(&service, BODY, &[("Content-Length", &length)]);
    for sent in [0, 1, BODY.len() - 1] {
        let (answer, closed) = exchange(service.api, &request("POST", PATH, &headers, &BODY[..sent])).await;
        answer.expect_problem(408, "request_timeout");
        assert!(closed);
    }
    assert_eq!(service.count_events(), 0);
    assert_eq!(post(&service, BODY).await.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_writes_nothing() {
    let service = Service::start(Backend::Sqlite).await;
    let length = BODY.len().to_string();
    let headers = signed_with(&service, BODY, &[("Content-Length", &length)]);
    for sent in [0, 1, BODY.len() - 1] {
        let mut connection = RawConnection::open(service.api).await;
        connection.send(&request("POST", PATH, &headers, &BODY[..sent])).await;
        connection.finish().await;
        drop(connection);
    }
    assert_eq!(post(&service, &lead_of(100)).await.word(), "ACCEPTED");
    assert_eq!(service.count_events(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_is_not_there_is_405_and_says_which_are() {
    let service = Service::start(Backend::Sqlite).await;
    let event = "/api/v1/conversions/evt_01kam013kve86btrzkxeedq4gg";
    for (target, methods, allow) in [
        (PATH, &["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"][..], "GET, POST"),
        (event, &["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"], "GET"),
    ] {
        for method in methods {
            // Unsigned, too: methods are no secret.
            let answer = service.caller.send(method, target, b"", &[]).await;
            answer.expect_problem(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {target}");
        }
        let head = service.caller.send("HEAD", target, b"", &[]).await;
        assert_eq!((head.status, head.header("allow"), head.text.as_str()), (405, Some(allow), ""));
    }
    let body = service.caller.headers(Form::Bound, "DELETE", PATH, BODY);
    service.caller.send("DELETE", PATH, BODY, &body).await.expect_problem(405, "method_not_allowed");
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_not_there_is_404() {
    let service = Service::start(Backend::Sqlite).await;
    for target in [
        "/",
        "/api",
        "/api/v1/conversion",
        "/api/v1/conversions/",
        "/api/v2/conversions",
        "/API/V1/CONVERSIONS",
        "//api/v1/conversions",
        "/api/v1/conversions/x/y",
        "/api/v1/conversions%2Fx/y",
        "/livez",
        "/readyz",
        "/metrics",
        "/%00",
        "/%FF",
    ] {
        for (method, body) in [("GET", &b""[..]), ("POST", BODY), ("DELETE", b"")] {
            let answer = service.caller.send(method, target, body, &[]).await;
            assert_eq!(answer.status, 404, "{method} {target}: {}", answer.text);
            answer.expect_problem(404, "not_found");
        }
    }
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsigned_request_is_401_whatever_its_path_and_query_hold() {
    let service = Service::start(Backend::Sqlite).await;
    for target in [
        "/api/v1/conversions/x",
        "/api/v1/conversions/%FF",
        "/api/v1/conversions/%00",
        "/api/v1/conversions?limit=x",
        "/api/v1/conversions?%FF=%FF",
    ] {
        service.caller.send("GET", target, b"", &[]).await.expect_problem(401, "unauthorized");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_reads_does_not_keep_the_answer_from_its_caller() {
    let service = Service::start(Backend::Sqlite).await;
    let large = lead_of(1 << 20);
    for (method, target, status) in [("POST", "/nowhere", [404, 413]), ("DELETE", PATH, [405, 413])] {
        for round in 0..5 {
            let sent = service.caller.try_send(method, target, &large, &[]).await;
            let answer = sent.unwrap_or_else(|error| panic!("{method} {target}, round {round}: {error:?}"));
            assert!(status.contains(&answer.status), "{method} {target}: {}", answer.status);
        }
    }
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_waits_before_it_sends_its_body_is_answered() {
    let service = Service::start(Backend::Sqlite).await;
    let length = BODY.len().to_string();
    let further = [("Content-Length", length.as_str()), ("Expect", "100-continue")];
    let mut connection = RawConnection::open(service.api).await;
    connection.send(&request("POST", PATH, &signed_with(&service, BODY, &further), b"")).await;
    assert_eq!(connection.answer().await.status, 100);
    connection.send(BODY).await;
    assert_eq!(connection.answer().await.word(), "ACCEPTED");
    // On the same connection, a body that is not wanted.
    let further = [("Content-Length", "65537"), ("Expect", "100-continue")];
    connection.send(&request("POST", PATH, &signed_with(&service, BODY, &further), b"")).await;
    let mut answer = connection.answer().await;
    if answer.status == 100 {
        answer = connection.answer().await;
    }
    answer.expect_problem(413, "body_too_large");
    assert!(connection.is_closed().await);
    assert_eq!(service.count_events(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_is_signed_without_its_origin() {
    let service = Service::start(Backend::Sqlite).await;
    let headers = service.caller.headers(Form::Bound, "GET", "/api/v1/conversions?limit=1", b"");
    let (answer, _) =
        exchange(service.api, &request("GET", "http://test/api/v1/conversions?limit=1", &headers, b"")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let (answer, _) = exchange(service.api, &request("get", PATH, &headers, b"")).await;
    answer.expect_problem(405, "method_not_allowed");
}
