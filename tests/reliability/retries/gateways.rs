//! A gateway answers in the service's place, before and after the service has had the request.

use super::ledger::{assert_kept, assert_recorded};
use super::program::{Program, tools};
use super::shop::Shop;
use crate::support::proxy::Fault;
use crate::support::{Backend, on_both_databases};

on_both_databases! {
    async fn every_loop_gets_through_what_gateways_say(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open_behind_gateway(backend).await;
        let mut orders = Vec::new();
        for program in ["loop.mjs", "loop.sh", "backoff.mjs", "with_retry.mjs"] {
            for keyed in [true, false] {
                let order = format!("{program}-{keyed}");
                let key = if keyed { format!("{order}-key") } else { String::new() };
                let heard = shop.proxy.answers().len();
                // The last of them had been recorded.
                shop.proxy.plan([Fault::Gateway(502), Fault::Gateway(503), Fault::GatewayInstead(504)]);
                let ended = Program::new(program, &shop).order(&order, &key).set("SCALE", "0.01").run().await;
                assert!(ended.success, "{ended:?}");
                assert_eq!(ended.statuses(), [502, 503, 504, 202], "{ended:?}");
                assert_kept(&shop.database, ended.only(), &key);
                let first = &shop.proxy.answers()[heard];
                assert_eq!(first.word(), "ACCEPTED");
                if keyed {
                    assert_eq!(ended.only().body.as_ref(), Some(&first.text));
                } else {
                    let json = ended.only().json();
                    assert_eq!((&json["status"], &json["event_id"]), (&"DUPLICATE".into(), &first.at("/event_id")));
                }
                orders.push(order);
            }
        }
        assert_recorded(&shop.database, orders.iter().map(String::as_str));
        assert_eq!(shop.manners().len(), 0);
    }

    async fn a_loop_that_runs_out_of_attempts_has_counted_nothing_twice(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open_behind_gateway(backend).await;
        // What each promises when it gives up: four attempts, five, five, and one with five repeats.
        for (program, attempts) in [("backoff.mjs", 4), ("loop.mjs", 5), ("loop.sh", 5), ("with_retry.mjs", 6)] {
            let run = async || Program::new(program, &shop).order(program, program).set("SCALE", "0.01").run().await;
            shop.proxy.plan(vec![Fault::GatewayInstead(504); attempts]);
            let ended = run().await;
            assert_eq!((ended.success, ended.statuses()), (false, vec![504; attempts]), "{ended:?}");
            let again = run().await;
            assert!(again.success, "{again:?}");
            assert_kept(&shop.database, again.only(), program);
        }
        assert_recorded(&shop.database, ["backoff.mjs", "loop.mjs", "loop.sh", "with_retry.mjs"]);
    }
}
