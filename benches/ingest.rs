//! How many callbacks a second are accepted and on disk, and what one costs.
//!
//! `cargo bench --bench ingest` starts services as processes of their own, drives them over loopback
//! with signed, distinct sales of many merchants that carry valid click tokens, and prints a table;
//! C in it is the same service with a store that answers at once. Settings: `BENCH_ONLY` (parts of
//! names, separated by commas; C needs `ceiling`), `BENCH_CONNECTIONS` (1,16,64,256), `BENCH_REQUESTS` (at most so
//! many a run, 80000), `BENCH_SECONDS` (at most so long, 2), `BENCH_MERCHANTS` (1000), `BENCH_ROUNDS` (1). The services take
//! over their own settings, `CONVERSIOND__DATABASE__WRITERS=1` say.
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
use support::child::{self, Stand};
use support::databases::{Databases, Kind};
use support::machine::Machine;
use support::requests::{Manner, Orders, Requests};
use support::series::{self, Plan, Repeated, Series};
use support::service::{Program, Service};
use support::{float, list, output, plot, setting, table};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections where only one number is tried.
const USUAL: [usize; 1] = [64];

/// Bulk requests are long: few at a time keep the service busy.
const BULK: [usize; 1] = [8];
const BULK_ROWS: usize = 1_000;

/// PostgreSQL as it is set when every event is a transaction of its own: the whole transaction of this
/// service, on as many connections as the baseline's pool has.
const SINGLY: [(&str, &str); 2] = [("INGEST__BATCH_EVENTS", "1"), ("DATABASE__WRITERS", "32")];

/// Nobody is kept from failing, for that is what is measured.
const UNCHARGED: [(&str, &str); 1] = [("PEER__FAILURES_PER_S", "0")];

/// What is sent.
struct Requested {
    sales: Requests,
    of_one: Requests,
    keyed: Requests,
    bulk: Requests,
    repeats: Requests,
    forged: Requests,
}

impl Requested {
    fn new(cast: &Cast, connections: &[usize], a_run: usize) -> Self {
        let all: usize = connections.iter().map(|number| series::most(a_run, *number)).sum();
        let merchants = cast.members.len();
        let sales = |count, manner| Requests::sales(cast, merchants, count, Orders::From(0), manner);
        Self {
            of_one: Requests::sales(cast, 1, a_run + series::WARM_UP, Orders::From(0), Manner::Plain),
            sales: sales(all + series::WARM_UP, Manner::Plain),
            keyed: sales(a_run + series::WARM_UP, Manner::Keyed),
            bulk: Requests::bulk(cast, (a_run / 500).max(20), BULK_ROWS),
            repeats: sales(a_run / 4, Manner::Plain),
            forged: sales(a_run / 4, Manner::Forged),
        }
    }
}

fn plans<'a>(sent: &'a Requested, connections: &'a [usize], limits: (usize, Duration)) -> Vec<Plan<'a>> {
    let plan = |name, kind| Plan {
        name,
        kind,
        program: Program::Release,
        settings: &[],
        requests: &sent.sales,
        repeated: Repeated::No,
        connections,
        limits,
        warm_up: series::WARM_UP,
    };
    let usual = |name, kind| Plan { connections: &USUAL, ..plan(name, kind) };
    let bulk = |name, kind| Plan { requests: &sent.bulk, warm_up: 2 * BULK[0], ..plan(name, kind) };
    let (sqlite, postgres) = (Kind::Sqlite, Kind::Postgres);
    let stand_in = Program::StandIn;
    vec![
        Plan { program: stand_in(Stand::Nothing), repeated: Repeated::Freely, ..plan("ceiling (C)", sqlite) },
        plan("sqlite", sqlite),
        plan("postgresql", postgres),
        Plan {
            program: stand_in(Stand::OneInsert),
            settings: &SINGLY[..1],
            ..plan("one INSERT per request", postgres)
        },
        Plan { settings: &SINGLY, ..usual("postgresql, batches of 1", postgres) },
        Plan { requests: &sent.of_one, ..usual("sqlite, one merchant", sqlite) },
        Plan { requests: &sent.of_one, ..usual("postgresql, one merchant", postgres) },
        Plan { requests: &sent.keyed, ..usual("sqlite, keys", sqlite) },
        Plan { requests: &sent.keyed, ..usual("postgresql, keys", postgres) },
        Plan { connections: &BULK, ..bulk("sqlite, bulk of 1000", sqlite) },
        Plan { connections: &BULK, ..bulk("postgresql, bulk of 1000", postgres) },
        Plan { requests: &sent.repeats, repeated: Repeated::Known, ..usual("sqlite, repeats", sqlite) },
        Plan { requests: &sent.repeats, repeated: Repeated::Known, ..usual("postgresql, repeats", postgres) },
        Plan {
            requests: &sent.forged,
            repeated: Repeated::Freely,
            settings: &UNCHARGED,
            ..usual("forged", sqlite)
        },
    ]
}

/// How long a first start takes, schema included, in milliseconds.
fn first_starts(databases: &Databases) -> Vec<(&'static str, f64)> {
    let mut told = Vec::new();
    for (name, kind) in [("sqlite", Kind::Sqlite), ("postgresql", Kind::Postgres)] {
        let Some(database) = databases.empty(kind) else { continue };
        let service = Service::start(Program::Release, &database, &[]);
        told.push((name, service.ready_after.as_secs_f64() * 1e3));
        service.stop();
        database.remove(databases);
    }
    told
}

fn round(
    databases: &Databases,
    cast: &Cast,
    connections: &[usize],
    limits: (usize, Duration),
) -> Vec<Series> {
    let only: Option<Vec<String>> = list("BENCH_ONLY");
    let wanted =
        |name: &str| only.as_ref().is_none_or(|only| only.iter().any(|part| name.contains(part.as_str())));
    // Signatures are of now.
    let sent = Requested::new(cast, connections, limits.0);
    let mut measured: Vec<Series> = Vec::new();
    table::print_head("of C");
    for plan in plans(&sent, connections, limits).iter().filter(|plan| wanted(plan.name)) {
        if let Some(series) = series::measure(databases, plan) {
            table::print_series(&series, ceiling(&measured, &series.name));
            measured.push(series);
        }
    }
    measured
}

/// What is claimed, in the words of the claims.
fn print_claims(measured: &[Series]) {
    let named = |name: &str| measured.iter().find(|series| series.name == name)?.at(USUAL[0]);
    let (ceiling, single) = (named("ceiling (C)"), named("one INSERT per request"));
    println!();
    for name in ["sqlite", "sqlite, one merchant", "postgresql", "postgresql, one merchant"] {
        let (Some(run), Some(ceiling)) = (named(name), ceiling) else { continue };
        let times = match single {
            Some(single) if name == "postgresql" => {
                format!(", {:.1} times one INSERT per request", run.per_second() / single.per_second())
            }
            _ => String::new(),
        };
        println!(
            "at {} connections: {name} {:.2} of C{times}, p99 {:.1} ms",
            USUAL[0],
            run.per_second() / ceiling.per_second(),
            run.latency_ms(0.99)
        );
    }
    let most =
        measured.iter().filter(|series| series.name.starts_with(['s', 'p'])).map(|series| series.peak_memory);
    println!("most memory of a service: {:.0} MiB", float(most.max().unwrap_or(0)) / f64::from(1 << 20));
}

/// What a series is held against: bulk requests are another thing.
fn ceiling<'a>(measured: &'a [Series], name: &str) -> Option<&'a Series> {
    measured.first().filter(|first| first.name.starts_with("ceiling") && !name.contains("bulk"))
}

fn main() {
    if child::served() {
        return;
    }
    let connections = list("BENCH_CONNECTIONS").unwrap_or_else(|| vec![1, 16, 64, 256]);
    let limits = (setting("BENCH_REQUESTS", 80_000), Duration::from_secs(setting("BENCH_SECONDS", 2)));
    let cast = Cast::new(setting("BENCH_MERCHANTS", 1_000));
    let databases = Databases::new(&cast);
    let (machine, cluster) = (Machine::here(databases.folder()), databases.settings());
    table::print_machine(&machine, &cluster);
    println!(
        "load         signed sales of {} merchants with click tokens; a run ends after {} requests or {} s",
        cast.members.len(),
        limits.0,
        limits.1.as_secs()
    );
    let starts = first_starts(&databases);
    for (name, millis) in &starts {
        println!("first start  {name}: ready after {millis:.0} ms, with the schema made");
    }
    let rounds: Vec<Vec<Series>> =
        (0..setting("BENCH_ROUNDS", 1)).map(|_| round(&databases, &cast, &connections, limits)).collect();
    let several = rounds.len() > 1;
    let measured = output::medians(rounds);
    if several {
        println!("\nmedians of all rounds:");
        table::print_head("of C");
        for series in &measured {
            table::print_series(series, ceiling(&measured, &series.name));
        }
    }
    print_claims(&measured);
    println!();
    let starts: Vec<Value> =
        starts.iter().map(|(name, millis)| json!({ "store": name, "ms": millis })).collect();
    let all = json!({
        "machine": output::json_machine(&machine, &cluster),
        "merchants": cast.members.len(),
        "first_starts": starts,
        "series": measured.iter().map(Series::json).collect::<Vec<_>>(),
    });
    output::write("ingest.json", &format!("{all:#}\n"));
    let plotted: Vec<&Series> =
        measured.iter().filter(|series| series.runs.len() == connections.len()).collect();
    let title = format!("conversiond {}: signed sales, on {}", env!("CARGO_PKG_VERSION"), machine.processors);
    output::write("ingest.svg", &plot::by_connections(&title, &plotted));
}
