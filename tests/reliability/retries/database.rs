//! PostgreSQL goes away in the middle of requests, and comes back.

use super::ledger::{assert_kept, assert_recorded};
use super::program::{Program, tools};
use super::shop::Shop;
use crate::support::cluster::Cluster;
use crate::support::gate::Gate;
use crate::support::proxy::{At, Fault, Proxy};
use crate::support::{Backend, TestDatabase, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_loop_outlives_a_database_that_goes_away_and_comes_back() {
    if !tools() {
        return;
    }
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = TestDatabase::at(cluster.url(&cluster.create_database()));
    let mut shop = Shop::closed(database, Proxy::start().await);
    shop.start();
    // Slow enough for a database that recovers from a crash.
    let programs = [("loop.mjs", "0.8"), ("loop.sh", "0.5"), ("backoff.mjs", "3"), ("with_retry.mjs", "1")];
    let mut orders = Vec::new();
    for round in 0..2 {
        shop.proxy.plan([Fault::Stop(At::Body); 4]);
        let running: Vec<_> = programs
            .into_iter()
            .map(|(name, scale)| {
                let order = format!("{name}-{round}");
                let key = if round == 0 { order.clone() } else { String::new() };
                orders.push(order.clone());
                (Program::new(name, &shop).order(&order, &key).set("SCALE", scale).start(), key)
            })
            .collect();
        let mut stopped = Vec::new();
        for _ in &running {
            stopped.push(shop.proxy.stopped().await);
        }
        tokio::task::block_in_place(|| cluster.stop());
        for stopped in stopped {
            stopped.go();
        }
        eventually("each was told 503", async || running.iter().all(|(program, _)| program.count(503) > 0))
            .await;
        tokio::task::block_in_place(|| cluster.start_again());
        for (program, key) in running {
            let ended = program.end().await;
            // The one with jitter may have hurried; its queue delivers the job again.
            let ended = if ended.success || !ended.attempts[0].order.starts_with("with_retry") {
                ended
            } else {
                let ready = format!("{}/readyz", shop.service().admin);
                eventually("service is ready", async || {
                    shop.caller.http.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200)
                })
                .await;
                Program::new("with_retry.mjs", &shop).order(&ended.attempts[0].order, &key).run().await
            };
            assert!(ended.success, "{ended:?}");
            assert_kept(&shop.database, ended.only(), &key);
        }
    }
    assert_recorded(&shop.database, orders.iter().map(String::as_str));
    let codes = shop.manners();
    assert!(codes["storage_unavailable"] >= 8 && codes.len() == 1, "{codes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_confirmation_is_lost_needs_no_second_attempt() {
    let Some(backend) = Backend::postgres().filter(|_| tools()) else { return };
    let mut shop = Shop::closed(backend.database(), Proxy::start().await);
    let gate = Gate::start(Cluster::shared().unwrap().port()).await;
    shop.way = gate.way_to(&shop.database);
    shop.start();
    let mut orders = Vec::new();
    for (name, losses) in [("loop.mjs", 1), ("backoff.mjs", 2), ("with_retry.mjs", 3)] {
        for keyed in [true, false] {
            let order = format!("{name}-{keyed}");
            let key = if keyed { order.as_str() } else { "" };
            gate.lose_answers(losses);
            let ended = Program::new(name, &shop).order(&order, key).run().await;
            assert_eq!((ended.success, ended.statuses(), gate.to_lose()), (true, vec![202], 0), "{ended:?}");
            // The service's own repeat is none of the caller's.
            assert_eq!((ended.only().replayed, &ended.only().json()["status"]), (false, &"ACCEPTED".into()));
            assert_kept(&shop.database, ended.only(), key);
            orders.push(order);
        }
    }
    assert_recorded(&shop.database, orders.iter().map(String::as_str));
    assert_eq!(shop.manners().len(), 0);
}
