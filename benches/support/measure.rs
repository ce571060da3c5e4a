//! One run: the load, and what it cost the service and its database meanwhile.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::databases::Watch;
use super::float;
use super::load::{self, Load};
use super::process::{self, Cpu};
use super::service::Service;

/// The figures of a run.
pub struct Run {
    /// How many connections.
    pub connections: usize,
    /// Events answered.
    pub events: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// From a request to its answer, in microseconds.
    pub latency: Histogram<u64>,
    /// Transactions.
    pub commits: f64,
    /// Events in them.
    pub committed: f64,
    /// Processor time of the service, of all of PostgreSQL, and of the load itself.
    pub cpu: [Cpu; 3],
    /// Bytes of PostgreSQL's log; on SQLite, all bytes that the service had written to storage.
    pub written: u64,
}

/// Sends the load and takes the figures.
pub fn run(service: &Service, watch: &mut Watch, load: &Load<'_>) -> Run {
    let cpu = |watch: &Watch| [service.cpu(), watch.cpu(), process::cpu(std::process::id())];
    let written = |watch: &mut Watch| watch.log_position().unwrap_or_else(|| process::written(service.id()));
    let (commits, bytes) = (service.commits(), written(watch));
    let before = cpu(watch);
    let driven = load::drive(service.api, load);
    let after = cpu(watch);
    let (commits_after, bytes_after) = (service.commits(), written(watch));
    Run {
        connections: load.connections,
        events: (driven.answered * load.requests.events_each) as u64,
        elapsed: driven.elapsed,
        latency: driven.latency,
        commits: commits_after.commits - commits.commits,
        committed: commits_after.events - commits.events,
        cpu: std::array::from_fn(|of| after[of] - before[of]),
        written: bytes_after - bytes,
    }
}

impl Run {
    /// Events answered a second.
    pub fn per_second(&self) -> f64 {
        float(self.events) / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        float(self.latency.value_at_quantile(quantile)) / 1e3
    }

    /// Transactions a second.
    pub fn commits_per_second(&self) -> f64 {
        self.commits / self.elapsed.as_secs_f64()
    }

    /// Events in a transaction; nothing where there was none.
    pub fn events_per_commit(&self) -> Option<f64> {
        (self.commits > 0.0).then(|| self.committed / self.commits)
    }

    /// Microseconds on a processor per event: of the service, of PostgreSQL, of the load.
    pub fn cpu_per_event(&self) -> [f64; 3] {
        self.cpu.map(|cpu| cpu.0.as_secs_f64() * 1e6 / float(self.events))
    }

    /// How many processors were at work, on average: where that is less than there are, the disk or the
    /// wait for each other is the limit.
    pub fn cores_busy(&self) -> f64 {
        self.cpu.iter().map(|cpu| cpu.0.as_secs_f64()).sum::<f64>() / self.elapsed.as_secs_f64()
    }

    /// Bytes written per event.
    pub fn written_per_event(&self) -> f64 {
        float(self.written) / float(self.events)
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let [service, postgres, load] = self.cpu_per_event();
        json!({
            "connections": self.connections,
            "events": self.events,
            "seconds": self.elapsed.as_secs_f64(),
            "events_per_second": self.per_second(),
            "latency_ms": {
                "p50": self.latency_ms(0.5),
                "p90": self.latency_ms(0.9),
                "p99": self.latency_ms(0.99),
                "p999": self.latency_ms(0.999),
                "max": float(self.latency.max()) / 1e3,
            },
            "commits_per_second": self.commits_per_second(),
            "events_per_commit": self.events_per_commit(),
            "cpu_us_per_event": { "service": service, "postgresql": postgres, "load": load },
            "cores_busy": self.cores_busy(),
            "written_bytes_per_event": self.written_per_event(),
        })
    }
}
