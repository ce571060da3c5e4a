//! HTTP by hand: for requests that no client library sends.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::caller::Answer;

/// A connection, and what was read of it beyond the last answer.
pub struct RawConnection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// Longer than any time limit of a service under test.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request's bytes, with a `Host` and exactly these headers.
pub fn request(method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// Sends bytes on a connection of their own; the answer, and whether the service then hung up.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> (Answer, bool) {
    let mut connection = RawConnection::open(address).await;
    connection.send(bytes).await;
    let answer = connection.answer().await;
    let closed = connection.is_closed().await;
    (answer, closed)
}

impl RawConnection {
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends bytes to whom may have hung up.
    pub async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Whether bytes go out within a time; the other side may read no more.
    pub async fn sends_within(&mut self, bytes: &[u8], time: Duration) -> bool {
        matches!(tokio::time::timeout(time, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Hangs up so that the service notices at once, whatever it is doing.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    /// The next answer, read whole.
    pub async fn answer(&mut self) -> Answer {
        let head_end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            assert!(self.read_more().await, "hung up in the head: {}", String::from_utf8_lossy(&self.read));
        };
        let (first_line, headers) = head_of(&self.read[..head_end]);
        let status = status_in(&first_line);
        let length = length_in(&headers);
        let end = head_end + 4 + length;
        while self.read.len() < end {
            assert!(self.read_more().await, "hung up in the body");
        }
        let text = String::from_utf8(self.read[head_end + 4..end].to_vec()).unwrap();
        self.read.drain(..end);
        Answer { status, headers, text }
    }

    /// The next answer, or `None` if the service hangs up without another word.
    pub async fn try_answer(&mut self) -> Option<Answer> {
        if self.read.is_empty() && !self.read_more().await {
            return None;
        }
        Some(self.answer().await)
    }

    /// Whether the service hangs up without another word, within two seconds.
    pub async fn is_closed(&mut self) -> bool {
        let mut byte = [0u8; 1];
        let reading = tokio::time::timeout(Duration::from_secs(2), self.stream.read(&mut byte)).await;
        if let Ok(Ok(1)) = reading {
            self.read.extend(byte);
        }
        // A reset is a hang-up, too.
        self.read.is_empty() && matches!(reading, Ok(Ok(0) | Err(_)))
    }

    async fn read_more(&mut self) -> bool {
        let mut buffer = [0u8; 4096];
        let reading = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer));
        let count = reading.await.expect("the service answers").unwrap_or(0);
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }
}

/// A request or an answer as it was sent.
pub struct Message {
    bytes: Vec<u8>,
    /// Behind the empty line.
    body_at: usize,
}

impl Message {
    /// Its head, with the empty line, and its body.
    pub fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.body_at)
    }

    /// Whether it says that its connection ends with it.
    pub fn closes(&self) -> bool {
        let (_, headers) = head_of(self.parts().0);
        headers.get("connection").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
    }

    /// An answer's content.
    pub fn to_answer(&self) -> Answer {
        let (head, body) = self.parts();
        let (first_line, headers) = head_of(head);
        let text = String::from_utf8_lossy(body).into_owned();
        Answer { status: status_in(&first_line), headers, text }
    }
}

/// Reads a whole message, beginning with what was read before; `None` = the connection ended first.
pub async fn read_message(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Message> {
    loop {
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let body_at = at + 4;
            let end = body_at + length_in(&head_of(&read[..at]).1);
            if read.len() >= end {
                let rest = read.split_off(end);
                return Some(Message { bytes: std::mem::replace(read, rest), body_at });
            }
        }
        if !matches!(stream.read_buf(read).await, Ok(1..)) {
            return None;
        }
    }
}

fn head_of(bytes: &[u8]) -> (String, HeaderMap) {
    let head = String::from_utf8(bytes.trim_ascii_end().to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let first_line = lines.next().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    (first_line, headers)
}

fn status_in(first_line: &str) -> u16 {
    first_line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn length_in(headers: &HeaderMap) -> usize {
    headers.get("content-length").map_or(0, |value| value.to_str().unwrap().parse().unwrap())
}
