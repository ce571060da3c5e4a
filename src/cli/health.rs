//! `conversiond health`: asks the running service, without opening its database.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Context, Failure};

const TIMEOUT: Duration = Duration::from_secs(4);
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

pub fn run(context: &Context) -> Result<(), Failure> {
    let (status, body) = ask(context.config.admin.listen, "/readyz")?;
    let checks: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    if status != "200" {
        return Err(format!("not ready: {checks}").into());
    }
    context.output.show(&json!({ "status": "ready" }), || "ready".to_owned())
}

/// Where a listener on "any address" can be reached.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Asks the operator's listener of the running service: the answer's status and body.
pub fn ask(listen: SocketAddr, path: &str) -> Result<(String, String), String> {
    let address = reachable(listen);
    let answer = exchange(address, path).map_err(|error| format!("no answer from {address}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer that is not HTTP")?;
    Ok((head.split(' ').nth(1).unwrap_or_default().to_owned(), body.to_owned()))
}

fn exchange(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
