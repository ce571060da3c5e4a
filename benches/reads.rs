//! How long reading takes on a store with a million events of one merchant among a thousand.
//!
//! `cargo bench --bench reads` fills an SQLite file and a PostgreSQL cluster of its own, starts the
//! service in this process and asks it over loopback, one request after the other. Settings:
//! `BENCH_EVENTS` (1000000), `BENCH_REPEATS` (30).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::as_conversions,
    reason = "a benchmark that meets the unexpected ends"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::config::{Config, load_from};
use conversiond::domain::ids::{ClickId, EventId, KeyKind, MerchantId};
use conversiond::domain::instant;
use conversiond::domain::merchant::Merchant;
use conversiond::domain::signature::{Covered, Form, sign};
use conversiond::domain::time::Clock as _;
use conversiond::keyring::{IssuedKey, KeyRequest, ensure_token_key, issue_key};
use conversiond::server::{self, Dependencies};
use conversiond::storage::merchants::{self, Account};
use conversiond::storage::{AnyConnection, Connector, Purpose, migrate};
use conversiond::system::{SystemClock, SystemEntropy};
use diesel::connection::SimpleConnection as _;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use hdrhistogram::Histogram;
use uuid::Uuid;

#[path = "../tests/support/cluster.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod cluster;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MASTER_KEY: &str = "1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

/// How many links the large merchant's sales are credited to.
const LINKS: usize = 500;

/// How many events one statement inserts.
const CHUNK: usize = 500;

/// What was filled in.
struct Store {
    config: Config,
    key: IssuedKey,
    /// An order with a refund.
    order: String,
    now: DateTime<Utc>,
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn config(url: &str) -> Config {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[database]\nurl = \"{url}\"\n\
         [telemetry]\nlog_level = \"warn\"\n"
    );
    load_from(Figment::from(Toml::string(&text))).expect("a valid configuration")
}

/// A merchant with a year of events, eight of a hundred sales refunded, and 999 small merchants.
fn fill(url: &str, events: usize) -> Store {
    let config = config(url);
    let ring = MASTER_KEY.parse().expect("a master key");
    let now = SystemClock.now();
    let mut connection =
        Connector::new(config.database.clone()).connect(Purpose::Write).expect("a connection");
    migrate::run(&mut connection).expect("migrated");
    let merchants: Vec<MerchantId> = (0..1_000)
        .map(|_| {
            let id = MerchantId::generate(now, &SystemEntropy);
            let account = Account { merchant: Merchant::new(id), name: "bench".to_owned(), created_at: now };
            merchants::create(&mut connection, &account).expect("a merchant");
            id
        })
        .collect();
    let request = KeyRequest {
        kind: KeyKind::Live,
        merchant_id: Some(merchants[0]),
        ip_allow: Vec::new(),
        require_v2: false,
    };
    let key = issue_key(&mut connection, &ring, request, now, &SystemEntropy).expect("a key");
    ensure_token_key(&mut connection, &ring, now, &SystemEntropy).expect("a token key");
    let step = TimeDelta::days(365) / i32::try_from(events).expect("not so many");
    let mut rows = Vec::with_capacity(CHUNK);
    connection.batch_execute("BEGIN").expect("begun");
    for number in 0..events {
        let back = i32::try_from(events - number).expect("not so many");
        let at = now - TimeDelta::minutes(5) - step * back;
        rows.push(row(merchants[0], number, at));
        // The small merchants' events lie among them.
        if number % 10 == 0 {
            rows.push(row(merchants[1 + number / 10 % 999], number, at));
        }
        if rows.len() >= CHUNK {
            insert(&mut connection, &mut rows);
        }
    }
    insert(&mut connection, &mut rows);
    connection.batch_execute("COMMIT").expect("committed");
    match &mut connection {
        AnyConnection::Postgres(c) => c.batch_execute("VACUUM ANALYZE").expect("analysed"),
        AnyConnection::Sqlite(c) => c.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").expect("written back"),
    }
    Store { config, key, order: format!("ORD-{:09}", events / 2 / 100 * 100), now }
}

/// Of each hundred events, seven refund one of the sales before them.
fn row(merchant: MerchantId, number: usize, at: DateTime<Utc>) -> String {
    let id = EventId::generate(at, &SystemEntropy);
    let when = at.format("%Y-%m-%d %H:%M:%S%.6f");
    let link = Uuid::from_u128(0x1000 + (number * 7919 % LINKS) as u128);
    let click = ClickId::generate(at - TimeDelta::hours(1), &SystemEntropy);
    let clicked = (at - TimeDelta::hours(1)).format("%Y-%m-%d %H:%M:%S%.6f");
    let place = number % 100;
    let (name, order, own, credit) = if place >= 93 {
        let order = number - place + (place - 93) * 10;
        ("refund", order, format!("R-{number}"), "'inherited', NULL, NULL, NULL, NULL, NULL".to_owned())
    } else {
        let link = format!("'attributed', NULL, '{click}', '{link}', '{link}', '{clicked}'");
        ("sale", number, String::new(), link)
    };
    let external = if own.is_empty() { "NULL".to_owned() } else { format!("'{own}'") };
    let body = "{\"event_name\":\"sale\",\"nim_ct\":\"AQEBmqgAjntyDL1j8-uc25IQAQEBmqgAjntyDL1j8-uc25IQAQEBmqgAjntyDL1j8\",\
                \"custom_data\":{\"order_id\":\"ORD-000000000\",\"value\":\"129.90\",\"currency\":\"USD\"}}";
    format!(
        "('{merchant}', 'live', '{id}', '{name}', 'ORD-{order:09}', '{own}', {external}, '{when}', TRUE, '{when}', \
         {}, 'USD', {credit}, '{body}', 'ak_live_0123456789abcdefghijklmn', 'v1', 1, 0, NULL)",
        if name == "sale" { 12_990 } else { 990 }
    )
}

fn insert(connection: &mut AnyConnection, rows: &mut Vec<String>) {
    if rows.is_empty() {
        return;
    }
    let sql = format!(
        "INSERT INTO events (merchant_id, mode, event_id, event_name, order_id, own_id, external_id, occurred_at, \
         occurred_given, received_at, value_minor, currency, attribution, attribution_reason, click_id, url_id, \
         domain_id, clicked_at, body, key_id, signature_form, times_received, times_differed, attempt_id) VALUES {}",
        rows.join(", ")
    );
    connection.batch_execute(&sql).expect("inserted");
    rows.clear();
}

/// Signed reading, as a merchant does it.
struct Reader {
    client: reqwest::Client,
    api: SocketAddr,
    key: IssuedKey,
}

impl Reader {
    async fn get(&self, target: &str) -> reqwest::Response {
        let covered =
            Covered { method: "GET", target, idempotency_key: "", external_event_id: "", body: b"" };
        let timestamp = SystemClock.now().timestamp();
        let mut request = self.client.get(format!("http://{}{target}", self.api));
        for (name, value) in
            sign(Form::Bound, self.key.key_id.as_str(), &self.key.secret, timestamp, "", &covered)
        {
            request = request.header(name, value);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{target}");
        response
    }

    /// The median and the worst of some, in milliseconds.
    async fn time(&self, target: &str, repeats: usize) -> (f64, f64) {
        let mut latency = Histogram::<u64>::new(3).expect("a histogram");
        for _ in 0..repeats {
            let started = now();
            self.get(target).await.bytes().await.expect("a body");
            latency
                .record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX))
                .expect("recorded");
        }
        #[allow(clippy::cast_precision_loss, reason = "a benchmark's figures are small")]
        let millis = |micros: u64| micros as f64 / 1e3;
        (millis(latency.value_at_quantile(0.5)), millis(latency.max()))
    }

    /// Events a second of a whole export.
    async fn export(&self) -> (usize, f64) {
        let started = now();
        let mut response = self.get("/api/v1/exports/events?format=ndjson").await;
        let mut lines = 0;
        while let Some(chunk) = response.chunk().await.expect("a whole export") {
            lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        }
        #[allow(clippy::cast_precision_loss, reason = "a benchmark's figures are small")]
        let rate = lines as f64 / started.elapsed().as_secs_f64();
        (lines, rate)
    }
}

async fn ask(name: &str, reader: &Reader, store: &Store, repeats: usize) {
    let link = Uuid::from_u128(0x1000 + 7);
    let month = |days: i64| {
        let from = instant::format(store.now - TimeDelta::days(days));
        let to = instant::format(store.now - TimeDelta::days(days - 30));
        format!("from={from}&to={to}&tz=Europe/Paris")
    };
    let questions = [
        ("an order", format!("/api/v1/orders/{}", store.order)),
        ("orders, newest 100", "/api/v1/orders".to_owned()),
        ("orders, state=refunded", "/api/v1/orders?state=refunded".to_owned()),
        ("orders, state=partially_refunded", "/api/v1/orders?state=partially_refunded".to_owned()),
        ("orders, state=open", "/api/v1/orders?state=open".to_owned()),
        ("orders, of a link", format!("/api/v1/orders?url_id={link}")),
        ("events, newest 100", "/api/v1/conversions".to_owned()),
        ("report, 30 days by day", format!("/api/v1/reports/attribution?group_by=day&{}", month(30))),
        ("the same, 300 days ago", format!("/api/v1/reports/attribution?group_by=day&{}", month(300))),
        ("report, by link and day", format!("/api/v1/reports/attribution?group_by=url_id,day&{}", month(30))),
        (
            "report, by day, basis=event",
            format!("/api/v1/reports/attribution?group_by=day&basis=event&{}", month(30)),
        ),
    ];
    for (what, target) in questions {
        let (median, worst) = reader.time(&target, repeats).await;
        println!("{name:<12} {what:<34} {median:>9.1} ms {worst:>9.1} ms");
    }
    let (lines, rate) = reader.export().await;
    println!("{name:<12} {:<34} {rate:>9.0} events/s", format!("export of {lines} lines"));
}

fn measure(name: &str, url: &str, events: usize, repeats: usize) {
    let started = now();
    let store = fill(url, events);
    println!("{name:<12} filled in {:.0} s", started.elapsed().as_secs_f64());
    let serving = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    serving.block_on(async {
        let dependencies = Dependencies {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            master_key: MASTER_KEY.parse().expect("a master key"),
        };
        let bound = server::build(&store.config, dependencies).await.expect("the service starts");
        let reader = Reader {
            client: reqwest::Client::new(),
            api: bound.api_address,
            key: IssuedKey { key_id: store.key.key_id.clone(), secret: store.key.secret.clone() },
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        // The service's listeners live on threads of their own.
        let asking = async {
            ask(name, &reader, &store, repeats).await;
            drop(stop);
        };
        let (served, ()) = tokio::join!(bound.run(async move { drop(stopped.await) }), asking);
        served.expect("the service ends well");
    });
}

fn main() {
    let events = setting("BENCH_EVENTS", 1_000_000);
    let repeats = setting("BENCH_REPEATS", 30);
    println!(
        "{events} events of one merchant in a year, {} of 999 others; {repeats} times each",
        events / 10
    );
    println!("{:<12} {:<34} {:>12} {:>12}", "store", "question", "median", "worst");
    let folder = tempfile::tempdir().expect("a folder");
    measure("sqlite", &format!("sqlite:{}", folder.path().join("test.db").display()), events, repeats);
    match cluster::Cluster::start(&["max_wal_size = '4GB'"]) {
        Some(cluster) => measure("postgresql", &cluster.url(&cluster.create_database()), events, repeats),
        None => println!("postgresql   no server binaries found: left out"),
    }
}
