//! Writing and reading on a store with a history, beside writing on an empty one.
//!
//! `cargo bench --bench growth` fills an SQLite file and a PostgreSQL cluster of its own with a year of
//! events over all merchants, half of them the first one's; sends sales whose order ids come after those
//! that are there, then sales whose ids fall anywhere among them; and asks what the first merchant
//! asks. Settings: `BENCH_FULL=1` (1 and 10 million events; else 200,000), `BENCH_EVENTS` (sizes of
//! your own, separated by commas), `BENCH_REPEATS` (of each question, 10), `BENCH_REQUESTS` (at most so
//! many a run, 40000), `BENCH_SECONDS` (at most so long, 2), `BENCH_MERCHANTS` (1000), `BENCH_ONLY`
//! (sqlite or postgresql).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::as_conversions,
    missing_docs,
    reason = "a benchmark that meets the unexpected ends"
)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};

use support::cast::Cast;
use support::child;
use support::databases::{Database, Databases, Kind};
use support::machine::Machine;
use support::requests::{Manner, Orders, Requests};
use support::series::{self, Plan, Repeated, Series};
use support::service::{Program, Service};
use support::{filled, list, now, output, questions, setting, table};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Over so many connections, so often: the run of the median rate counts.
const CONNECTIONS: [usize; 3] = [64; 3];

/// Sent before: the service has read what it keeps in memory, and PostgreSQL has written most pages that
/// are changed all the time in full into its log, as it does once after each checkpoint.
const WARM_UP: usize = 20_000;

/// How much is sent at most, and how long.
type Limits = (usize, Duration);

fn write(
    name: &str,
    kind: Kind,
    database: &Database,
    (cast, orders, limits): (&Cast, Orders, Limits),
) -> Series {
    let count = WARM_UP + CONNECTIONS.len() * limits.0;
    let requests = Requests::sales(cast, cast.members.len(), count, orders, Manner::Plain);
    let plan = Plan {
        name,
        kind,
        program: Program::Release,
        settings: &[],
        requests: &requests,
        repeated: Repeated::No,
        connections: &CONNECTIONS,
        limits,
        warm_up: WARM_UP,
    };
    series::measure_on(database, &plan).median()
}

/// Everything on one kind of database; `None` where PostgreSQL is not installed.
fn measure(databases: &Databases, kind: Kind, cast: &Cast, sizes: &[usize], limits: Limits) -> Option<Value> {
    let name = if kind == Kind::Sqlite { "sqlite" } else { "postgresql" };
    table::print_head("of empty");
    let database = databases.fresh(kind)?;
    let empty = write(&format!("{name}, empty"), kind, &database, (cast, Orders::From(0), limits));
    table::print_series(&empty, None);
    database.remove(databases);
    let mut told = vec![empty.json()];
    let mut asked = Vec::new();
    for events in sizes {
        let database = databases.fresh(kind)?;
        let started = now();
        let history = filled::fill(&database, cast, *events);
        println!("{:<26} filled in {:.0} s", format!("{name}, {events}"), started.elapsed().as_secs_f64());
        for (manner, orders) in [("in order", Orders::From(*events)), ("random", Orders::Among(*events))] {
            let series =
                write(&format!("{name}, {events} {manner}"), kind, &database, (cast, orders, limits));
            table::print_series(&series, Some(&empty));
            told.push(series.json());
        }
        let service = Service::start(Program::Release, &database, &[]);
        let repeats = setting("BENCH_REPEATS", 10);
        let about = format!("{name}, {events} events");
        let answers = questions::ask(&about, service.api, &cast.members[0], &history, repeats);
        asked.push(json!({ "events": events, "answers": answers }));
        service.stop();
        database.remove(databases);
    }
    Some(json!({ "store": name, "writing": told, "reading": asked }))
}

fn main() {
    if child::served() {
        return;
    }
    let full = setting("BENCH_FULL", 0) > 0;
    let sizes = list("BENCH_EVENTS")
        .unwrap_or_else(|| if full { vec![1_000_000, 10_000_000] } else { vec![200_000] });
    let limits = (setting("BENCH_REQUESTS", 40_000), Duration::from_secs(setting("BENCH_SECONDS", 2)));
    let only: Option<Vec<String>> = list("BENCH_ONLY");
    let cast = Cast::new(setting("BENCH_MERCHANTS", 1_000));
    let databases = Databases::new(&cast);
    let (machine, cluster) = (Machine::here(databases.folder()), databases.settings());
    table::print_machine(&machine, &cluster);
    println!("stores       {sizes:?} events of {} merchants, half of them of one", cast.members.len());
    if !full {
        println!("left out     1 and 10 million events: BENCH_FULL=1");
    }
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only.iter().any(|one| one == name));
    let measured: Vec<Value> = [(Kind::Sqlite, "sqlite"), (Kind::Postgres, "postgresql")]
        .into_iter()
        .filter(|(_, name)| wanted(name))
        .filter_map(|(kind, _)| measure(&databases, kind, &cast, &sizes, limits))
        .collect();
    let all = json!({ "machine": output::json_machine(&machine, &cluster), "stores": measured });
    println!();
    output::write("growth.json", &format!("{all:#}\n"));
}
