//! Two instances on one database: attempts of one operation go to either, and one instance may be
//! held up in its commit while the other has the repeat.

use super::ledger::{assert_kept, assert_recorded, stored_answers};
use super::program::{Program, Running, tools};
use super::shop::Shop;
use crate::support::cluster::Cluster;
use crate::support::gate::Gate;
use crate::support::process::ServeProcess;
use crate::support::proxy::{At, Fault, Proxy};
use crate::support::{Backend, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_alternate_between_instances_are_one_operation() {
    let Some(backend) = Backend::postgres().filter(|_| tools()) else { return };
    let shop = Shop::open(backend).await;
    let second = shop.instance(&shop.database);
    shop.proxy.pass_on_to(&[&shop.service().base, &second.base]);
    let mut orders = Vec::new();
    for (number, fault) in
        [Fault::Cut(At::Answer), Fault::Cut(At::Request), Fault::Leave].into_iter().enumerate()
    {
        for keyed in [true, false] {
            let order = format!("ORD-{number}-{keyed}");
            let key = if keyed { format!("{order}-conversion") } else { String::new() };
            shop.proxy.plan([fault; 4]);
            let ended = Program::new("loop.mjs", &shop).order(&order, &key).set("SCALE", "0.01").run().await;
            assert!(ended.success, "{ended:?}");
            assert_eq!(ended.statuses(), [0, 0, 0, 0, 202], "{ended:?}");
            assert_kept(&shop.database, ended.only(), &key);
            orders.push(order);
        }
    }
    assert_recorded(&shop.database, orders.iter().map(String::as_str));
    assert_eq!(shop.manners().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_loop_goes_on_with_the_instance_that_is_left() {
    let Some(backend) = Backend::postgres().filter(|_| tools()) else { return };
    let mut shop = Shop::open_behind_gateway(backend).await;
    let second = shop.instance(&shop.database);
    shop.proxy.pass_on_to(&[&shop.service().base, &second.base]);
    shop.proxy.plan([Fault::Stop(At::Answer)]);
    let first = Program::new("loop.mjs", &shop).order("ORD-1", "ORD-1").set("SCALE", "0.05").start();
    let stopped = shop.proxy.stopped().await;
    // It was the first one's turn. It stays in the gateway's list.
    shop.kill();
    stopped.cut();
    let first = first.end().await;
    assert!(first.success && first.only().replayed, "{first:?}");
    assert_kept(&shop.database, first.only(), "ORD-1");
    let mut orders = vec!["ORD-1".to_owned()];
    let mut turned_away = 0;
    for name in ["loop.mjs", "loop.sh", "backoff.mjs", "with_retry.mjs"] {
        for keyed in [true, false] {
            let order = format!("{name}-{keyed}");
            let key = if keyed { order.as_str() } else { "" };
            let ended = Program::new(name, &shop).order(&order, key).set("SCALE", "0.01").run().await;
            assert!(ended.success, "{ended:?}");
            assert_kept(&shop.database, ended.only(), key);
            turned_away += ended.statuses().iter().filter(|status| **status == 502).count();
            orders.push(order);
        }
    }
    assert!(turned_away > 0);
    assert_recorded(&shop.database, orders.iter().map(String::as_str));
    assert_eq!(shop.manners().len(), 0);
}

/// The shop's service can be held up in its commit; the second has a way of its own.
struct Pair {
    shop: Shop,
    gate: Gate,
    second: ServeProcess,
}

impl Pair {
    async fn start(backend: Backend, settings: &[(&'static str, &'static str)]) -> Self {
        let mut shop = Shop::closed(backend.database(), Proxy::start().await);
        let gate = Gate::start(Cluster::shared().unwrap().port()).await;
        shop.way = gate.way_to(&shop.database);
        shop.settings = settings.to_vec();
        shop.start();
        let second = shop.instance(&shop.database);
        Self { shop, gate, second }
    }

    /// Has the first instance begin an operation, and everything after it go to the second. The
    /// program has lost its first connection.
    async fn hold(&mut self, program: Program) -> Running {
        self.shop.proxy.pass_on_to(&[&self.shop.service().base]);
        self.gate.shut();
        self.shop.proxy.plan([Fault::Leave]);
        let program = program.start();
        eventually("the first instance is about to commit", async || self.gate.held() > 0).await;
        self.shop.proxy.pass_on_to(&[&self.second.base]);
        program
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_first_attempt_is_in_flight_elsewhere_its_repeat_is_409_and_then_replayed() {
    let Some(backend) = Backend::postgres().filter(|_| tools()) else { return };
    let mut pair = Pair::start(backend, &[("IDEMPOTENCY__WAIT_MS", "100")]).await;
    let program = Program::new("loop.mjs", &pair.shop).order("ORD-1", "ORD-1-conversion").set("SCALE", "0.8");
    let program = pair.hold(program).await;
    eventually("it was told 409", async || program.count(409) > 0).await;
    assert_eq!(stored_answers(&pair.shop.database).len(), 0, "nothing is committed");
    pair.gate.open();
    let ended = program.end().await;
    assert!(ended.success && ended.only().replayed, "{ended:?}");
    assert_kept(&pair.shop.database, ended.only(), "ORD-1-conversion");

    // The shell's loop takes no answer as final and is run again; this time the first attempt comes
    // to nothing.
    let shell =
        |shop: &Shop| Program::new("loop.sh", shop).order("ORD-2", "ORD-2-conversion").set("SCALE", "0.2");
    let first = shell(&pair.shop);
    let first = pair.hold(first).await.end().await;
    assert_eq!((first.success, first.statuses()), (false, vec![0]), "{first:?}");
    let again = shell(&pair.shop).start();
    eventually("it was told 409", async || again.count(409) > 0).await;
    pair.shop.kill();
    let ended = again.end().await;
    assert!(ended.success, "{ended:?}");
    assert_kept(&pair.shop.database, ended.only(), "ORD-2-conversion");

    assert_recorded(&pair.shop.database, ["ORD-1", "ORD-2"]);
    let codes = pair.shop.manners();
    assert_eq!(codes.keys().collect::<Vec<_>>(), ["idempotency_key_in_use"], "{codes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_a_409_as_final_sees_none_while_the_first_attempt_ends_in_time() {
    let Some(backend) = Backend::postgres().filter(|_| tools()) else { return };
    let mut pair = Pair::start(backend, &[]).await;
    for name in ["backoff.mjs", "with_retry.mjs"] {
        let first = pair.hold(Program::new(name, &pair.shop).order(name, name)).await;
        assert!(!first.end().await.success);
        // The job is delivered again; the other instance waits for the outcome.
        let again = Program::new(name, &pair.shop).order(name, name).start();
        eventually("each instance has one", async || pair.shop.proxy.in_service() == 2).await;
        pair.gate.open();
        let ended = again.end().await;
        assert_eq!((ended.success, ended.statuses()), (true, vec![202]), "{ended:?}");
        assert!(ended.only().replayed, "{ended:?}");
        assert_kept(&pair.shop.database, ended.only(), name);
    }
    assert_recorded(&pair.shop.database, ["backoff.mjs", "with_retry.mjs"]);
    assert_eq!(pair.shop.manners().len(), 0);
}
