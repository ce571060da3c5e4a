//! How many callbacks a second are accepted and on disk, and how many the same service takes when
//! its store answers at once.
//!
//! `cargo bench --bench ingest` starts the service in this process, drives it over loopback with
//! signed, distinct sales that carry valid click tokens, and prints a table. Settings:
//! `BENCH_REQUESTS` (60000), `BENCH_CONNECTIONS` (64), `BENCH_ROUNDS` (3).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a benchmark that meets the unexpected ends"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conversiond::config::{Config, load_from};
use conversiond::domain::ids::{ClickId, KeyKind, MerchantId};
use conversiond::domain::merchant::Merchant;
use conversiond::domain::signature::{Covered, Form, sign};
use conversiond::domain::submission::{Submission, SubmissionOutcome};
use conversiond::domain::time::Clock as _;
use conversiond::keyring::{IssuedKey, KeyRequest, Loader, ensure_token_key, issue_key};
use conversiond::server::{self, Dependencies};
use conversiond::storage::merchants::{self, Account};
use conversiond::storage::submissions::WriteContext;
use conversiond::storage::writer::{BatchFailure, BatchStore, Stores};
use conversiond::storage::{Connector, Purpose, StoreError, migrate};
use conversiond::system::{SystemClock, SystemEntropy};
use figment::Figment;
use figment::providers::{Format as _, Toml};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

#[path = "../tests/support/cluster.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod cluster;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MASTER_KEY: &str = "1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// A store that answers at once: what is left is the ceiling.
struct NoStore;

impl BatchStore for NoStore {
    fn commit(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure> {
        Ok(batch.iter().map(|one| one.if_new(context.received_at)).collect())
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Figures {
    per_second: f64,
    latency: Histogram<u64>,
    events_per_commit: f64,
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn config(url: &str) -> Config {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[database]\nurl = \"{url}\"\n\
         [telemetry]\nlog_level = \"warn\"\n"
    );
    load_from(Figment::from(Toml::string(&text))).expect("a valid configuration")
}

/// A merchant with a key, and signed requests ready to be written to a socket.
fn requests(config: &Config, count: usize) -> Vec<Vec<u8>> {
    let ring = MASTER_KEY.parse().expect("a master key");
    let now = SystemClock.now();
    let mut connection =
        Connector::new(config.database.clone()).connect(Purpose::Write).expect("a connection");
    migrate::run(&mut connection).expect("migrated");
    let id = MerchantId::generate(now, &SystemEntropy);
    let account = Account { merchant: Merchant::new(id), name: "bench".to_owned(), created_at: now };
    merchants::create(&mut connection, &account).expect("a merchant");
    let request =
        KeyRequest { kind: KeyKind::Live, merchant_id: Some(id), ip_allow: Vec::new(), require_v2: false };
    let key = issue_key(&mut connection, &ring, request, now, &SystemEntropy).expect("a key");
    ensure_token_key(&mut connection, &ring, now, &SystemEntropy).expect("a token key");
    let tokens = Loader::new(ring, &SystemEntropy).load(&mut connection, now).expect("keys").token_ring;
    let url = Uuid::from_u128(7);
    (0..count)
        .map(|number| {
            let token = tokens.mint(id, url, url, ClickId::generate(now, &SystemEntropy)).expect("a token");
            let body = format!(
                "{{\"event_name\":\"sale\",\"nim_ct\":\"{token}\",\"custom_data\":{{\"order_id\":\"ORD-{number:09}\",\
                 \"value\":\"129.90\",\"currency\":\"USD\"}}}}"
            );
            request_bytes(&key, now.timestamp(), &body)
        })
        .collect()
}

fn request_bytes(key: &IssuedKey, timestamp: i64, body: &str) -> Vec<u8> {
    let covered = Covered {
        method: "POST",
        target: "/api/v1/conversions",
        idempotency_key: "",
        external_event_id: "",
        body: body.as_bytes(),
    };
    let mut text = String::from(
        "POST /api/v1/conversions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n",
    );
    for (name, value) in sign(Form::Plain, key.key_id.as_str(), &key.secret, timestamp, "", &covered) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

/// Sends every request once over so many connections, each waiting for its answer.
async fn drive(
    address: std::net::SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    connections: usize,
) -> (Duration, Histogram<u64>) {
    let next = Arc::new(AtomicUsize::new(0));
    let started = now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (next, requests) = (next.clone(), requests.clone());
            tokio::spawn(async move {
                let mut latency = Histogram::<u64>::new(3).expect("a histogram");
                let mut stream = TcpStream::connect(address).await.expect("a connection");
                stream.set_nodelay(true).expect("no delay");
                let mut buffer = vec![0u8; 8192];
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sent = now();
                    stream.write_all(request).await.expect("sent");
                    let mut filled = 0;
                    loop {
                        let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
                        assert!(read > 0, "the connection was closed");
                        filled += read;
                        if complete(&buffer[..filled]) {
                            break;
                        }
                    }
                    assert!(
                        buffer.starts_with(b"HTTP/1.1 202"),
                        "{}",
                        String::from_utf8_lossy(&buffer[..filled])
                    );
                    latency
                        .record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX))
                        .expect("recorded");
                }
                latency
            })
        })
        .collect();
    let mut latency = Histogram::<u64>::new(3).expect("a histogram");
    for task in tasks {
        latency.add(task.await.expect("a caller")).expect("added");
    }
    (started.elapsed(), latency)
}

fn complete(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    answer.len() >= end + 4 + length.unwrap_or(0)
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn measure(url: &str, with_store: bool, count: usize, connections: usize) -> Figures {
    let config = config(url);
    let requests = Arc::new(requests(&config, count));
    let serving = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let driving = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (tell, address) = std::sync::mpsc::channel();
    let service = std::thread::spawn(move || {
        serving.block_on(async move {
            let dependencies = Dependencies {
                clock: Arc::new(SystemClock),
                entropy: Arc::new(SystemEntropy),
                master_key: MASTER_KEY.parse().expect("a master key"),
            };
            let bound = if with_store {
                server::build(&config, dependencies).await
            } else {
                server::build_with(&config, dependencies, || {
                    Ok(Stores { lanes: vec![NoStore, NoStore], rescue: None })
                })
                .await
            };
            let bound = bound.expect("the service starts");
            tell.send((bound.api_address, bound.admin_address)).expect("told");
            bound.run(async move { drop(stopped.await) }).await.expect("the service ends well");
        });
    });
    let (api, admin) = address.recv().expect("an address");
    let (elapsed, latency) = driving.block_on(drive(api, requests, connections));
    let metrics = driving.block_on(async {
        reqwest::get(format!("http://{admin}/metrics")).await.expect("metrics").text().await.expect("metrics")
    });
    let figure = |name: &str| -> f64 {
        metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(f64::NAN)
    };
    drop(stop);
    service.join().expect("the service ends");
    let events_per_commit =
        figure("conversiond_batch_events_sum ") / figure("conversiond_batch_events_count ");
    #[allow(clippy::cast_precision_loss, reason = "a benchmark's counts are small")]
    let per_second = count as f64 / elapsed.as_secs_f64();
    Figures { per_second, latency, events_per_commit }
}

fn main() {
    let count = setting("BENCH_REQUESTS", 60_000);
    let connections = setting("BENCH_CONNECTIONS", 64);
    let rounds = setting("BENCH_ROUNDS", 3);
    let cluster = cluster::Cluster::start(&["max_wal_size = '4GB'"]);
    println!("{count} signed sales over {connections} connections, {rounds} rounds");
    println!(
        "{:<12} {:>10} {:>8} {:>9} {:>9} {:>14}",
        "store", "accepted/s", "ratio", "p50 ms", "p99 ms", "events/commit"
    );
    for _ in 0..rounds {
        let folder = tempfile::tempdir().expect("a folder");
        let sqlite = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let ceiling = measure(&sqlite("ceiling.db"), false, count, connections);
        let mut rows = vec![("sqlite", measure(&sqlite("test.db"), true, count, connections))];
        if let Some(cluster) = &cluster {
            rows.push((
                "postgresql",
                measure(&cluster.url(&cluster.create_database()), true, count, connections),
            ));
        }
        let base = ceiling.per_second;
        for (name, figures) in std::iter::once(("none", ceiling)).chain(rows) {
            let millis = |quantile| {
                Duration::from_micros(figures.latency.value_at_quantile(quantile)).as_secs_f64() * 1e3
            };
            println!(
                "{name:<12} {:>10.0} {:>8.2} {:>9.1} {:>9.1} {:>14.1}",
                figures.per_second,
                figures.per_second / base,
                millis(0.5),
                millis(0.99),
                figures.events_per_commit
            );
        }
    }
}
