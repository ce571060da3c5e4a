//! What a merchant asks of a store with a history, one question after the other.

use std::net::SocketAddr;

use chrono::TimeDelta;
use conversiond::domain::instant;
use conversiond::domain::signature::{Covered, Form, sign};
use conversiond::domain::time::Clock as _;
use conversiond::system::SystemClock;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use uuid::Uuid;

use super::cast::Member;
use super::filled::History;
use super::{float, now};

/// Signed reading, as a merchant does it.
struct Reader<'a> {
    client: reqwest::Client,
    api: SocketAddr,
    member: &'a Member,
}

impl Reader<'_> {
    async fn get(&self, target: &str) -> reqwest::Response {
        let covered =
            Covered { method: "GET", target, idempotency_key: "", external_event_id: "", body: b"" };
        let timestamp = SystemClock.now().timestamp();
        let Self { client, api, member } = self;
        let mut request = client.get(format!("http://{api}{target}"));
        for (name, value) in
            sign(Form::Bound, member.key_id.as_str(), &member.secret, timestamp, "", &covered)
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
        (float(latency.value_at_quantile(0.5)) / 1e3, float(latency.max()) / 1e3)
    }

    /// Lines and events a second of a whole export.
    async fn export(&self) -> (usize, f64) {
        let started = now();
        let mut response = self.get("/api/v1/exports/events?format=ndjson").await;
        let mut lines = 0;
        while let Some(chunk) = response.chunk().await.expect("a whole export") {
            lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        }
        (lines, float(lines as u64) / started.elapsed().as_secs_f64())
    }
}

fn questions(history: &History) -> Vec<(&'static str, String)> {
    let link = Uuid::from_u128(0x1000 + 8);
    let month = |days: i64| {
        let from = instant::format(history.until - TimeDelta::days(days));
        let to = instant::format(history.until - TimeDelta::days(days - 30));
        format!("from={from}&to={to}&tz=Europe/Paris")
    };
    let report = |rest: &str, days| format!("/api/v1/reports/attribution?group_by={rest}&{}", month(days));
    vec![
        ("an order", format!("/api/v1/orders/{}", history.refunded_order())),
        ("orders, newest 100", "/api/v1/orders".to_owned()),
        ("orders, state=refunded", "/api/v1/orders?state=refunded".to_owned()),
        ("orders, state=partially_refunded", "/api/v1/orders?state=partially_refunded".to_owned()),
        ("orders, state=open", "/api/v1/orders?state=open".to_owned()),
        ("orders, of a link", format!("/api/v1/orders?url_id={link}")),
        ("events, newest 100", "/api/v1/conversions".to_owned()),
        ("report, 30 days by day", report("day", 30)),
        ("the same, 300 days ago", report("day", 300)),
        ("report, by link and day", report("url_id,day", 30)),
        ("report, by day, basis=event", report("day&basis=event", 30)),
    ]
}

/// Asks everything so many times, and prints the answers' times.
pub fn ask(name: &str, api: SocketAddr, member: &Member, history: &History, repeats: usize) -> Value {
    println!("\n{:<44} {:>10} {:>10}", format!("{name}: one merchant's questions"), "median ms", "worst ms");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let reader = Reader { client: reqwest::Client::new(), api, member };
        let mut told = Vec::new();
        for (what, target) in questions(history) {
            let (median, worst) = reader.time(&target, repeats).await;
            println!("  {what:<42} {median:>10.1} {worst:>10.1}");
            told.push(json!({ "question": what, "median_ms": median, "worst_ms": worst }));
        }
        let (lines, rate) = reader.export().await;
        println!("  {:<42} {rate:>10.0} events/s", format!("export of {lines} lines"));
        json!({ "questions": told, "export": { "lines": lines, "events_per_second": rate } })
    })
}
