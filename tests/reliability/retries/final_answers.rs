//! What is not to be tried again is not, and leaves nothing behind; keys that are late or made up
//! per attempt do no harm.

use serde_json::json;

use super::ledger::{assert_kept, assert_recorded, events};
use super::program::{Ended, Program, tools};
use super::shop::Shop;
use crate::support::proxy::{At, Fault};
use crate::support::service::Setup;
use crate::support::{Backend, on_both_databases};

/// Runs the JavaScript loop with this body.
async fn report(shop: &Shop, key: &str, body: &serde_json::Value) -> Ended {
    let program = Program::new("loop.mjs", shop).order("ORD-1", key).set("BODY", &body.to_string());
    program.set("SCALE", "0.01").run().await
}

on_both_databases! {
    async fn nobody_tries_again_what_cannot_succeed(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open(backend).await;
        for name in ["loop.mjs", "loop.sh", "backoff.mjs", "with_retry.mjs"] {
            let program = Program::new(name, &shop).order(name, name).set("CONVERSIOND_SECRET", "whsec_of_another");
            let ended = program.run().await;
            assert_eq!((ended.success, ended.statuses()), (false, vec![401]), "{ended:?}");
        }
        assert_eq!(shop.manners()["unauthorized"], 4);
        assert_recorded(&shop.database, []);
    }

    async fn a_refused_request_is_mended_and_sent_again_under_its_key(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open(backend).await;
        let wrong = json!({"externalOrderId": "ORD-1", "amount": 4999, "currency": "NPX"});
        let right = json!({"externalOrderId": "ORD-1", "amount": 4999, "currency": "NPR"});
        let ended = report(&shop, "ORD-1-conversion", &wrong).await;
        assert_eq!((ended.success, ended.statuses()), (false, vec![422]), "{ended:?}");
        assert_recorded(&shop.database, []);
        let ended = report(&shop, "ORD-1-conversion", &right).await;
        assert!(ended.success && !ended.only().replayed, "{ended:?}");
        assert_kept(&shop.database, ended.only(), "ORD-1-conversion");
        // Another body under a key that is taken is told so at once, and learns nothing of the first.
        let other = json!({"externalOrderId": "ORD-2", "amount": 1, "currency": "NPR"});
        let ended = report(&shop, "ORD-1-conversion", &other).await;
        assert_eq!((ended.success, ended.statuses()), (false, vec![422]), "{ended:?}");
        assert_eq!(ended.only().json()["code"], "idempotency_key_mismatch");
        assert!(!ended.only().body.as_ref().unwrap().contains("ORD-1"), "{ended:?}");
        assert_recorded(&shop.database, ["ORD-1"]);
        assert_eq!(shop.manners().len(), 2);
    }

    async fn a_key_that_has_expired_or_changes_with_every_attempt_makes_no_second_event(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open(backend).await;
        let run = async || Program::new("loop.mjs", &shop).order("ORD-1", "ORD-1-conversion").run().await;
        let first = run().await;
        assert_kept(&shop.database, first.only(), "ORD-1-conversion");
        // Three days later.
        let expired = "UPDATE idempotency_keys SET expires_at = '2020-01-01 00:00:00'";
        assert_eq!(Setup::new(&shop.database, "").execute(expired), 1);
        let late = run().await;
        assert!(late.success && !late.only().replayed, "{late:?}");
        let (first, late) = (first.only().json(), late.only().json());
        assert_eq!((&late["status"], &late["event_id"]), (&json!("DUPLICATE"), &first["event_id"]));
        // From now on the key stands for that.
        let again = run().await;
        assert!(again.only().replayed && again.only().json() == late, "{again:?}");

        shop.proxy.plan([Fault::Cut(At::Answer); 3]);
        let program = Program::new("loop.mjs", &shop).order("ORD-2", "").set("KEY_PER_ATTEMPT", "1");
        let ended = program.set("SCALE", "0.01").run().await;
        assert!(ended.success && ended.statuses() == [0, 0, 0, 202], "{ended:?}");
        assert_eq!(ended.only().json()["status"], "DUPLICATE", "{ended:?}");
        assert_eq!(ended.only().json()["event_id"], *events(&shop.database)["ORD-2"]);
        assert_recorded(&shop.database, ["ORD-1", "ORD-2"]);
        assert_eq!(shop.manners().len(), 0);
    }
}
