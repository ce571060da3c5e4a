//! The service ends in the middle of a request, and comes back.

use super::ledger::{assert_kept, assert_recorded};
use super::program::{Program, tools};
use super::shop::Shop;
use crate::support::proxy::{At, Fault};
use crate::support::{Backend, eventually, on_both_databases};

on_both_databases! {
    async fn the_javascript_loop_outlives_a_service_killed_at_every_point_of_its_request(backend: Backend) {
        if !tools() { return; }
        let mut shop = Shop::open(backend).await;
        let points = [At::Head, At::Body, At::Request, At::Request, At::Answer, At::Answer];
        let mut orders = Vec::new();
        for (number, at) in points.into_iter().enumerate() {
            let order = format!("ORD-{number}");
            let key = if number % 2 == 0 { format!("{order}-conversion") } else { String::new() };
            shop.proxy.plan([Fault::Stop(at)]);
            let program = Program::new("loop.mjs", &shop).order(&order, &key).set("SCALE", "0.4").start();
            let stopped = shop.proxy.stopped().await;
            shop.kill();
            stopped.cut();
            eventually("the loop has seen it", async || program.count(0) > 0).await;
            shop.start();
            let ended = program.end().await;
            assert!(ended.success, "{at:?}: {ended:?}");
            assert_kept(&shop.database, ended.only(), &key);
            if at == At::Answer {
                assert_eq!(ended.only().replayed, !key.is_empty(), "what was answered is not run again");
                assert_eq!(ended.only().json()["status"] == "DUPLICATE", key.is_empty());
            }
            orders.push(order);
        }
        assert_recorded(&shop.database, orders.iter().map(String::as_str));
        assert_eq!(shop.manners().len(), 0);
    }

    async fn every_other_loop_outlives_a_killed_service_behind_a_gateway(backend: Backend) {
        if !tools() { return; }
        let mut shop = Shop::open_behind_gateway(backend).await;
        let programs = [("loop.sh", "0.5"), ("backoff.mjs", "3"), ("with_retry.mjs", "1")];
        // One was recorded, of one nobody knows, of one the service had half.
        shop.proxy.plan([Fault::Stop(At::Answer), Fault::Stop(At::Request), Fault::Stop(At::Body)]);
        let running: Vec<_> = programs
            .into_iter()
            .map(|(name, scale)| Program::new(name, &shop).order(name, name).set("SCALE", scale).start())
            .collect();
        let mut stopped = Vec::new();
        for _ in &running {
            stopped.push(shop.proxy.stopped().await);
        }
        shop.kill();
        for stopped in stopped {
            stopped.lose();
        }
        eventually("each was told 502", async || running.iter().all(|program| program.count(502) > 0)).await;
        shop.start();
        for program in running {
            let ended = program.end().await;
            assert!(ended.success, "{ended:?}");
            assert_kept(&shop.database, ended.only(), &ended.only().order);
        }
        assert_recorded(&shop.database, programs.map(|(name, _)| name));
        assert_eq!(shop.manners().len(), 0);
    }

    async fn a_graceful_end_answers_whom_it_has_taken_and_the_others_come_again(backend: Backend) {
        if !tools() { return; }
        let mut shop = Shop::open(backend).await;
        for round in 0..2 {
            let orders = [format!("taken-{round}"), format!("late-{round}")];
            let [taken, late] = orders.clone().map(|order| {
                let key = if round == 0 { order.clone() } else { String::new() };
                Program::new("loop.mjs", &shop).order(&order, &key).set("SCALE", "0.4")
            });
            let before = shop.requests_begun().await;
            shop.proxy.plan([Fault::Stop(At::Body)]);
            let taken = taken.start();
            let stopped = shop.proxy.stopped().await;
            // What the service has not accepted yet is not taken.
            eventually("the service has it", async || shop.requests_begun().await > before).await;
            shop.ask_to_end();
            // Its listener is closed or it says so itself: nobody is sent there any more.
            eventually("it is on its way down", async || {
                let asked = shop.caller.http.get(format!("{}/readyz", shop.service().admin)).send().await;
                !asked.is_ok_and(|answer| answer.status() == 200)
            })
            .await;
            let late = late.start();
            eventually("the late one is turned away", async || late.attempts().iter().any(|a| a.status != 202)).await;
            stopped.go();
            let taken = taken.end().await;
            assert_eq!((taken.success, taken.statuses()), (true, vec![202]), "{taken:?}");
            assert!(!taken.only().replayed, "{taken:?}");
            let (code, log) = shop.ended();
            assert_eq!(code, Some(0), "{log:?}");
            shop.start();
            let late = late.end().await;
            assert!(late.success, "{late:?}");
            for (ended, order) in [taken, late].iter().zip(&orders) {
                assert_kept(&shop.database, ended.only(), if round == 0 { order } else { "" });
            }
        }
        assert_recorded(&shop.database, ["taken-0", "late-0", "taken-1", "late-1"]);
        assert!(shop.manners().keys().all(|code| code == "shutting_down"), "{:?}", shop.manners());
    }
}
