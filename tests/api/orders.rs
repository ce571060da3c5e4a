//! Orders by their events alone: `GET /api/v1/orders/{order_id}` (contract section 10), case by case.

use chrono::TimeDelta;
use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use conversiond::domain::time::Clock as _;
use serde_json::{Value, json};

use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

/// A sale of an order.
pub fn sale(order: &str, value: &str, currency: &str) -> Value {
    json!({"event_name": "sale", "event_time": "2025-11-01T10:00:00Z",
        "custom_data": {"order_id": order, "value": value, "currency": currency}})
}

/// A refund with a value.
pub fn refund(order: &str, id: &str, value: &str, currency: &str) -> Value {
    json!({"event_name": "refund", "external_id": id, "event_time": "2025-11-02T10:00:00Z",
        "custom_data": {"related_order_id": order, "value": value, "currency": currency}})
}

/// A refund of everything, a cancellation or a reversal.
pub fn whole(name: &str, order: &str) -> Value {
    json!({"event_name": name, "event_time": "2025-11-03T10:00:00Z", "custom_data": {"related_order_id": order}})
}

/// A report of an order's state.
pub fn status(order: &str, status: &str, at: &str) -> Value {
    json!({"externalOrderId": order, "status": status, "statusUpdatedAt": at})
}

/// Posts an event, or a report of a state, which must be taken.
pub async fn post(caller: &Caller, body: &Value) {
    let text = body.to_string();
    let path = if body.get("status").is_some() { "/api/v1/order-status" } else { "/api/v1/conversions" };
    let headers = caller.headers(Form::Bound, "POST", path, text.as_bytes());
    let answer = caller.send("POST", path, text.as_bytes(), &headers).await;
    assert_eq!(answer.status, 202, "{body} -> {}", answer.text);
}

/// An order as read back.
pub async fn order(caller: &Caller, id: &str) -> Value {
    let answer = caller.get(&format!("/api/v1/orders/{id}")).await;
    assert_eq!(answer.status, 200, "{id} -> {}", answer.text);
    answer.json()
}

/// What of an order arrival must not change: everything but the timeline.
pub fn figures(order: &Value) -> Value {
    json!({"currency": order["currency"], "sold": order["sold"], "refunded": order["refunded"],
        "net": order["net"], "other_refunds": order["other_refunds"], "state": order["state"],
        "flags": order["flags"]})
}

/// Posts a history forwards to one order and backwards to another, each twice over, and expects the
/// same figures of both.
async fn expect(service: &Service, history: &[Value], expected: Value) {
    for (direction, backwards) in [("forwards", false), ("backwards", true)] {
        let id = format!("{}-{direction}", service.count("events"));
        let mut history: Vec<Value> = history.to_vec();
        if backwards {
            history.reverse();
        }
        for body in history.iter().chain(&history) {
            let text = body.to_string().replace("ORDER", &id);
            post(&service.caller, &serde_json::from_str(&text).unwrap()).await;
        }
        let found = figures(&order(&service.caller, &id).await);
        assert_eq!(found, expected, "{direction}: {history:?}");
    }
}

fn eur(sold: &str, refunded: &str, net: &str, state: &str, flags: &[&str]) -> Value {
    json!({"currency": "EUR", "sold": sold, "refunded": refunded, "net": net, "other_refunds": [],
        "state": state, "flags": flags})
}

on_both_databases! {
    async fn a_refund_before_its_sale_counts_all_the_same(backend: Backend) {
        let service = Service::start(backend).await;
        post(&service.caller, &refund("O-1", "R-1", "4.50", "EUR")).await;
        let waiting = order(&service.caller, "O-1").await;
        assert_eq!(figures(&waiting), json!({"currency": null, "sold": null, "refunded": null, "net": null,
            "other_refunds": [{"value": "4.50", "currency": "EUR"}], "state": "awaiting_sale", "flags": []}));
        assert_eq!(waiting["attribution"], Value::Null);
        post(&service.caller, &sale("O-1", "10.00", "EUR")).await;
        assert_eq!(figures(&order(&service.caller, "O-1").await), eur("10.00", "4.50", "5.50", "partially_refunded", &[]));
    }

    async fn two_partial_refunds_then_one_without_value_give_back_everything(backend: Backend) {
        let service = Service::start(backend).await;
        let parts = [sale("ORDER", "10", "EUR"), refund("ORDER", "R-1", "2", "EUR"), refund("ORDER", "R-2", "3", "EUR")];
        expect(&service, &parts, eur("10.00", "5.00", "5.00", "partially_refunded", &[])).await;
        let all = [parts.as_slice(), &[whole("refund", "ORDER")]].concat();
        expect(&service, &all, eur("10.00", "10.00", "0.00", "refunded", &[])).await;
    }

    async fn more_given_back_than_sold_is_flagged_and_net_is_never_below_zero(backend: Backend) {
        let service = Service::start(backend).await;
        let history = [sale("ORDER", "10", "EUR"), refund("ORDER", "R-1", "8", "EUR"), refund("ORDER", "R-2", "3", "EUR")];
        expect(&service, &history, eur("10.00", "11.00", "0.00", "refunded", &["over_refunded"])).await;
    }

    async fn a_refund_after_a_cancellation_changes_no_net(backend: Backend) {
        let service = Service::start(backend).await;
        let history = [sale("ORDER", "10", "EUR"), whole("cancellation", "ORDER"), refund("ORDER", "R-1", "4", "EUR")];
        expect(&service, &history, eur("10.00", "4.00", "0.00", "cancelled", &[])).await;
        let reversed = [history.as_slice(), &[whole("reversal", "ORDER")]].concat();
        expect(&service, &reversed, eur("10.00", "4.00", "0.00", "reversed", &[])).await;
    }

    async fn a_refund_in_another_currency_is_kept_apart(backend: Backend) {
        let service = Service::start(backend).await;
        let history = [sale("ORDER", "10", "EUR"), refund("ORDER", "R-1", "900", "JPY"), refund("ORDER", "R-2", "1.5", "KWD")];
        let mut expected = eur("10.00", "0.00", "10.00", "open", &["currency_mismatch"]);
        expected["other_refunds"] = json!([{"value": "900", "currency": "JPY"}, {"value": "1.500", "currency": "KWD"}]);
        expect(&service, &history, expected).await;
    }

    async fn a_status_refund_counts_only_without_valued_refunds_whatever_its_times(backend: Backend) {
        let service = Service::start(backend).await;
        let returned = status("ORDER", "returned", "2025-11-04T10:00:00Z");
        let refunded = status("ORDER", "refunded", "2025-11-06T10:00:00Z");
        let history = [sale("ORDER", "10", "EUR"), returned, refunded];
        expect(&service, &history, eur("10.00", "10.00", "0.00", "refunded", &[])).await;
        let valued = [history.as_slice(), &[refund("ORDER", "R-1", "4", "EUR")]].concat();
        expect(&service, &valued, eur("10.00", "4.00", "6.00", "partially_refunded", &[])).await;
    }

    async fn a_cancellation_may_come_first_by_event_or_by_status(backend: Backend) {
        let service = Service::start(backend).await;
        post(&service.caller, &whole("cancellation", "O-1")).await;
        assert_eq!(order(&service.caller, "O-1").await["state"], "awaiting_sale");
        post(&service.caller, &sale("O-1", "10", "EUR")).await;
        assert_eq!(figures(&order(&service.caller, "O-1").await), eur("10.00", "0.00", "0.00", "cancelled", &[]));
        let history = [sale("ORDER", "7", "EUR"), status("ORDER", "cancelled", "2025-11-04T10:00:00Z")];
        expect(&service, &history, eur("7.00", "0.00", "0.00", "cancelled", &[])).await;
    }

    async fn a_sale_of_nothing_and_the_scales_of_yen_and_dinars(backend: Backend) {
        let service = Service::start(backend).await;
        expect(&service, &[sale("ORDER", "0", "EUR")], eur("0.00", "0.00", "0.00", "open", &[])).await;
        expect(&service, &[sale("ORDER", "0", "EUR"), whole("refund", "ORDER")], eur("0.00", "0.00", "0.00", "refunded", &[])).await;
        let yen = [sale("ORDER", "1580", "JPY"), refund("ORDER", "R-1", "80", "JPY")];
        expect(&service, &yen, json!({"currency": "JPY", "sold": "1580", "refunded": "80", "net": "1500",
            "other_refunds": [], "state": "partially_refunded", "flags": []})).await;
        let dinars = [sale("ORDER", "1.234", "KWD"), refund("ORDER", "R-1", "0.004", "KWD")];
        expect(&service, &dinars, json!({"currency": "KWD", "sold": "1.234", "refunded": "0.004", "net": "1.230",
            "other_refunds": [], "state": "partially_refunded", "flags": []})).await;
    }

    async fn sums_go_beyond_what_one_amount_may_be(backend: Backend) {
        let service = Service::start(backend).await;
        let largest = "10000000000000.00";
        let mut history = vec![sale("ORDER", largest, "EUR")];
        history.extend((0..12).map(|n| refund("ORDER", &format!("R-{n}"), largest, "EUR")));
        expect(&service, &history, eur(largest, "120000000000000.00", "0.00", "refunded", &["over_refunded"])).await;
    }

    async fn repeats_that_differ_are_flagged_in_either_order(backend: Backend) {
        let service = Service::start(backend).await;
        for (id, first, then) in [("O-1", "10.00", "12.00"), ("O-2", "12.00", "10.00")] {
            post(&service.caller, &sale(id, first, "EUR")).await;
            post(&service.caller, &sale(id, then, "EUR")).await;
            let expected = eur(first, "0.00", first, "open", &["conflicting_repeat"]);
            assert_eq!(figures(&order(&service.caller, id).await), expected);
        }
    }

    async fn a_sale_never_seen_is_not_found_and_leads_make_no_order(backend: Backend) {
        let service = Service::start(backend).await;
        assert_eq!(service.caller.get("/api/v1/orders/O-1").await.status, 404);
        post(&service.caller, &json!({"event_name": "lead", "external_id": "O-1"})).await;
        assert_eq!(service.caller.get("/api/v1/orders/O-1").await.status, 404);
        post(&service.caller, &status("O-1", "delivered", "2025-11-01T10:00:00Z")).await;
        assert_eq!(service.caller.get("/api/v1/orders/O-1").await.status, 404);
        let listed = service.caller.get("/api/v1/orders").await.json();
        assert_eq!(listed, json!({"data": [], "next_cursor": null}));
        post(&service.caller, &sale("O-1", "1", "EUR")).await;
        assert_eq!(order(&service.caller, "O-1").await["timeline"].as_array().unwrap().len(), 3);
    }

    async fn a_lead_and_a_sale_of_one_click_are_one_order_with_its_attribution(backend: Backend) {
        let service = Service::start(backend).await;
        let token = service.token(service.clock.now() - TimeDelta::hours(1));
        post(&service.caller, &json!({"event_name": "lead", "external_id": "L-1", "nim_ct": token})).await;
        let mut sale = sale("O-1", "5", "EUR");
        sale["nim_ct"] = token.into();
        sale.as_object_mut().unwrap().remove("event_time");
        post(&service.caller, &sale).await;
        post(&service.caller, &whole("refund", "O-1")).await;
        let found = order(&service.caller, "O-1").await;
        assert_eq!(found["attribution"]["status"], "attributed", "{found}");
        assert_eq!(found["state"], "refunded");
        let listed = service.caller.get("/api/v1/orders").await.json();
        assert_eq!(listed["data"], json!([found]));
    }

    async fn the_timeline_tells_events_and_states_as_they_happened(backend: Backend) {
        let service = Service::start(backend).await;
        let mut told = status("O-1", "refunded", "2025-11-05T10:00:00Z");
        told["reason"] = "changed their mind".into();
        post(&service.caller, &told).await;
        post(&service.caller, &refund("O-1", "R-1", "2", "EUR")).await;
        post(&service.caller, &status("O-1", "paid", "2025-11-01T11:00:00Z")).await;
        post(&service.caller, &sale("O-1", "5", "EUR")).await;
        let found = order(&service.caller, "O-1").await;
        let moments = found["timeline"].as_array().unwrap();
        let told: Vec<_> = moments.iter().map(|moment| match moment["type"].as_str().unwrap() {
            "event" => moment["event_name"].as_str().unwrap(),
            _ => moment["order_status"].as_str().unwrap(),
        }).collect();
        assert_eq!(told, ["sale", "paid", "refund", "status_refund", "refunded"]);
        assert_eq!(moments[1]["status_updated_at"], "2025-11-01T11:00:00Z");
        assert_eq!((&moments[2]["external_id"], &moments[2]["value"]), (&json!("R-1"), &json!("2.00")));
        assert_eq!(moments[3]["event_id"], moments[4]["event_id"]);
        assert_eq!(moments[4]["reason"], "changed their mind");
        assert_eq!(found["timeline_truncated"], false);
    }

    async fn orders_of_other_merchants_and_of_the_other_mode_are_not_found(backend: Backend) {
        let service = Service::start(backend).await;
        post(&service.caller, &sale("O-1", "5", "EUR")).await;
        let mut setup = service.setup();
        let other = setup.merchant();
        let elsewhere = [setup.key(KeyKind::Live, Some(other)), setup.key(KeyKind::Test, Some(service.merchant))];
        for caller in &elsewhere {
            eventually("the key is known", async || caller.get("/api/v1/orders").await.status == 200).await;
            assert_eq!(caller.get("/api/v1/orders/O-1").await.status, 404);
            assert_eq!(caller.get("/api/v1/orders").await.json()["data"], json!([]));
            post(caller, &sale("O-1", "7", "JPY")).await;
            assert_eq!(order(caller, "O-1").await["sold"], "7");
        }
        assert_eq!(order(&service.caller, "O-1").await["sold"], "5.00");
    }

    async fn an_order_id_of_any_characters_is_found_by_its_path(backend: Backend) {
        let service = Service::start(backend).await;
        for (id, path) in [("a/b", "a%2Fb"), ("é ü?#", "%C3%A9%20%C3%BC%3F%23"), ("100%", "100%25"), ("+1", "+1")] {
            post(&service.caller, &sale(id, "5", "EUR")).await;
            assert_eq!(order(&service.caller, path).await["order_id"], id);
        }
    }
}
