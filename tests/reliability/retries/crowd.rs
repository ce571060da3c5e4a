//! Many loops at once, while the service is killed and comes back.

use std::collections::BTreeMap;

use super::ledger::{assert_recorded, events, stored_answers};
use super::program::{Outcome, Program, tools};
use super::shop::Shop;
use crate::support::{Backend, eventually, on_both_databases};

/// Half of the loops, with keys or without.
fn crowd(shop: &Shop, orders: &[String], keyed: bool) -> Program {
    let program = Program::new("crowd.mjs", shop).set("ORDERS", &orders.join(" "));
    let program = if keyed { program.set("KEYS", "1") } else { program };
    program.set("LOOPS", "25").set("SCALE", "0.2")
}

on_both_databases! {
    async fn what_fifty_loops_were_told_while_the_service_died_thrice_is_recorded_once(backend: Backend) {
        if !tools() { return; }
        let mut shop = Shop::open(backend).await;
        let names = |prefix: &str| (0..300).map(|number| format!("{prefix}-{number}")).collect::<Vec<_>>();
        let halves = [(names("K"), true), (names("N"), false)];
        let running = halves.each_ref().map(|(orders, keyed)| crowd(&shop, orders, *keyed).start());
        let acknowledged = || running.iter().map(|program| program.acknowledged()).sum::<usize>();
        for kill in 1..=3 {
            // Each time in the middle of what the last one left.
            eventually("some are acknowledged", async || acknowledged() >= kill * 120).await;
            shop.kill();
            eventually("somebody has seen it", async || running.iter().any(|program| program.count(0) >= kill)).await;
            shop.start();
        }
        let mut kept: BTreeMap<String, Outcome> = BTreeMap::new();
        for (program, (orders, keyed)) in running.into_iter().zip(&halves) {
            let mut ended = program.end().await;
            let first = ended.outcomes.len();
            assert_eq!(first, orders.len());
            // Whose five attempts fell into the outages: their queue delivers them again.
            let open = ended.outcomes.iter().filter(|outcome| outcome.status != 202);
            let open: Vec<String> = open.map(|outcome| outcome.order.clone()).collect();
            if !open.is_empty() {
                let again = crowd(&shop, &open, *keyed).run().await;
                assert!(again.success, "{again:?}");
                ended.outcomes.extend(again.outcomes);
            }
            kept.extend(ended.outcomes.into_iter().filter(|o| o.status == 202).map(|o| (o.order.clone(), o)));
        }
        let orders = halves.iter().flat_map(|(orders, _)| orders).map(String::as_str);
        assert_eq!(kept.keys().map(String::as_str).collect::<Vec<_>>(), {
            let mut sorted: Vec<_> = orders.clone().collect();
            sorted.sort_unstable();
            sorted
        });
        assert_recorded(&shop.database, orders);
        let (events, stored) = (events(&shop.database), stored_answers(&shop.database));
        for (order, outcome) in &kept {
            // A body that broke off with the service is made up for by its status.
            if let Some(body) = &outcome.body {
                assert_eq!(outcome.json()["event_id"], *events[order], "{outcome:?}");
                assert!(order.starts_with('N') || stored.get(&format!("{order}-conversion")) == Some(body));
            }
        }
        assert!(shop.manners().keys().all(|code| code == "overloaded"), "{:?}", shop.manners());
    }
}
