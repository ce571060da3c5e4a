//! The other endpoints that are safe to repeat: states of orders, webhooks with a delivery id.

use serde_json::json;

use super::ledger::{assert_recorded, statuses};
use super::program::{Program, tools};
use super::shop::Shop;
use crate::support::proxy::{At, Fault};
use crate::support::{Backend, on_both_databases};

on_both_databases! {
    async fn states_and_webhooks_whose_answers_were_lost_are_recorded_once(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open(backend).await;
        for keyed in [true, false] {
            let order = format!("ORD-{keyed}");
            let state = |status: &str| json!({"externalOrderId": order, "status": status}).to_string();
            let at = json!({"externalOrderId": order, "status": "delivered", "statusUpdatedAt": "2026-11-21T20:00:00Z"});
            let sale = json!({"externalOrderId": order, "amount": 4999, "currency": "NPR"});
            let requests = [
                ("/v1/webhooks/order-created", sale.to_string(), "evt-created"),
                ("/v1/webhooks/order-paid", state("paid"), "evt-paid"),
                ("/api/v1/order-status", at.to_string(), ""),
                ("/api/v1/order-status", state("commission_approved"), ""),
            ];
            for (number, (path, body, delivery)) in requests.iter().enumerate() {
                let key = if keyed { format!("{order}-{number}") } else { String::new() };
                let heard = shop.proxy.answers().len();
                shop.proxy.plan([Fault::Cut(At::Answer), Fault::Cut(At::Request), Fault::Cut(At::Answer)]);
                let program = Program::new("loop.mjs", &shop).order(&order, &key).set("SCALE", "0.01");
                let program = if delivery.is_empty() {
                    program
                } else {
                    program.set("EXTERNAL_EVENT_ID", &format!("{delivery}-{keyed}"))
                };
                let ended = program.set("ENDPOINT", path).set("BODY", body).run().await;
                assert!(ended.success && ended.statuses() == [0, 0, 0, 202], "{ended:?}");
                let first = &shop.proxy.answers()[heard];
                assert_eq!(first.word(), "ACCEPTED", "{}", first.text);
                if keyed {
                    assert_eq!(ended.only().body.as_ref(), Some(&first.text));
                    assert!(ended.only().replayed, "{ended:?}");
                } else {
                    let (json, first) = (ended.only().json(), first.json());
                    assert_eq!(json["status"], "DUPLICATE", "{ended:?}");
                    assert_eq!((&json["order_id"], &json["event_id"]), (&first["order_id"], &first["event_id"]));
                }
            }
            let mut recorded = statuses(&shop.database);
            recorded.retain(|(of, _)| *of == order);
            let recorded: Vec<&str> = recorded.iter().map(|(_, status)| status.as_str()).collect();
            assert_eq!(recorded, ["commission_approved", "delivered", "paid"]);
        }
        assert_recorded(&shop.database, ["ORD-true", "ORD-false"]);
        assert_eq!(shop.manners().len(), 0);
    }
}
