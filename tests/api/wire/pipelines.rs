//! Several requests at once on one connection: each is one, in its turn, or none.

use conversiond::domain::signature::Form;

use super::{BODY, PATH, accepted, hangs_up, signed};
use crate::support::raw::{RawConnection, request};
use crate::support::{Backend, Service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_in_their_order() {
    let service = Service::start(Backend::Sqlite).await;
    let mut sent = Vec::new();
    for number in 0..60 {
        let body = format!("{{\"event_name\":\"lead\",\"external_id\":\"L-{}\"}}", number % 40);
        let mut headers = service.caller.headers(Form::Plain, "POST", PATH, body.as_bytes());
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        headers.push(("Content-Length".to_owned(), body.len().to_string()));
        sent.extend(request("POST", PATH, &headers, body.as_bytes()));
        sent.extend(b"GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    let mut connection = RawConnection::open(service.api).await;
    // In pieces that end anywhere.
    for piece in sent.chunks(997) {
        connection.send(piece).await;
    }
    for number in 0..60 {
        let answer = connection.answer().await;
        let expected = if number < 40 { "ACCEPTED" } else { "DUPLICATE" };
        assert_eq!(answer.word(), expected, "{number}");
        assert_eq!(answer.at("/order_id"), format!("L-{}", number % 40));
        connection.answer().await.expect_problem(404, "not_found");
    }
    assert_eq!(service.count_events(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_behind_a_request_that_closes_the_connection_is_not_read() {
    let service = Service::start(Backend::Sqlite).await;
    let post = |lines: &str, body: &[u8]| {
        let head = format!("POST {PATH} HTTP/1.1\r\nHost: test\r\n{}{lines}\r\n", signed(&service, BODY));
        [head.as_bytes(), body].concat()
    };
    let large = vec![b' '; 70_000];
    for (name, first, status) in [
        ("its caller says so", post("Connection: close\r\nContent-Length: 0\r\n", b""), 401),
        ("in HTTP/1.0", format!("GET {PATH} HTTP/1.0\r\n\r\n").into_bytes(), 401),
        ("an offer of a WebSocket", post("Upgrade: websocket\r\nContent-Length: 0\r\n", b""), 400),
        ("too large", post("Content-Length: 70000\r\n", &large), 413),
        ("without a length", post("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 411),
        ("without a version", format!("GET {PATH}\r\n\r\n").into_bytes(), 400),
    ] {
        let mut connection = RawConnection::open(service.api).await;
        connection.try_send(&[first, accepted(&service)].concat()).await;
        assert_eq!(connection.answer().await.status, status, "{name}");
        assert!(hangs_up(&mut connection).await, "{name}");
        assert_eq!(service.count_events(), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_never_read_as_a_request_whatever_it_holds() {
    let service = Service::start(Backend::Sqlite).await;
    let inner = accepted(&service);
    for (method, target, status) in [("POST", PATH, 401), ("POST", "/nowhere", 404), ("DELETE", PATH, 405)] {
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", inner.len());
        let mut connection = RawConnection::open(service.api).await;
        connection.send(&[head.as_bytes(), &inner].concat()).await;
        assert_eq!(connection.answer().await.status, status, "{method} {target}");
        assert_eq!(service.count_events(), 0, "{method} {target}");
        // Behind it, a request is one.
        connection.try_send(b"GET /elsewhere HTTP/1.1\r\nHost: test\r\n\r\n").await;
        if let Some(answer) = connection.try_answer().await {
            answer.expect_problem(404, "not_found");
        }
    }
    let mut connection = RawConnection::open(service.api).await;
    connection.send(&inner).await;
    assert_eq!(connection.answer().await.word(), "ACCEPTED");
}
