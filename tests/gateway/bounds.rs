//! What one address can take from the others at the gateway.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::nginx::Gateway;
use crate::support::caller::{Answer, unix_now};
use crate::support::{Backend, Caller, Service, eventually};
use crate::{TARGET, TRUSTING, behind_gateway, sale, upstream};

const BULK: &str = "/api/v1/conversions/bulk";
const BOOKS: &str = "/api/v1/reconciliations";

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const RIGHTFUL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

async fn connect_from(address: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// A request whose body of this length has only begun to arrive.
async fn stall(from: Ipv4Addr, to: SocketAddr, path: &str, length: usize, sent: usize) -> TcpStream {
    let mut stream = connect_from(from, to).await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&vec![b' '; sent]).await;
    stream
}

/// Of these, how many were answered already: the others wait for more of their bodies.
async fn answered(streams: &[TcpStream]) -> usize {
    let mut answered = 0;
    for stream in streams {
        let peeked = tokio::time::timeout(Duration::from_millis(5), stream.peek(&mut [0; 1])).await;
        answered += usize::from(peeked.is_ok());
    }
    answered
}

/// The merchant's caller from another address.
fn from(address: Ipv4Addr, caller: &Caller) -> Caller {
    let http = reqwest::Client::builder().local_address(IpAddr::from(address)).build().unwrap();
    Caller { http, ..caller.clone() }
}

/// A bulk request that does not fit into the gateway's memory.
async fn import(caller: &Caller, first: usize) -> Answer {
    let row = |number| {
        let mut row = sale(&format!("ORD-{number}"));
        row["metadata"] = json!({"note": "x".repeat(1_000)});
        row
    };
    let rows: Vec<_> = (first..first + 200).map(row).collect();
    caller.post_to(BULK, &format!("import-{first}"), &json!({ "rows": rows }).to_string(), unix_now()).await
}

/// What the address that holds these gets for a further body of this size.
async fn import_beside(held: &[TcpStream], caller: &Caller, path: &str) -> Answer {
    assert!(!held.is_empty());
    from(ATTACKER, caller).post_to(path, "k", &" ".repeat(200_000), unix_now()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_with_many_dripping_bodies_does_not_stop_anothers_import() {
    let Some((_service, gateway, caller)) = behind_gateway("").await else { return };
    let rightful = from(RIGHTFUL, &caller);
    for (path, length, places) in [(BULK, 1_000_000, 16), (BOOKS, 16_000_000, 4)] {
        let mut held = Vec::new();
        for _ in 0..places + 24 {
            held.push(stall(ATTACKER, gateway.address, path, length, 100_000).await);
        }
        eventually("what is beyond its share is refused", async || answered(&held).await == 24).await;
        let answer = import_beside(&held, &caller, path).await;
        answer.expect_problem(503, "overloaded");
        let answer = import(&rightful, length).await;
        assert_eq!(
            (answer.status, &answer.at("/summary/accepted")),
            (200, &json!(200)),
            "{path}: {}",
            answer.text
        );
        // A callback from the address that holds all its places for large bodies is taken, too.
        let answer = from(ATTACKER, &caller).post(&sale(&format!("from-{length}"))).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_is_refused_by_its_length_wherever_no_endpoint_takes_one() {
    let upstream = upstream::Upstream::start();
    let Some(gateway) = Gateway::start(upstream.address) else { return };
    for (path, limit) in [
        (TARGET, 81_920),
        ("/api/v1/order-status", 81_920),
        ("/v1/webhooks/order-paid", 81_920),
        ("/openapi.json", 81_920),
        ("/metrics", 81_920),
        (BULK, 1_126_400),
        // Another spelling of a path has that path's limit, for nginx and for the service.
        ("/api/v1/conversions/%62ulk", 1_126_400),
        (BOOKS, 17_825_792),
    ] {
        let mut stream = stall(RIGHTFUL, gateway.address, path, limit + 1, 0).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), async {
            while !String::from_utf8_lossy(&answer).contains("body_too_large") {
                let mut bytes = [0; 1_024];
                let read = stream.read(&mut bytes).await.unwrap();
                assert!(read > 0, "{path}: {}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&bytes[..read]);
            }
        });
        read.await.unwrap_or_else(|_| panic!("{path} is not refused"));
        assert!(answer.starts_with(b"HTTP/1.1 413 "), "{path}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_services_own_500_passes_as_it_is() {
    let upstream = upstream::Upstream::start();
    let Some(gateway) = Gateway::start(upstream.address) else { return };
    let answer = reqwest::get(format!("{}/api/v1/fails", gateway.base())).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (500, "{}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_a_body_the_answer_is_503_and_callbacks_go_on() {
    let Some((_service, gateway, caller)) = behind_gateway("").await else { return };
    gateway.remove_room_for_bodies();
    let answer = import(&caller, 0).await;
    answer.expect_problem(503, "overloaded");
    assert_eq!((answer.header("retry-after"), answer.at("/retryable")), (Some("1"), json!(true)));
    assert_eq!(caller.post(&sale("ORD-1")).await.status, 202, "a callback needs no disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_compressed_and_nothing_else_is() {
    let Some((service, gateway, caller)) = behind_gateway("").await else { return };
    caller.post(&sale("ORD-1")).await;
    let get = async |base: &str, path: &str| {
        let headers = caller.headers(conversiond::domain::signature::Form::Bound, "GET", path, b"");
        let mut request = caller.http.get(format!("{base}{path}")).header("Accept-Encoding", "gzip");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let encoding =
            answer.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
        (encoding, answer.bytes().await.unwrap())
    };
    let direct = format!("http://{}", service.api);
    let (encoding, small) = get(&gateway.base(), "/openapi.json").await;
    let (_, whole) = get(&direct, "/openapi.json").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(small.len() * 4 < whole.len(), "{} of {}", small.len(), whole.len());
    for path in [TARGET, "/api/v1/orders", "/api/v1/attempts"] {
        let (encoding, through) = get(&gateway.base(), path).await;
        assert_eq!((encoding, &through), (None, &get(&direct, path).await.1), "{path}");
    }
}

/// The statuses of so many requests on one connection.
fn statuses(from: Ipv4Addr, to: SocketAddr, path: &str, times: usize) -> Vec<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async { connect_from(from, to).await.into_std().unwrap() });
    stream.set_nonblocking(false).unwrap();
    let mut reader = std::io::BufReader::new(&stream);
    (0..times).map(|_| ask(&stream, &mut reader, path)).collect()
}

fn ask(mut stream: &std::net::TcpStream, reader: &mut impl std::io::BufRead, path: &str) -> u16 {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).unwrap();
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        }
        if let Some(rest) = line.to_lowercase().strip_prefix("content-length: ") {
            length = rest.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_no_key_is_limited_by_address_and_the_others_go_on() {
    let Some((_service, gateway, caller)) = behind_gateway("").await else { return };
    for (path, status, burst) in [("/openapi.json", 200, 11), ("/nowhere", 404, 101), ("/api", 404, 101)] {
        // Each path from an address of its own, because unknown paths share one limit.
        let attacker = Ipv4Addr::new(127, 0, 1, u8::try_from(path.len()).unwrap());
        let address = gateway.address;
        let seen = tokio::task::spawn_blocking(move || statuses(attacker, address, path, burst + 40));
        let seen = seen.await.unwrap();
        assert!(seen[..burst].iter().all(|seen| *seen == status), "{path}: {seen:?}");
        assert!(seen.iter().filter(|seen| **seen == 429).count() >= 20, "{path}: {seen:?}");
        let other = tokio::task::spawn_blocking(move || statuses(RIGHTFUL, address, path, 1));
        assert_eq!(other.await.unwrap(), [status], "{path}");
        assert_eq!(
            from(attacker, &caller).post(&sale(path)).await.status,
            202,
            "callbacks are not limited by it"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_named_proxy_every_caller_is_counted_by_its_own_address() {
    let service = Service::start_with(Backend::Sqlite.database(), TRUSTING).await;
    // As docs/operations/behind-a-proxy.md has it.
    let lines = "set_real_ip_from 127.0.0.9/32; real_ip_header X-Forwarded-For; real_ip_recursive on;";
    let Some(gateway) = Gateway::start_with(service.api, lines) else { return };
    let (proxy, url) = (Ipv4Addr::new(127, 0, 0, 9), format!("{}/nowhere", gateway.base()));
    let get = async |client: &reqwest::Client, said: &str| {
        client.get(&url).header("X-Forwarded-For", said).send().await.unwrap().status().as_u16()
    };
    let by_proxy = reqwest::Client::builder().local_address(IpAddr::from(proxy)).build().unwrap();
    let stranger = reqwest::Client::builder().local_address(IpAddr::from(RIGHTFUL)).build().unwrap();
    let mut refused = 0;
    for _ in 0..140 {
        refused += usize::from(get(&by_proxy, "192.0.2.1, 198.51.100.1").await == 429);
    }
    assert!(refused >= 20, "the forger has used up its share");
    assert_eq!(get(&by_proxy, "198.51.100.1, 198.51.100.2").await, 404, "another caller has not");
    // Who is not the proxy says of himself what he likes.
    assert_eq!(get(&stranger, "198.51.100.3").await, 404);
    let lines = gateway.access_log(142);
    let clients: Vec<_> = [0, 140, 141].iter().map(|at| lines[*at]["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["198.51.100.1", "198.51.100.2", "127.0.0.5"]);
}
