//! Requests that come at once under one idempotency key (contract 6.1).

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::caller::Answer;
use crate::support::{Backend, Service, on_both_databases};

fn sale(order: &str, value: &str) -> Value {
    json!({"event_name": "sale", "custom_data": {"order_id": order, "value": value, "currency": "USD"}})
}

fn refund(value: &str) -> Value {
    json!({"event_name": "refund", "custom_data": {"related_order_id": "O-1", "value": value, "currency": "USD"}})
}

on_both_databases! {
    async fn eight_at_once_under_one_key_are_one_event_with_one_answer(backend: Backend) {
        let service = Service::start(backend).await;
        for round in 0..12 {
            let (key, event) = (format!("k-{round}"), sale(&format!("O-{round}"), "1"));
            let calls = (0..8).map(|_| service.caller.post_under(&key, &event));
            let answers = join_all(calls).await;
            assert!(answers.iter().all(|answer| (answer.status, &answer.text) == (202, &answers[0].text)), "{answers:?}");
            assert_eq!(answers[0].word(), "ACCEPTED");
            assert_eq!(answers.iter().filter(|answer| answer.is_replayed()).count(), 7);
        }
        assert_eq!(service.count("events WHERE times_received = 1"), 12);
        assert_eq!(service.count("idempotency_keys WHERE times_seen > 8"), 0);
    }

    async fn of_two_events_at_once_under_one_key_only_one_happens(backend: Backend) {
        let service = Service::start(backend).await;
        let mut odd_ones = 0;
        for round in 0..24 {
            let key = format!("k-{round}");
            let event = |n: usize| sale(&format!("O-{round}-{}", usize::from(n == round % 8)), "1");
            let events: Vec<Value> = (0..8).map(event).collect();
            let calls = events.iter().map(|event| service.caller.post_under(&key, event));
            let answers = join_all(calls).await;
            let (done, refused): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 202);
            assert!(matches!((done.len(), refused.len()), (7, 1) | (1, 7)), "{answers:?}");
            odd_ones += usize::from(done.len() == 1);
            assert!(done.iter().all(|answer| answer.text == done[0].text));
            assert_eq!(done.iter().filter(|answer| !answer.is_replayed()).count(), 1);
            for answer in refused {
                answer.expect_problem(422, "idempotency_key_mismatch");
            }
        }
        assert!(odd_ones < 24, "the seven never came first");
        assert_eq!((service.count_events(), service.count("events WHERE times_received = 1")), (24, 24));
    }

    async fn a_request_that_is_refused_is_refused_however_many_of_it_come_at_once(backend: Backend) {
        let service = Service::start(backend).await;
        assert_eq!(service.caller.post(&refund("1")).await.word(), "ACCEPTED");
        let other = refund("2");
        for round in 0..12 {
            let key = format!("k-{round}");
            let answers = join_all((0..8).map(|_| service.caller.post_under(&key, &other))).await;
            for answer in &answers {
                answer.expect_problem(422, "refund_id_required");
            }
        }
        assert_eq!((service.count("events WHERE times_received = 1"), service.count("idempotency_keys")), (1, 0));
    }

    async fn a_refused_request_keeps_its_key_from_nobody_who_comes_with_it(backend: Backend) {
        let service = Service::start(backend).await;
        assert_eq!(service.caller.post(&refund("1")).await.word(), "ACCEPTED");
        let mut after_refused = 0;
        for round in 0..24 {
            let (key, good) = (format!("k-{round}"), sale(&format!("O-{round}"), "1"));
            let bad = refund("2");
            let calls = (0..8).map(|n| service.caller.post_under(&key, if n % 2 == 0 { &bad } else { &good }));
            let answers = join_all(calls).await;
            let (good, bad): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 202);
            assert_eq!((good.len(), bad.len()), (4, 4), "{answers:?}");
            assert!(good.iter().all(|answer| answer.text == good[0].text));
            assert_eq!(good.iter().filter(|answer| answer.is_replayed()).count(), 3);
            for answer in bad {
                let before_the_good = answer.word() == "refund_id_required";
                let code = if before_the_good { "refund_id_required" } else { "idempotency_key_mismatch" };
                answer.expect_problem(422, code);
                after_refused += usize::from(before_the_good);
            }
        }
        assert!(after_refused > 0, "no refused one ever came first");
        assert_eq!((service.count_events(), service.count("idempotency_keys")), (25, 24));
    }
}
