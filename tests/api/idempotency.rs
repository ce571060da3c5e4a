//! Idempotency keys, as callers see them (contract 6.1).

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::{Form, IdempotencyKey};
use serde_json::{Value, json};

use crate::support::caller::{Answer, unix_now};
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const CONVERSIONS: &str = "/api/v1/conversions";
const STATUS: &str = "/api/v1/order-status";

fn sale(order: &str, value: &str) -> Value {
    json!({"event_name": "sale", "custom_data": {"order_id": order, "value": value, "currency": "USD"}})
}

/// Sends in the plain form, which binds no header, with these headers beside the signature.
async fn send(caller: &Caller, target: &str, text: &str, headers: &[(&str, &str)]) -> Answer {
    let mut all = caller.headers(Form::Plain, "POST", target, text.as_bytes());
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    caller.send("POST", target, text.as_bytes(), &all).await
}

/// Asserts that the second answer is the first one, replayed.
#[track_caller]
fn expect_replay(first: &Answer, second: &Answer) {
    assert_eq!((second.status, &second.text), (first.status, &first.text));
    assert_eq!(second.header("content-type"), first.header("content-type"));
    assert_eq!((first.is_replayed(), second.is_replayed()), (false, true));
}

on_both_databases! {
    async fn a_repeat_under_its_key_gets_the_first_answer_byte_for_byte(backend: Backend) {
        let service = Service::start(backend).await;
        let event = sale("O-1", "129.90");
        let first = service.caller.post_under("k", &event).await;
        assert_eq!((first.status, first.word().as_str()), (202, "ACCEPTED"));
        assert_eq!(first.header("idempotent-replayed"), None);
        for _ in 0..3 {
            expect_replay(&first, &service.caller.post_under("k", &event).await);
        }
        // Nothing was written but that the key was seen.
        assert_eq!(service.count("events WHERE times_received = 1"), 1);
        assert_eq!(service.count("idempotency_keys WHERE times_seen = 4"), 1);
        // A duplicate's answer is an answer like any other.
        let duplicate = service.caller.post_under("k2", &event).await;
        assert_eq!(duplicate.word(), "DUPLICATE");
        expect_replay(&duplicate, &service.caller.post_under("k2", &event).await);
        assert_eq!(service.count("events WHERE times_received = 2"), 1);
    }

    async fn the_headers_alias_and_quotes_make_no_other_key(backend: Backend) {
        let service = Service::start(backend).await;
        let text = sale("O-1", "1").to_string();
        let key: String = ('!'..='~').filter(|c| *c != '"' && *c != '\\').collect();
        let quoted = format!("\"{key}\"");
        let (name, alias) = ("Idempotency-Key", "X-Idempotency-Key");
        let first = send(&service.caller, CONVERSIONS, &text, &[(name, &key)]).await;
        assert_eq!(first.word(), "ACCEPTED", "{}", first.text);
        let repeats: [&[(&str, &str)]; 5] = [
            &[(name, &quoted)],
            &[(alias, &key)],
            &[(alias, &quoted)],
            &[(name, &key), (alias, &quoted)],
            &[(name, &quoted), (name, &key)],
        ];
        for headers in repeats {
            expect_replay(&first, &send(&service.caller, CONVERSIONS, &text, headers).await);
        }
        // The longest key there may be is not cut.
        for last in ["a", "b"] {
            let key = format!("{}{last}", "k".repeat(IdempotencyKey::CHARS_MAX - 1));
            let answer = send(&service.caller, CONVERSIONS, &sale(last, "1").to_string(), &[(name, &key)]).await;
            assert_eq!(answer.word(), "ACCEPTED");
        }
        assert_eq!(service.count("idempotency_keys"), 3);
    }

    async fn two_keys_in_one_request_are_400_and_write_nothing(backend: Backend) {
        let service = Service::start(backend).await;
        let text = sale("O-1", "1").to_string();
        let long = "k".repeat(IdempotencyKey::CHARS_MAX + 1);
        let (name, alias) = ("Idempotency-Key", "X-Idempotency-Key");
        let bad: [&[(&str, &str)]; 6] = [
            &[(name, "a"), (alias, "b")],
            &[(name, "a"), (name, "b")],
            &[(name, "a"), (alias, "\"a")],
            &[(name, "")],
            &[(name, "a b")],
            &[(alias, &long)],
        ];
        for headers in bad {
            let answer = send(&service.caller, CONVERSIONS, &text, headers).await;
            answer.expect_problem(400, "idempotency_key_malformed");
        }
        assert_eq!((service.count_events(), service.count("idempotency_keys")), (0, 0));
    }

    async fn an_event_in_other_words_is_the_same_request(backend: Backend) {
        let service = Service::start(backend).await;
        let event = json!({"event_name": "sale", "event_time": "2026-01-02T03:04:05Z", "metadata": {"a": 1, "b": [2, "é"]},
            "custom_data": {"order_id": "O-1", "value": "129.90", "currency": "USD"}});
        let first = service.caller.post_under("k", &event).await;
        assert_eq!(first.word(), "ACCEPTED");
        for other in [
            "{ \"metadata\": {\"b\":[2,\"\\u00e9\"],\"a\":1},\n \"custom_data\":{\"currency\":\"usd\",\"value\":129.9,\
             \"order_id\":\"O-1\"},\"event_time\":\"2026-01-02T04:04:05.000+01:00\",\"event_name\":\"sale\" }",
            r#"{"externalOrderId":"O-1","orderAmount":129.90,"currency":"USD","orderedAt":"2026-01-02T03:04:05Z",
             "metadata":{"a":1,"b":[2,"é"]},"unknown":{"to":"us"}}"#,
        ] {
            expect_replay(&first, &service.caller.post_to(CONVERSIONS, "k", other, unix_now()).await);
        }
        assert_eq!(service.count("events WHERE times_received = 1"), 1);
    }

    async fn another_event_under_a_used_key_is_refused_and_learns_nothing_of_the_first(backend: Backend) {
        let service = Service::start(backend).await;
        let first = service.caller.post_under("the-key", &sale("SECRET-1", "77.31")).await;
        for other in [
            sale("SECRET-2", "77.31"),
            // The same order with other content, and less content.
            sale("SECRET-1", "77.32"),
            json!({"event_name": "cancellation", "custom_data": {"related_order_id": "SECRET-1"}}),
            json!({"event_name": "lead", "external_id": "SECRET-1"}),
        ] {
            let answer = service.caller.post_under("the-key", &other).await;
            answer.expect_problem(422, "idempotency_key_mismatch");
            assert_eq!(answer.header("idempotent-replayed"), None);
            let id = first.at("/event_id").as_str().unwrap().to_owned();
            for secret in ["SECRET", "77.31", "ACCEPTED", "attribut", &id, "sale"] {
                assert!(!answer.text.contains(secret), "{secret}: {}", answer.text);
            }
        }
        assert_eq!(service.count("events WHERE times_received = 1 AND times_differed = 0"), 1);
        assert_eq!(service.count_events(), 1);
        expect_replay(&first, &service.caller.post_under("the-key", &sale("SECRET-1", "77.31")).await);
    }

    async fn a_refused_request_leaves_nothing_and_runs_mended_under_the_same_key(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let invalid = json!({"event_name": "sale", "custom_data": {"order_id": "O-1", "value": "1.234", "currency": "USD"}});
        for _ in 0..2 {
            caller.post_under("k1", &invalid).await.expect_errors(&["/custom_data/value invalid_amount"]);
        }
        assert_eq!((service.count_events(), service.count("idempotency_keys")), (0, 0));
        let first = caller.post_under("k1", &sale("O-1", "1.23")).await;
        assert_eq!((first.word().as_str(), first.is_replayed()), ("ACCEPTED", false));
        // Refused inside the transaction, after its key was claimed.
        let mut refund = json!({"event_name": "refund", "custom_data": {"related_order_id": "O-1", "value": "1", "currency": "USD"}});
        assert_eq!(caller.post(&refund).await.word(), "ACCEPTED");
        for _ in 0..2 {
            let answer = caller.post_under("k2", &refund).await;
            answer.expect_problem(422, "refund_id_required");
            assert_eq!(answer.header("idempotent-replayed"), None);
        }
        assert_eq!(service.count("idempotency_keys"), 1);
        refund["external_id"] = json!("R-2");
        let mended = caller.post_under("k2", &refund).await;
        assert_eq!((mended.word().as_str(), mended.is_replayed()), ("ACCEPTED", false));
        expect_replay(&mended, &caller.post_under("k2", &refund).await);
        // What is not valid is told first, whatever its key stands for.
        caller.post_under("k1", &invalid).await.expect_errors(&["/custom_data/value invalid_amount"]);
        assert_eq!(service.count_events(), 3);
    }

    async fn a_key_belongs_to_one_merchant_and_one_mode(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        let neighbour = setup.merchant();
        let other = setup.key(KeyKind::Live, Some(neighbour));
        let test = setup.key(KeyKind::Test, Some(service.merchant));
        let second_key = setup.key(KeyKind::Live, Some(service.merchant));
        drop(setup);
        for caller in [&other, &test, &second_key] {
            eventually("its key is known", async || caller.get(CONVERSIONS).await.status == 200).await;
        }
        let event = sale("O-1", "1");
        let first = service.caller.post_under("k", &event).await;
        for (caller, event) in [(&other, &event), (&test, &sale("O-2", "2"))] {
            let answer = caller.post_under("k", event).await;
            assert_eq!((answer.word().as_str(), answer.is_replayed()), ("ACCEPTED", false), "{}", answer.text);
            assert_ne!(answer.at("/event_id"), first.at("/event_id"));
            expect_replay(&answer, &caller.post_under("k", event).await);
        }
        // Which of the merchant's API keys signs is all the same.
        expect_replay(&first, &second_key.post_under("k", &event).await);
        assert_eq!((service.count_events(), service.count("idempotency_keys")), (3, 3));
    }

    async fn the_webhook_id_is_the_key_where_no_other_is_given(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let post = async |id: &str, key: Option<&str>, event: &Value| {
            let text = event.to_string();
            let library = standardwebhooks::Webhook::new(caller.secret.expose_text()).unwrap();
            let signature = library.sign(id, unix_now(), text.as_bytes()).unwrap();
            let timestamp = unix_now().to_string();
            let mut headers = vec![("X-API-Key", caller.key_id.as_str()), ("webhook-id", id),
                ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
            headers.extend(key.map(|key| ("Idempotency-Key", key)));
            let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            caller.send("POST", CONVERSIONS, text.as_bytes(), &headers).await
        };
        let first = post("msg_1", None, &sale("O-1", "1")).await;
        assert_eq!(first.word(), "ACCEPTED");
        expect_replay(&first, &post("msg_1", None, &sale("O-1", "1.0")).await);
        post("msg_1", None, &sale("O-2", "1")).await.expect_problem(422, "idempotency_key_mismatch");
        // It is the same key as the header's, and the header's wins.
        expect_replay(&first, &caller.post_under("msg_1", &sale("O-1", "1")).await);
        assert_eq!(post("msg_1", Some("mine"), &sale("O-3", "1")).await.word(), "ACCEPTED");
        expect_replay(&first, &post("msg_2", Some("msg_1"), &sale("O-1", "1")).await);
        assert_eq!(post("msg_3", None, &sale("O-1", "1")).await.word(), "DUPLICATE");
    }

    async fn an_order_status_is_the_same_request_only_byte_for_byte(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let text = r#"{"externalOrderId":"O-1","status":"returned"}"#;
        let first = caller.post_to(STATUS, "k", text, unix_now()).await;
        assert_eq!((first.status, first.word().as_str()), (202, "ACCEPTED"), "{}", first.text);
        expect_replay(&first, &caller.post_to(STATUS, "k", text, unix_now()).await);
        for other in [r#"{"externalOrderId":"O-1","status": "returned"}"#, r#"{"externalOrderId":"O-1","status":"paid"}"#] {
            let answer = caller.post_to(STATUS, "k", other, unix_now()).await;
            answer.expect_problem(422, "idempotency_key_mismatch");
        }
        let known = caller.post_to(STATUS, "k2", text, unix_now()).await;
        assert_eq!((known.word().as_str(), known.at("/event_id")), ("DUPLICATE", first.at("/event_id")));
        let refused = caller.post_to(STATUS, "k3", r#"{"externalOrderId":"O-1","status":"lost"}"#, unix_now()).await;
        refused.expect_errors(&["/status unknown_value"]);
        assert_eq!(caller.post_to(STATUS, "k3", text, unix_now()).await.word(), "DUPLICATE");
        assert_eq!((service.count_events(), service.count("order_statuses WHERE times_received = 3")), (1, 1));
    }

    async fn a_webhooks_key_stands_for_its_topic_delivery_id_and_body_by_either_path(backend: Backend) {
        let service = Service::start(backend).await;
        let deliver = async |path: &str, id: &str, key: &str, text: &str| {
            let headers = [("X-External-Event-Id", id), ("Idempotency-Key", key)];
            send(&service.caller, path, text, &headers).await
        };
        let (paid, alias) = ("/api/v1/webhooks/order-paid", "/v1/webhooks/order-paid");
        let text = r#"{"externalOrderId":"O-1"}"#;
        let first = deliver(paid, "e1", "k", text).await;
        assert_eq!(first.word(), "ACCEPTED", "{}", first.text);
        expect_replay(&first, &deliver(alias, "e1", "k", text).await);
        let delivered = "/api/v1/webhooks/order-delivered";
        for (path, id, text) in [(paid, "e2", text), (delivered, "e1", text), (alias, "e1", r#"{"externalOrderId":"O-2"}"#)] {
            deliver(path, id, "k", text).await.expect_problem(422, "idempotency_key_mismatch");
        }
        // Without their key, or under another one, the delivery id alone decides.
        assert_eq!(deliver(paid, "e1", "k2", text).await.word(), "DUPLICATE");
        deliver(delivered, "e1", "k3", text).await.expect_problem(422, "external_event_id_reused");
        // It has left nothing under its key.
        assert_eq!(deliver(delivered, "e3", "k3", text).await.word(), "ACCEPTED");
        let created = "/v1/webhooks/order-created";
        let order = r#"{"externalOrderId":"O-1","amount":"5","currency":"USD"}"#;
        let sale = deliver(created, "e4", "k4", order).await;
        assert_eq!(sale.at("/event_name"), "sale", "{}", sale.text);
        expect_replay(&sale, &deliver(created, "e4", "k4", order).await);
        deliver(created, "e5", "k4", order).await.expect_problem(422, "idempotency_key_mismatch");
        assert_eq!((service.count_events(), service.count("external_events")), (1, 3));
    }

    async fn a_key_used_on_one_endpoint_is_no_key_for_another(backend: Backend) {
        let service = Service::start(backend).await;
        let text = r#"{"externalOrderId":"O-1","amount":"5","currency":"USD","orderStatus":"paid","status":"paid"}"#;
        let endpoints = [CONVERSIONS, STATUS, "/api/v1/webhooks/order-paid", "/api/v1/webhooks/order-created"];
        // Each is signed at a time of its own: a signature that comes again elsewhere is a captured one.
        let age = std::cell::Cell::new(0);
        let post = async |target: &str, key: &str| {
            age.set(age.get() + 1);
            let signed_at = unix_now() - age.get();
            let mut headers =
                service.caller.headers_at(Form::Plain, "POST", target, text.as_bytes(), signed_at, "");
            headers.push(("X-External-Event-Id".to_owned(), target.to_owned()));
            headers.push(("Idempotency-Key".to_owned(), key.to_owned()));
            service.caller.send("POST", target, text.as_bytes(), &headers).await
        };
        for first in endpoints {
            assert_eq!(post(first, first).await.status, 202, "{first}");
            for second in endpoints.into_iter().filter(|second| *second != first) {
                post(second, first).await.expect_problem(422, "idempotency_key_mismatch");
            }
        }
        assert_eq!((service.count_events(), service.count("order_statuses"), service.count("external_events")), (1, 1, 2));
    }
}
