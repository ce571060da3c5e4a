//! One service from its start to its end, under one kind of load, over several numbers of connections.

use std::time::Duration;

use serde_json::{Value, json};

use super::databases::{Database, Databases, Kind, Watch};
use super::float;
use super::load::{self, Load};
use super::measure::{self, Run};
use super::process;
use super::requests::Requests;
use super::service::{Program, Service};

/// What is measured.
pub struct Plan<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Which database.
    pub kind: Kind,
    /// Which service.
    pub program: Program,
    /// Its settings that are not the default.
    pub settings: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub requests: &'a Requests,
    /// What is sent again and again, or once.
    pub repeated: Repeated,
    /// Over how many connections, one after the other.
    pub connections: &'a [usize],
    /// How many requests at most each time, and how long at most.
    pub limits: (usize, Duration),
    /// How many are sent before, unmeasured.
    pub warm_up: usize,
}

/// Whether requests may be sent more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    /// Each is sent once: all are new.
    No,
    /// It makes no difference to the service.
    Freely,
    /// All of them have been sent before: all are known.
    Known,
}

/// What was measured.
pub struct Series {
    /// What it is called.
    pub name: String,
    /// One per number of connections.
    pub runs: Vec<Run>,
    /// The most memory that the service had at one moment, in bytes.
    pub peak_memory: u64,
    /// From the service's start until it was ready, on a store with the merchants in it.
    pub ready_after: Duration,
    /// What one event made the store grow by, in bytes; nothing where nothing is stored.
    pub stored_per_event: Option<f64>,
}

/// Requests before the first run, so that what is made once is made.
pub const WARM_UP: usize = 500;

/// Measures on a fresh database; `None` where PostgreSQL is not installed.
pub fn measure(databases: &Databases, plan: &Plan<'_>) -> Option<Series> {
    let database = databases.fresh(plan.kind)?;
    let series = measure_on(&database, plan);
    database.remove(databases);
    Some(series)
}

/// Measures on this database.
pub fn measure_on(database: &Database, plan: &Plan<'_>) -> Series {
    let service = Service::start(plan.program, database, plan.settings);
    let ready_after = service.ready_after;
    let mut watch = Watch::new(database);
    let empty = watch.size();
    let (requests, count) = (plan.requests, plan.requests.len());
    let send = |range: std::ops::Range<usize>, connections| Load {
        requests,
        range,
        cycle: plan.repeated != Repeated::No,
        connections,
        limit: plan.limits.1,
    };
    let first = if plan.repeated == Repeated::Known { count } else { plan.warm_up.min(count) };
    // Never over more connections than the runs have: what it takes would count in the peak.
    let callers = plan.connections.iter().copied().max().unwrap_or(1).min(16);
    let warm_up = Load { cycle: false, limit: Duration::from_secs(600), ..send(0..first, callers) };
    let mut stored = load::drive(service.api, &warm_up).answered * requests.events_each;
    let mut next = first;
    let mut runs = Vec::new();
    for connections in plan.connections {
        let range = match plan.repeated {
            Repeated::No => next..count.min(next + most(plan.limits.0, *connections)),
            Repeated::Freely | Repeated::Known => 0..count,
        };
        let run = measure::run(&service, &mut watch, &send(range, *connections));
        if plan.repeated == Repeated::No {
            stored += usize::try_from(run.events).expect("a count");
            next += usize::try_from(run.events).expect("a count") / requests.events_each;
        }
        runs.push(run);
    }
    let peak_memory = process::peak_memory(service.id());
    service.stop();
    // SQLite's last connection writes the log back into the file.
    drop(database.connect());
    let grown = watch.size().saturating_sub(empty);
    Series {
        name: plan.name.to_owned(),
        runs,
        peak_memory,
        ready_after,
        stored_per_event: (plan.repeated == Repeated::No).then(|| float(grown) / float(stored as u64)),
    }
}

/// One caller is never faster than so many a second.
pub fn most(requests: usize, connections: usize) -> usize {
    if connections == 1 { requests / 4 } else { requests }
}

impl Series {
    /// The run over so many connections.
    pub fn at(&self, connections: usize) -> Option<&Run> {
        self.runs.iter().find(|run| run.connections == connections)
    }

    /// The same with one run: the one of the median rate.
    pub fn median(mut self) -> Self {
        self.runs.sort_by(|one, other| one.per_second().total_cmp(&other.per_second()));
        if !self.runs.is_empty() {
            self.runs = vec![self.runs.swap_remove(self.runs.len() / 2)];
        }
        self
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "name": self.name,
            "runs": self.runs.iter().map(Run::json).collect::<Vec<_>>(),
            "peak_memory_bytes": self.peak_memory,
            "ready_after_ms": self.ready_after.as_secs_f64() * 1e3,
            "stored_bytes_per_event": self.stored_per_event,
        })
    }
}
