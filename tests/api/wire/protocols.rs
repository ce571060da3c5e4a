//! Other protocols and versions on the same port.

use super::{Closed, Open, PATH, accepted, signed, try_all};
use crate::support::raw::RawConnection;
use crate::support::{Backend, Service};

/// The beginning of a TLS 1.3 handshake, as any client would send it.
fn client_hello() -> Vec<u8> {
    let extensions = [
        b"\x00\x00\x00\x09\x00\x07\x00\x00\x04test".as_slice(),
        b"\x00\x2b\x00\x03\x02\x03\x04\x00\x0d\x00\x04\x00\x02\x04\x03",
    ]
    .concat();
    let hello = [
        b"\x03\x03".as_slice(),
        &[7; 32],
        b"\x00\x00\x02\x13\x01\x01\x00",
        &u16::try_from(extensions.len()).unwrap().to_be_bytes(),
        &extensions,
    ]
    .concat();
    let length = u16::try_from(hello.len()).unwrap();
    let handshake = [b"\x01\x00".as_slice(), &length.to_be_bytes(), &hello].concat();
    let length = u16::try_from(handshake.len()).unwrap();
    [b"\x16\x03\x01".as_slice(), &length.to_be_bytes(), &handshake].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_is_400_and_the_connection_is_closed() {
    try_all(async |_| {
        let get = |version: &str| format!("GET {PATH} {version}\r\nHost: test\r\n\r\n").into_bytes();
        let settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00".as_slice();
        vec![
            (
                "HTTP/2 with prior knowledge",
                [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings].concat(),
                Closed(400),
            ),
            ("TLS", client_hello(), Closed(400)),
            ("HTTP/0.9", b"GET /\r\n".to_vec(), Closed(400)),
            ("HTTP/2.0", get("HTTP/2.0"), Closed(400)),
            ("HTTP/1.2", get("HTTP/1.2"), Closed(400)),
            ("HTTP/1", get("HTTP/1"), Closed(400)),
            ("http/1.1", get("http/1.1"), Closed(400)),
            ("another name", get("ICY/1.1"), Closed(400)),
            ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), Closed(400)),
            ("SMTP", b"EHLO test\r\n".to_vec(), Closed(400)),
            ("Redis", b"*1\r\n$4\r\nPING\r\n".to_vec(), Closed(400)),
            ("PostgreSQL", b"\x00\x00\x00\x08\x04\xd2\x16\x2f".to_vec(), Closed(400)),
            ("a proxy's first line", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(), Closed(400)),
        ]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_of_another_protocol_is_not_taken_up() {
    try_all(async |_| {
        let get = |lines: &str| format!("GET {PATH} HTTP/1.1\r\nHost: test\r\n{lines}\r\n").into_bytes();
        let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n";
        let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n";
        vec![
            ("h2c", get(h2c), Closed(401)),
            ("a WebSocket", get(socket), Closed(400)),
            ("TLS", get("Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"), Closed(401)),
            ("h2c, and no word of the connection", get("Upgrade: h2c\r\n"), Open(401)),
            ("a WebSocket, and no word of the connection", get("Upgrade: WebSocket\r\n"), Closed(400)),
            ("an expectation that nobody has", get("Expect: the-unexpected\r\n"), Open(401)),
        ]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_is_answered_and_its_connection_closed_unless_it_is_to_be_kept() {
    let service = Service::start(Backend::Sqlite).await;
    let get = format!("GET {PATH} HTTP/1.0\r\n");
    for (lines, stays) in
        [("", false), ("Connection: close\r\n", false), ("Connection: keep-alive\r\n", true)]
    {
        let mut connection = RawConnection::open(service.api).await;
        connection.send(format!("{get}{lines}\r\n").as_bytes()).await;
        connection.answer().await.expect_problem(401, "unauthorized");
        assert_eq!(connection.is_closed().await, !stays, "{lines:?}");
    }
    // A callback, too: it is signed like any other.
    let length = super::BODY.len();
    let head =
        format!("POST {PATH} HTTP/1.0\r\n{}Content-Length: {length}\r\n\r\n", signed(&service, super::BODY));
    let mut connection = RawConnection::open(service.api).await;
    connection.send(&[head.as_bytes(), super::BODY].concat()).await;
    assert_eq!(connection.answer().await.word(), "ACCEPTED");
    assert!(connection.is_closed().await);
    assert_eq!(service.count_events(), 1);
    let mut connection = RawConnection::open(service.api).await;
    connection.send(&accepted(&service)).await;
    assert_eq!(connection.answer().await.word(), "DUPLICATE");
}
