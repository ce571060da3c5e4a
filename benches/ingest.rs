//! How many callbacks a second are accepted and on disk, and what one costs.
//!
//! `cargo bench --bench ingest` starts services as processes of their own, drives them over loopback
//! with signed, distinct sales of many merchants that carry valid click tokens, and prints a table;
//! C in it is the same service with a store that answers at once. Settings: `BENCH_ONLY` (names, by
//! their beginnings, separated by commas), `BENCH_CONNECTIONS` (1,16,64,256), `BENCH_REQUESTS` (at most so
//! many a run, 80000), `BENCH_SECONDS` (at most so long, 2), `BENCH_MERCHANTS` (1000), `BENCH_ROUNDS` (1).
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

use support::cast::Cast;
use support::child::{self, Stand};
use support::databases::{Databases, Kind};
use support::machine::Machine;
use support::requests::{Manner, Orders, Requests};
use support::series::{self, Plan, Repeated, Series};
use support::service::Program;
use support::{list, setting, table};

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
        let sales = |count, manner| Requests::sales(cast, merchants, count, Orders::Ascending, manner);
        Self {
            of_one: Requests::sales(cast, 1, a_run + 500, Orders::Ascending, Manner::Plain),
            sales: sales(all + 500, Manner::Plain),
            keyed: sales(a_run + 500, Manner::Keyed),
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
    };
    let usual = |name, kind| Plan { connections: &USUAL, ..plan(name, kind) };
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
        Plan { requests: &sent.bulk, connections: &BULK, ..plan("sqlite, bulk of 1000", sqlite) },
        Plan { requests: &sent.bulk, connections: &BULK, ..plan("postgresql, bulk of 1000", postgres) },
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

fn main() {
    if child::served() {
        return;
    }
    let connections = list("BENCH_CONNECTIONS").unwrap_or_else(|| vec![1, 16, 64, 256]);
    let limits = (setting("BENCH_REQUESTS", 80_000), Duration::from_secs(setting("BENCH_SECONDS", 2)));
    let only: Option<Vec<String>> = list("BENCH_ONLY");
    let cast = Cast::new(setting("BENCH_MERCHANTS", 1_000));
    let databases = Databases::new(&cast);
    table::print_machine(&Machine::here(databases.folder()), &databases.settings());
    println!(
        "load         signed sales of {} merchants with click tokens; a run ends after {} requests or {} s",
        cast.members.len(),
        limits.0,
        limits.1.as_secs()
    );
    for _ in 0..setting("BENCH_ROUNDS", 1) {
        // Signatures are of now.
        let sent = Requested::new(&cast, &connections, limits.0);
        let mut measured: Vec<Series> = Vec::new();
        table::print_head();
        for plan in plans(&sent, &connections, limits) {
            if only.as_ref().is_some_and(|only| !only.iter().any(|name| plan.name.starts_with(name.as_str())))
            {
                continue;
            }
            let Some(series) = series::measure(&databases, &plan) else { continue };
            let ceiling = measured.first().filter(|series| series.name.starts_with("ceiling"));
            let comparable = plan.requests.events_each == 1;
            table::print_series(&series, ceiling.filter(|_| comparable));
            measured.push(series);
        }
    }
}
