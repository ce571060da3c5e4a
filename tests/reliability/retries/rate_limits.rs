//! Merchants with a limit: who waits as told ends well, and who takes a 429 as final never sees one
//! unless the operator has set a limit.

use std::time::Duration;

use super::ledger::{assert_kept, assert_recorded};
use super::program::{Ended, Program, tools};
use super::shop::Shop;
use crate::support::proxy::Proxy;
use crate::support::{Backend, on_both_databases};

/// A shop whose merchant is changed so before the service starts.
async fn limited(backend: Backend, changes: &[&str]) -> Shop {
    let mut shop = Shop::closed(backend.database(), Proxy::start().await);
    shop.set_merchant(changes);
    shop.start();
    shop
}

/// So many orders' names.
fn orders(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("ORD-{number}")).collect()
}

/// A program that has reported all of these.
async fn reports(shop: &Shop, program: Program, orders: &[String]) -> Ended {
    let ended = program.set("ORDERS", &orders.join(" ")).run().await;
    assert!(ended.success, "{ended:?}");
    assert_eq!(ended.outcomes.len(), orders.len());
    for outcome in &ended.outcomes {
        assert_kept(&shop.database, outcome, "");
    }
    assert_recorded(&shop.database, orders.iter().map(String::as_str));
    for answer in shop.proxy.answers() {
        for name in [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
            "ratelimit-policy",
            "ratelimit",
        ] {
            assert!(answer.header(name).is_some(), "{name} is missing: {:?}", answer.headers);
        }
    }
    ended
}

fn count(ended: &Ended, status: u16) -> usize {
    ended.statuses().iter().filter(|found| **found == status).count()
}

on_both_databases! {
    async fn the_loop_with_jitter_reports_everything_at_two_per_second(backend: Backend) {
        if !tools() { return; }
        let shop = limited(backend, &["--rate", "2"]).await;
        let orders = orders(4);
        // One whose jitter is known: five repeats could all fall into the half second that a token takes.
        let ended = reports(&shop, Program::new("with_retry.mjs", &shop).set("SEED", "3"), &orders).await;
        assert!(count(&ended, 429) >= 1, "{ended:?}");
        assert_eq!(shop.manners()["rate_limited"], count(&ended, 429));
    }

    async fn the_doubling_loop_reports_everything_under_the_free_plan(backend: Backend) {
        if !tools() { return; }
        let shop = limited(backend, &["--plan", "free"]).await;
        // Ten at once are taken, five more after the first wait, the rest after the second.
        let ended = reports(&shop, Program::new("backoff.mjs", &shop), &orders(20)).await;
        assert!(count(&ended, 429) >= 1, "{ended:?}");
        assert_eq!(shop.manners()["rate_limited"], count(&ended, 429));
    }

    async fn who_paces_by_the_headers_is_never_refused(backend: Backend) {
        if !tools() { return; }
        let shop = limited(backend, &["--rate", "10", "--burst", "12"]).await;
        let program = Program::new("with_retry.mjs", &shop).set("PACE", "1");
        let ended = reports(&shop, program, &orders(24)).await;
        assert_eq!(ended.statuses(), [202; 24], "{ended:?}");
    }

    async fn the_loops_that_take_a_429_as_final_see_none_without_a_limit(backend: Backend) {
        if !tools() { return; }
        let shop = limited(backend, &["--plan", "free"]).await;
        let all = orders(40);
        let crowd = |shop: &Shop| {
            Program::new("crowd.mjs", shop).set("ORDERS", &all.join(" ")).set("LOOPS", "40").set("SCALE", "0.01")
        };
        let ended = crowd(&shop).run().await;
        let refused: Vec<_> = ended.outcomes.iter().filter(|outcome| outcome.status == 429).collect();
        assert!(!ended.success && !refused.is_empty(), "{ended:?}");
        assert_eq!(ended.attempts.len(), 40, "a 429 is not tried again");
        let granted = ended.outcomes.iter().filter(|outcome| outcome.status == 202);
        assert_recorded(&shop.database, granted.map(|outcome| outcome.order.as_str()));
        assert_eq!(shop.manners()["rate_limited"], refused.len());
        // The plan of every new merchant.
        let shop = Shop::open(backend).await;
        let ended = crowd(&shop).run().await;
        assert!(ended.success, "{ended:?}");
        assert_eq!(ended.statuses(), [202; 40], "{ended:?}");
        assert_recorded(&shop.database, all.iter().map(String::as_str));
        let named = |name: &str| name.contains("ratelimit");
        assert!(!shop.proxy.answers().iter().any(|answer| answer.headers.keys().any(|n| named(n.as_str()))));
    }

    async fn after_retry_after_there_is_quota(backend: Backend) {
        let shop = limited(backend, &["--rate", "2", "--burst", "1"]).await;
        let post = async |order: &str| {
            shop.caller.post(&serde_json::json!({"event_name": "lead", "external_id": order})).await
        };
        for order in ["L-1", "L-2"] {
            let mut answer = post(order).await;
            if answer.status == 429 {
                let seconds = answer.at("/retry_after").as_u64().unwrap();
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                answer = post(order).await;
            }
            assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
        }
        assert!(shop.manners().keys().all(|code| code == "rate_limited"));
        assert_recorded(&shop.database, ["L-1", "L-2"]);
    }
}
