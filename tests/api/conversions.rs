//! Recording and repeating: every row of contract 4.3.

use serde_json::{Value, json};

use crate::support::{Backend, Service, on_both_databases};

fn sale(order: &str) -> Value {
    json!({
        "event_name": "sale",
        "event_time": "2026-01-02T03:04:05Z",
        "custom_data": {"order_id": order, "value": "129.90", "currency": "USD"},
    })
}

/// The same event with one member changed or added, by pointer into objects.
fn with(event: &Value, pointer: &str, value: Value) -> Value {
    let mut changed = event.clone();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    changed.pointer_mut(parent).unwrap()[member] = value;
    changed
}

async fn expect(service: &Service, event: &Value, word: &str) -> crate::support::caller::Answer {
    let answer = service.caller.post(event).await;
    assert_eq!(answer.word(), word, "{event} -> {} {}", answer.status, answer.text);
    answer
}

async fn read(service: &Service, id: &Value) -> crate::support::caller::Answer {
    let answer = service.caller.get(&format!("/api/v1/conversions/{}", id.as_str().unwrap())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

on_both_databases! {
    async fn a_sale_is_accepted_once_and_its_repeat_is_a_duplicate(backend: Backend) {
        let service = Service::start(backend).await;
        let sale = with(&with(&sale("ORD-1001"), "/metadata", json!({"a": 1})), "/custom_data/currency", json!("usd"));
        let first = expect(&service, &sale, "ACCEPTED").await;
        assert_eq!(first.status, 202);
        assert_eq!(first.at("/attribution"), json!({"status": "unattributed", "reason": "no_token"}));
        let second = expect(&service, &sale, "DUPLICATE").await;
        assert_eq!(second.status, 202);
        for member in ["/event_id", "/received_at", "/attribution", "/order_id", "/event_name", "/mode"] {
            assert_eq!(first.at(member), second.at(member), "{member}");
        }
        assert_eq!(second.at("/differs"), json!(null));
        let read = read(&service, &first.at("/event_id")).await;
        assert_eq!(read.at("/value"), "129.90");
        assert_eq!(read.at("/currency"), "USD");
        assert_eq!(read.at("/occurred_at"), "2026-01-02T03:04:05Z");
        assert_eq!(read.at("/times_received"), 2);
        assert_eq!(read.at("/times_differed"), 0);
        assert_eq!(read.at("/metadata"), json!({"a": 1}));
        assert_eq!(service.count_events(), 1);
    }

    async fn a_repeat_that_differs_says_in_what_and_the_first_stands(backend: Backend) {
        let service = Service::start(backend).await;
        let first = expect(&service, &sale("ORD-1"), "ACCEPTED").await;
        let other = with(&sale("ORD-1"), "/custom_data/value", json!("130.00"));
        assert_eq!(expect(&service, &other, "DUPLICATE").await.at("/differs"), json!(["/custom_data/value"]));
        let other = json!({"externalOrderId": "ORD-1", "orderAmount": 129.90, "currency": "EUR",
            "orderedAt": "2026-01-02T03:04:06Z", "couponCode": "SPRING"});
        let answer = expect(&service, &other, "DUPLICATE").await;
        assert_eq!(answer.at("/differs"), json!(["/currency", "/orderedAt", "/couponCode"]));
        let read = read(&service, &first.at("/event_id")).await;
        assert_eq!((read.at("/value"), read.at("/currency")), (json!("129.90"), json!("USD")));
        assert_eq!((read.at("/times_received"), read.at("/times_differed")), (json!(3), json!(2)));
    }

    async fn equal_content_in_another_writing_does_not_differ(backend: Backend) {
        let service = Service::start(backend).await;
        let event = with(&sale("ORD-1"), "/metadata", json!({"a": [1, "é"], "b": null}));
        expect(&service, &event, "ACCEPTED").await;
        let again = service.caller.post_text(
            "{ \"metadata\": {\"b\":null,\"a\":[1,\"\\u00e9\"]}, \"custom_data\":{\"currency\":\"usd\",\
             \"value\":129.9,\"order_id\":\"ORD-1\"},\"event_time\":\"2026-01-02T04:04:05+01:00\",\"event_name\":\"sale\"}",
        ).await;
        assert_eq!((again.word().as_str(), again.at("/differs")), ("DUPLICATE", json!(null)), "{}", again.text);
    }

    async fn a_lead_is_identified_by_its_external_id_else_by_its_order(backend: Backend) {
        let service = Service::start(backend).await;
        let lead = json!({"event_name": "lead", "external_id": "L-1"});
        assert_eq!(expect(&service, &lead, "ACCEPTED").await.at("/order_id"), "L-1");
        expect(&service, &lead, "DUPLICATE").await;
        let other_order = json!({"event_name": "lead", "external_id": "L-1", "custom_data": {"order_id": "O-9"}});
        expect(&service, &other_order, "DUPLICATE").await;
        let by_order = json!({"event_name": "lead", "custom_data": {"order_id": "O-1"}});
        assert_eq!(expect(&service, &by_order, "ACCEPTED").await.at("/order_id"), "O-1");
        expect(&service, &by_order, "DUPLICATE").await;
        assert_eq!(service.count_events(), 2);
    }

    async fn a_sale_is_identified_by_its_order_else_by_its_external_id(backend: Backend) {
        let service = Service::start(backend).await;
        expect(&service, &with(&sale("O-1"), "/external_id", json!("E-1")), "ACCEPTED").await;
        let other_id = expect(&service, &with(&sale("O-1"), "/external_id", json!("E-2")), "DUPLICATE").await;
        assert_eq!(other_id.at("/differs"), json!(["/external_id"]));
        let no_order = json!({"event_name": "sale", "external_id": "O-1",
            "custom_data": {"value": "129.90", "currency": "USD"}});
        expect(&service, &no_order, "DUPLICATE").await;
        let dialect = json!({"externalOrderId": "O-1", "amount": "129.90", "currency": "USD"});
        expect(&service, &dialect, "DUPLICATE").await;
        assert_eq!(service.count_events(), 1);
    }

    async fn kinds_of_events_of_one_order_are_different_events(backend: Backend) {
        let service = Service::start(backend).await;
        expect(&service, &sale("O-1"), "ACCEPTED").await;
        expect(&service, &json!({"event_name": "lead", "external_id": "O-1"}), "ACCEPTED").await;
        for name in ["refund", "cancellation", "reversal"] {
            let event = json!({"event_name": name, "custom_data": {"related_order_id": "O-1"}});
            let first = expect(&service, &event, "ACCEPTED").await;
            assert_eq!(first.at("/order_id"), "O-1");
            assert_eq!(first.at("/attribution"), json!({"status": "inherited"}));
            let second = expect(&service, &event, "DUPLICATE").await;
            assert_eq!(first.at("/event_id"), second.at("/event_id"));
        }
        assert_eq!(service.count_events(), 5);
    }

    async fn refunds_numbered_per_order_are_two_refunds(backend: Backend) {
        let service = Service::start(backend).await;
        let refund = |order: &str, id: &str| json!({"event_name": "refund", "external_id": id,
            "custom_data": {"related_order_id": order, "value": "10", "currency": "USD"}});
        for (order, id) in [("O-1", "1"), ("O-2", "1"), ("O-1", "2")] {
            expect(&service, &refund(order, id), "ACCEPTED").await;
        }
        expect(&service, &refund("O-1", "1"), "DUPLICATE").await;
        let other_amount = with(&refund("O-1", "1"), "/custom_data/value", json!("11"));
        assert_eq!(expect(&service, &other_amount, "DUPLICATE").await.at("/differs"), json!(["/custom_data/value"]));
        assert_eq!(service.count_events(), 3);
    }

    async fn a_second_refund_without_an_id_never_vanishes_as_a_duplicate(backend: Backend) {
        let service = Service::start(backend).await;
        let refund = json!({"event_name": "refund", "event_time": "2026-01-02T03:04:05Z",
            "custom_data": {"related_order_id": "O-1", "value": "10.00", "currency": "USD"}});
        let first = service.caller.post_under("first", &refund).await;
        assert_eq!(first.word(), "ACCEPTED");
        assert_eq!(service.caller.post_under("first", &refund).await.text, first.text);
        assert_eq!(expect(&service, &refund, "DUPLICATE").await.status, 202);
        for (pointer, value) in [
            ("/custom_data/value", json!("10.01")),
            ("/custom_data/currency", json!("EUR")),
            ("/event_time", json!("2026-01-02T03:04:06Z")),
        ] {
            let answer = expect(&service, &with(&refund, pointer, value), "refund_id_required").await;
            assert_eq!((answer.status, answer.at("/retryable")), (422, json!(false)));
        }
        let everything = json!({"event_name": "refund", "custom_data": {"related_order_id": "O-1"}});
        expect(&service, &everything, "refund_id_required").await;
        assert_eq!(service.caller.post_under("second", &refund).await.word(), "refund_id_required");
        let read = read(&service, &first.at("/event_id")).await;
        assert_eq!((read.at("/times_received"), read.at("/times_differed")), (json!(2), json!(0)));
        let with_id = with(&refund, "/external_id", json!("R-2"));
        expect(&service, &with_id, "ACCEPTED").await;
        assert_eq!(service.count_events(), 2);
    }

    async fn sixty_four_deliveries_at_once_are_one_event(backend: Backend) {
        let service = Service::start(backend).await;
        for round in 0..3 {
            let event = sale(&format!("O-{round}"));
            let calls = (0..64).map(|_| service.caller.post(&event));
            let answers = futures_util::future::join_all(calls).await;
            let accepted = answers.iter().filter(|answer| answer.word() == "ACCEPTED").count();
            let duplicates = answers.iter().filter(|answer| answer.word() == "DUPLICATE").count();
            assert_eq!((accepted, duplicates), (1, 63));
            let id = answers[0].at("/event_id");
            assert!(answers.iter().all(|answer| answer.at("/event_id") == id && answer.status == 202));
            assert_eq!(read(&service, &id).await.at("/times_received"), 64);
        }
        assert_eq!(service.count_events(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_on_one_postgresql_record_an_order_once() {
    let Some(backend) = Backend::postgres() else { return };
    let one = Service::start(backend).await;
    let two = one.another("").await;
    for round in 0..5 {
        // Many orders in both orders of arrival: batches of both instances overlap.
        let events: Vec<Value> = (0..32).map(|order| sale(&format!("O-{round}-{order}"))).collect();
        let forward = events.iter().map(|event| one.caller.post(event));
        let backward = events.iter().rev().map(|event| two.caller.post(event));
        let (left, mut right) =
            tokio::join!(futures_util::future::join_all(forward), futures_util::future::join_all(backward));
        right.reverse();
        for (left, right) in left.iter().zip(&right) {
            let mut words = [left.word(), right.word()];
            words.sort();
            assert_eq!(words, ["ACCEPTED", "DUPLICATE"], "{} {}", left.text, right.text);
            assert_eq!(left.at("/event_id"), right.at("/event_id"));
        }
    }
    assert_eq!(one.count_events(), 160);
}
