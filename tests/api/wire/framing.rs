//! Where a body ends: what two readers could read differently is read by nobody.

use super::{BODY, Closed, Open, PATH, signed, try_all};
use crate::support::Service;

/// A signed request with these header lines and this body.
fn post(service: &Service, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: test\r\n{}{lines}\r\n", signed(service, BODY));
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_chunk_is_ever_read() {
    try_all(async |service| {
        let long_extension = format!("29;{}\r\n", "x=y;".repeat(20_000));
        let many_extensions = "1;a\r\nx\r\n".repeat(5_000);
        let chunks: [(&'static str, &[u8]); 14] = [
            ("a size that is none", b"zz\r\n"),
            ("a negative size", b"-1\r\n"),
            ("a size after 0x", b"0x29\r\n"),
            ("a size after a space", b" 29\r\n"),
            ("a size that overflows", b"fffffffffffffffff\r\n"),
            ("an empty size", b"\r\n"),
            ("a size before a bare LF", b"29\n"),
            ("a size before a bare CR", b"29\r"),
            ("a long extension", long_extension.as_bytes()),
            ("an extension in every chunk", many_extensions.as_bytes()),
            ("a quoted extension over two lines", b"29;a=\"\r\n\"\r\n"),
            ("a quoted pair in an extension", b"29;a=\"\\\"\r\n"),
            ("a trailer that ends in a bare LF", b"0\r\nX: y\n\r\n"),
            ("an end and nothing else", b"0\r\n\r\n"),
        ];
        let rows = chunks.into_iter();
        rows.map(|(name, chunk)| {
            let body = [chunk, BODY, b"\r\n0\r\n\r\n"].concat();
            (name, post(service, "Transfer-Encoding: chunked\r\n", &body), Closed(411))
        })
        .collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_encoding_in_disguise_is_none_that_is_taken() {
    try_all(async |service| {
        let length = format!("Content-Length: {}\r\n", BODY.len());
        let disguises: [(&'static str, &str, u16); 13] = [
            ("a space before the colon", "Transfer-Encoding : chunked\r\n", 400),
            ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n", 400),
            ("a tab behind the colon", "Transfer-Encoding:\tchunked\r\n", 400),
            ("nothing behind the colon", "Transfer-Encoding:chunked\r\n", 400),
            ("a vertical tab", "Transfer-Encoding: \u{b}chunked\r\n", 400),
            ("a quoted coding", "Transfer-Encoding: \"chunked\"\r\n", 400),
            ("an empty coding", "Transfer-Encoding: \r\n", 400),
            ("a coding in a list", "Transfer-Encoding: chunked, identity\r\n", 400),
            ("a coding twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("a coding with a parameter", "Transfer-Encoding: chunked;q=1\r\n", 400),
            ("a line that begins with a space", " Transfer-Encoding: chunked\r\n", 400),
            ("a folded line", "X: y\r\n Transfer-Encoding: chunked\r\n", 400),
            ("a folded coding", "Transfer-Encoding:\r\n chunked\r\n", 400),
        ];
        let rows = disguises.into_iter().map(|(name, line, status)| {
            let body = [b"0\r\n\r\n".as_slice(), BODY].concat();
            (name, post(service, &format!("{length}{line}"), &body), Closed(status))
        });
        rows.collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_is_digits_and_nothing_else() {
    try_all(async |service| {
        let lengths: [(&'static str, &str); 9] = [
            ("a space before the colon", "Content-Length : 41\r\n"),
            ("digits apart", "Content-Length: 4 1\r\n"),
            ("no digits", "Content-Length: \r\n"),
            ("a vertical tab", "Content-Length: 41\u{b}\r\n"),
            ("more than 64 bits", "Content-Length: 18446744073709551657\r\n"),
            ("a decimal", "Content-Length: 41.0\r\n"),
            ("an exponent", "Content-Length: 41e0\r\n"),
            ("other digits", "Content-Length: ４１\r\n"),
            ("a folded line", "Content-Length:\r\n 41\r\n"),
        ];
        let rows = lengths.into_iter().map(|(name, line)| (name, post(service, line, BODY), Closed(400)));
        rows.collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_where_none_is_wanted_is_no_request() {
    try_all(async |service| {
        let smuggled = super::accepted(service);
        let get = |lines: &str| {
            let head = format!("GET {PATH} HTTP/1.1\r\nHost: test\r\n{lines}\r\n");
            [head.as_bytes(), &smuggled].concat()
        };
        vec![
            ("a body behind GET", get(&format!("Content-Length: {}\r\n", smuggled.len())), Open(400)),
            ("chunks behind GET", get("Transfer-Encoding: chunked\r\n"), Closed(411)),
            (
                "chunks in HTTP/1.0",
                format!("POST {PATH} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes(),
                Closed(400),
            ),
        ]
    })
    .await;
}
