//! Lines of a head: what is none is refused, and a head has an end.

use super::{Closed, Open, PATH, try_all};

/// A request without a signature whose head holds these lines.
fn get(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [format!("GET {PATH} HTTP/1.1\r\nHost: test\r\n").as_bytes(), lines.as_ref(), b"\r\n"].concat()
}

/// A request for this target.
fn target(target: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET ".as_slice(), target.as_ref(), b" HTTP/1.1\r\nHost: test\r\n\r\n"].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_no_header_is_400_and_the_connection_is_closed() {
    try_all(async |_| {
        let lines: [(&'static str, &[u8]); 15] = [
            ("a folded value", b"X: a\r\n b\r\n"),
            ("a value folded by a tab", b"X: a\r\n\tb\r\n"),
            ("a first line that is folded", b" X: a\r\n"),
            ("a bare CR in a value", b"X: a\rb\r\n"),
            ("a bare CR before a name", b"\rX: a\r\n"),
            ("CR CR LF", b"X: a\r\r\n"),
            ("NUL in a value", b"X: a\0b\r\n"),
            ("NUL in a name", b"X\0Y: a\r\n"),
            ("a control character", b"X: a\x01b\r\n"),
            ("a deleted character", b"X: a\x7fb\r\n"),
            ("a space in a name", b"X Y: a\r\n"),
            ("a space before the colon", b"X : a\r\n"),
            ("no name", b": a\r\n"),
            ("a name that is not ASCII", b"X\xc3\xa9: a\r\n"),
            ("a name in brackets", b"(X): a\r\n"),
        ];
        lines.into_iter().map(|(name, line)| (name, get(line), Closed(400))).collect()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unusual_and_clear_is_read() {
    try_all(async |_| {
        let bare = format!("GET {PATH} HTTP/1.1\nHost: test\nX: a\n\n");
        vec![
            ("bytes beyond ASCII in a value", get(b"X: \xff\xc3\xa9\r\n"), Open(401)),
            ("an empty value", get("X:\r\n"), Open(401)),
            ("tabs around a value", get("X:\t a \t\r\n"), Open(401)),
            ("bare LF, as RFC 9112 lets a server take it", bare.into_bytes(), Open(401)),
            ("an empty line first", [b"\r\n".as_slice(), &get("")].concat(), Open(401)),
            ("ninety headers", get("X: y\r\n".repeat(90)), Open(401)),
        ]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_is_431_and_the_connection_is_closed() {
    try_all(async |_| {
        let long = "x".repeat(400_000);
        vec![
            ("thousands of headers", get("X: y\r\n".repeat(5_000)), Closed(431)),
            ("one header of 400 KB", get(format!("X: {long}\r\n")), Closed(431)),
            ("one header name of 400 KB", get(format!("{long}: x\r\n")), Closed(431)),
            ("a target of 400 KB", target(format!("/{long}")), Closed(431)),
            (
                "a method of 400 KB",
                format!("{long} / HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes(),
                Closed(431),
            ),
            ("400 KB without a line's end", long.into_bytes(), Closed(431)),
        ]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_is_a_path_and_its_host_is_told_once() {
    try_all(async |_| {
        let line = |line: &str| format!("{line}\r\nHost: test\r\n\r\n").into_bytes();
        let hosts = |lines: &str| format!("GET {PATH} HTTP/1.1\r\n{lines}\r\n").into_bytes();
        vec![
            ("an absolute URI", target("http://test/api/v1/conversions"), Open(401)),
            ("an absolute URI of somebody else", target("http://169.254.169.254/latest"), Open(404)),
            ("an absolute URI of no scheme we know", target("gopher://test/"), Open(404)),
            ("an authority", line("CONNECT test:443 HTTP/1.1"), Closed(404)),
            ("an authority for GET", target("test:443"), Open(404)),
            ("an asterisk", line("OPTIONS * HTTP/1.1"), Open(404)),
            ("NUL in a target", target(b"/a\0b"), Closed(400)),
            ("a control character in a target", target(b"/a\x01"), Closed(400)),
            ("bytes beyond ASCII in a target", target(b"/\xc3\xa9"), Closed(400)),
            ("a space in a target", target("/a b"), Closed(400)),
            ("a fragment in a target", target("/nowhere#x"), Open(404)),
            ("no slash", target("nowhere"), Open(404)),
            ("dots", target("/api/v1/../v1/conversions"), Open(404)),
            ("backslashes", target("\\api\\v1\\conversions"), Closed(400)),
            ("no target", b"GET HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(), Closed(400)),
            ("no host", hosts(""), Closed(400)),
            ("two hosts", hosts("Host: test\r\nHost: test\r\n"), Closed(400)),
            ("two hosts that differ", hosts("Host: test\r\nHost: other\r\n"), Closed(400)),
            ("an empty host", hosts("Host:\r\n"), Open(401)),
        ]
    })
    .await;
}
