//! More comes than is written: 503 `overloaded`, and everybody gets through in the end.

use conversiond::storage::{AnyConnection, Connector, Purpose};
use diesel::connection::SimpleConnection as _;

use super::ledger::{assert_kept, assert_recorded};
use super::program::{Program, tools};
use super::shop::Shop;
use crate::support::cluster::Cluster;
use crate::support::gate::Gate;
use crate::support::proxy::Proxy;
use crate::support::{Backend, TestDatabase, eventually, on_both_databases};

/// Holds the writer up in its commit.
enum Jam {
    /// Another process has SQLite's write lock.
    Lock(Box<AnyConnection>),
    Gate(Gate),
}

impl Jam {
    /// None yet, and the service's way to the database.
    async fn prepare(backend: Backend, database: &TestDatabase) -> (Self, TestDatabase) {
        match backend {
            Backend::Sqlite => {
                let connection =
                    Connector::new(database.config("").database).connect(Purpose::Write).unwrap();
                (Self::Lock(Box::new(connection)), database.clone())
            }
            Backend::Postgres => {
                let gate = Gate::start(Cluster::shared().unwrap().port()).await;
                let way = gate.way_to(database);
                (Self::Gate(gate), way)
            }
        }
    }

    fn begin(&mut self) {
        match self {
            Self::Lock(connection) => connection.batch_execute("BEGIN IMMEDIATE").unwrap(),
            Self::Gate(gate) => gate.shut(),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Lock(connection) => connection.batch_execute("ROLLBACK").unwrap(),
            Self::Gate(gate) => gate.open(),
        }
    }
}

on_both_databases! {
    async fn every_loop_gets_through_an_overloaded_service(backend: Backend) {
        if !tools() { return; }
        let mut shop = Shop::closed(backend.database(), Proxy::start().await);
        let mut jam;
        (jam, shop.way) = Jam::prepare(backend, &shop.database).await;
        shop.settings = vec![("INGEST__QUEUE_EVENTS", "2"), ("INGEST__BATCH_EVENTS", "1")];
        shop.start();
        jam.begin();
        let orders: Vec<String> = (0..12).map(|number| format!("ORD-{number}")).collect();
        let crowd = Program::new("crowd.mjs", &shop).set("ORDERS", &orders.join(" ")).set("LOOPS", "12");
        let crowd = crowd.set("SCALE", "1").start();
        // One is being written and two wait: the queue is full, and stays so.
        eventually("the rest is refused", async || crowd.count(503) >= 9).await;
        let start = |name: &'static str, scale: &str| {
            Program::new(name, &shop).order(name, name).set("SCALE", scale).start()
        };
        let mut running = vec![start("loop.mjs", "0.8"), start("loop.sh", "0.5"), start("backoff.mjs", "3")];
        eventually("each is refused", async || running.iter().all(|program| program.count(503) > 0)).await;
        // It comes again within the second that it is told to wait, and so will not wait long.
        running.push(start("with_retry.mjs", "1"));
        eventually("the last is refused", async || running[3].count(503) > 0).await;
        jam.end();
        for program in running {
            let ended = program.end().await;
            assert!(ended.success, "{ended:?}");
            assert_kept(&shop.database, ended.only(), &ended.only().order);
        }
        let ended = crowd.end().await;
        assert!(ended.success, "{ended:?}");
        for outcome in &ended.outcomes {
            assert_kept(&shop.database, outcome, "");
        }
        let names = ["loop.mjs", "loop.sh", "backoff.mjs", "with_retry.mjs"];
        assert_recorded(&shop.database, orders.iter().map(String::as_str).chain(names));
        let codes = shop.manners();
        assert!(codes["overloaded"] >= 13, "{codes:?}");
        // What was taken may also wait too long, where the machine is slow.
        assert!(codes.keys().all(|code| code == "overloaded" || code == "storage_unavailable"), "{codes:?}");
    }
}
