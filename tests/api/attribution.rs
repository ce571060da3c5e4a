//! Which click an event is credited to (contract 4.4), over the wire.

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::instant;
use conversiond::domain::merchant::AttributionWindow;
use conversiond::storage::merchants::Changes;
use serde_json::{Value, json};

use crate::support::{Backend, Service, eventually, on_both_databases};

const AT: &str = "2026-06-01T12:00:00Z";

fn clicked(age: TimeDelta) -> DateTime<Utc> {
    instant::parse(AT).unwrap() - age
}

fn sale(order: &str, token: Option<&str>) -> Value {
    json!({"event_name": "sale", "nim_ct": token, "event_time": AT,
        "custom_data": {"order_id": order, "value": "1.00", "currency": "USD"}})
}

async fn attribution(service: &Service, event: &Value) -> Value {
    let answer = service.caller.post(event).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    answer.at("/attribution")
}

fn unattributed(reason: &str) -> Value {
    json!({"status": "unattributed", "reason": reason})
}

on_both_databases! {
    async fn a_token_credits_its_click_and_link(backend: Backend) {
        let service = Service::start(backend).await;
        let token = service.token(clicked(TimeDelta::hours(1)));
        let click = service.tokens.verify(&token).unwrap();
        let expected = json!({"status": "attributed", "click_id": click.click_id.to_string(),
            "url_id": click.url_id.to_string(), "domain_id": click.domain_id.to_string(),
            "clicked_at": "2026-06-01T11:00:00Z"});
        assert_eq!(attribution(&service, &sale("O-1", Some(&token))).await, expected);
        let lead = json!({"event_name": "lead", "external_id": "L-1", "click_id": token, "event_time": AT});
        assert_eq!(attribution(&service, &lead).await, expected);
        let dialect = json!({"externalOrderId": "O-2", "amount": 1, "currency": "USD", "clickId": token, "orderedAt": AT});
        assert_eq!(attribution(&service, &dialect).await, expected);
        let refund = json!({"event_name": "refund", "nim_ct": token, "custom_data": {"related_order_id": "O-1"}});
        assert_eq!(attribution(&service, &refund).await, json!({"status": "inherited"}));
    }

    async fn both_ends_of_the_window_are_inside(backend: Backend) {
        let service = Service::start(backend).await;
        let millisecond = TimeDelta::milliseconds(1);
        for (number, (age, status)) in [
            (TimeDelta::zero(), "attributed"),
            (TimeDelta::days(30), "attributed"),
            (TimeDelta::days(30) + millisecond, "outside_window"),
            (-TimeDelta::minutes(5), "attributed"),
            (-TimeDelta::minutes(5) - millisecond, "click_after_event"),
        ].into_iter().enumerate() {
            let token = service.token(clicked(age));
            let found = attribution(&service, &sale(&format!("O-{number}"), Some(&token))).await;
            let word = found["reason"].as_str().or(found["status"].as_str()).unwrap().to_owned();
            assert_eq!(word, status, "{age}");
        }
    }

    async fn an_unusable_token_never_loses_the_event(backend: Backend) {
        let service = Service::start(backend).await;
        let other = service.setup().merchant();
        let foreign = service.token_for(other, clicked(TimeDelta::hours(1)));
        for (order, token, reason) in [
            ("O-1", Some("clk_abc".to_owned()), "invalid_token"),
            ("O-2", Some(String::new()), "invalid_token"),
            ("O-3", Some("x".repeat(5_000)), "invalid_token"),
            ("O-4", Some(foreign), "wrong_merchant"),
            ("O-5", None, "no_token"),
        ] {
            assert_eq!(attribution(&service, &sale(order, token.as_deref())).await, unattributed(reason), "{order}");
        }
        assert_eq!(service.count_events(), 5);
    }

    async fn a_window_of_no_days_attributes_nothing(backend: Backend) {
        let service = Service::start(backend).await;
        let window = AttributionWindow::from_days(0).unwrap();
        let changes = Changes { attribution_window: Some(window), ..Changes::default() };
        service.setup().change(service.merchant, &changes);
        let token = service.token(clicked(TimeDelta::zero()));
        let mut number = 0;
        eventually("the setting is in force", async || {
            number += 1;
            attribution(&service, &sale(&format!("O-{number}"), Some(&token))).await == unattributed("outside_window")
        }).await;
    }

    async fn relay_and_backend_end_attributed_in_either_order(backend: Backend) {
        let service = Service::start(backend).await;
        let token = service.token(clicked(TimeDelta::hours(1)));
        let expected = attribution(&service, &sale("O-0", Some(&token))).await;
        assert_eq!(expected["status"], "attributed");
        for (order, first, second) in [
            ("O-1", None, Some(token.as_str())),
            ("O-2", Some(token.as_str()), None),
            ("O-3", Some("nonsense"), Some(token.as_str())),
        ] {
            let recorded = service.caller.post(&sale(order, first)).await;
            let repeat = service.caller.post(&sale(order, second)).await;
            assert_eq!((recorded.word().as_str(), repeat.word().as_str()), ("ACCEPTED", "DUPLICATE"));
            assert_eq!(repeat.at("/attribution"), expected, "{order}");
            assert_eq!(repeat.at("/differs"), Value::Null);
            let id = recorded.at("/event_id");
            let read = service.caller.get(&format!("/api/v1/conversions/{}", id.as_str().unwrap())).await;
            assert_eq!(read.at("/attribution"), expected);
        }
    }

    async fn the_first_token_that_earns_a_link_decides_and_no_later_one(backend: Backend) {
        let service = Service::start(backend).await;
        let foreign = service.setup().merchant();
        let foreign = service.token_for(foreign, clicked(TimeDelta::hours(1)));
        let late = service.token(clicked(TimeDelta::days(31)));
        let good = service.token(clicked(TimeDelta::hours(1)));
        let other = service.token(clicked(TimeDelta::hours(2)));
        attribution(&service, &sale("O-1", None)).await;
        assert_eq!(attribution(&service, &sale("O-1", Some(&late))).await, unattributed("no_token"));
        assert_eq!(attribution(&service, &sale("O-1", Some(&foreign))).await, unattributed("no_token"));
        let decided = attribution(&service, &sale("O-1", Some(&good))).await;
        assert_eq!(decided["status"], "attributed");
        let repeat = service.caller.post(&sale("O-1", Some(&other))).await;
        assert_eq!(repeat.at("/attribution"), decided);
        assert_eq!(repeat.at("/differs"), json!(["/nim_ct"]));
        attribution(&service, &sale("O-2", Some(&late))).await;
        assert_eq!(attribution(&service, &sale("O-2", Some(&good))).await, unattributed("outside_window"));
    }

    async fn a_late_token_is_judged_by_when_the_recorded_event_happened(backend: Backend) {
        let service = Service::start(backend).await;
        attribution(&service, &sale("O-1", None)).await;
        let after = service.token(clicked(-TimeDelta::minutes(6)));
        let without_time = json!({"externalOrderId": "O-1", "amount": "1", "currency": "USD", "clickId": after});
        assert_eq!(attribution(&service, &without_time).await, unattributed("no_token"));
    }
}
