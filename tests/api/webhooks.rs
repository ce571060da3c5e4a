//! Merchant webhooks: topics, deliveries and what no captured request becomes (contract 6.4).

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::{Covered, Form, sign};
use serde_json::{Value, json};

use crate::order_status::count;
use crate::support::caller::{Answer, unix_now};
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const FORMS: [Form; 3] = [Form::Plain, Form::Bound, Form::StandardWebhooks];
const REVERSING: [(&str, &str); 3] =
    [("order-cancelled", "cancelled"), ("order-returned", "returned"), ("order-refunded", "refunded")];

fn path(topic: &str) -> String {
    format!("/api/v1/webhooks/{topic}")
}

/// The headers of a delivery, its id among them.
fn signed(caller: &Caller, form: Form, target: &str, id: &str, body: &str) -> Vec<(String, String)> {
    let covered =
        Covered { method: "POST", target, idempotency_key: "", external_event_id: id, body: body.as_bytes() };
    let message = format!("msg_{}", uuid::Uuid::new_v4().simple());
    let headers = sign(form, &caller.key_id, &caller.secret, unix_now(), &message, &covered);
    let id = ("X-External-Event-Id", id.to_owned());
    headers.into_iter().chain([id]).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Delivers a webhook.
async fn deliver(caller: &Caller, form: Form, topic: &str, id: &str, body: &Value) -> Answer {
    let (target, body) = (path(topic), body.to_string());
    let headers = signed(caller, form, &target, id, &body);
    caller.send("POST", &target, body.as_bytes(), &headers).await
}

fn order(order: &str) -> Value {
    json!({"externalOrderId": order})
}

fn sale(order: &str) -> Value {
    json!({"externalOrderId": order, "amount": "12.50", "currency": "EUR"})
}

fn status(order: &str, status: &str) -> Value {
    json!({"externalOrderId": order, "status": status})
}

/// How many deliveries, statuses and events there are.
fn counts(service: &Service) -> (i64, i64, i64) {
    (count(service, "external_events"), count(service, "order_statuses"), service.count_events())
}

on_both_databases! {
    async fn each_topic_records_what_it_says_by_both_paths(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let created = deliver(caller, Form::Bound, "order-created", "E-0", &sale("O-1")).await;
        assert_eq!((created.word().as_str(), created.at("/event_name")), ("ACCEPTED", json!("sale")));
        let topics = [("order-paid", "paid"), ("order-delivered", "delivered")].into_iter().chain(REVERSING);
        for (number, (topic, name)) in (1..).zip(topics) {
            let id = format!("E-{number}");
            let first = deliver(caller, Form::Bound, topic, &id, &order("O-1")).await;
            assert_eq!((first.status, first.word().as_str()), (202, "ACCEPTED"), "{topic}: {}", first.text);
            assert_eq!((first.at("/order_id"), first.at("/order_status")), (json!("O-1"), json!(name)));
            assert_eq!(first.at("/event_id").is_string(), number > 2, "{}", first.text);
            let alias = format!("/v1/webhooks/{topic}");
            let body = order("O-1").to_string();
            let headers = signed(caller, Form::Bound, &alias, &id, &body);
            let second = caller.send("POST", &alias, body.as_bytes(), &headers).await;
            assert_eq!((second.word().as_str(), second.at("/event_id")), ("DUPLICATE", first.at("/event_id")));
        }
        for name in ["sale", "cancellation", "status_refund"] {
            let listed = caller.get(&format!("/api/v1/conversions?event_name={name}")).await;
            assert_eq!((listed.at("/data/0/order_id"), listed.at("/data/1")), (json!("O-1"), json!(null)));
        }
        assert_eq!(counts(&service), (6, 5, 3));
    }

    async fn an_unknown_topic_is_no_path_and_a_known_one_takes_only_posts(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        for topic in ["order-shipped", "Order-Paid", "order-paid%20", "order-created/x", ""] {
            for form in FORMS {
                deliver(caller, form, topic, "E-1", &order("O-1")).await.expect_problem(404, "not_found");
            }
            for method in ["POST", "GET"] {
                for path in [path(topic), format!("/v1/webhooks/{topic}")] {
                    caller.send(method, &path, b"", &[]).await.expect_problem(404, "not_found");
                }
            }
        }
        for method in ["GET", "PUT", "DELETE"] {
            for path in [path("order-paid"), "/v1/webhooks/order-refunded".to_owned()] {
                let answer = caller.send(method, &path, b"", &[]).await;
                answer.expect_problem(405, "method_not_allowed");
                assert_eq!(answer.header("allow"), Some("POST"));
            }
        }
        assert_eq!(counts(&service), (0, 0, 0));
    }

    async fn a_delivery_needs_an_id_of_visible_ascii(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let (target, body) = (path("order-paid"), order("O-1").to_string());
        for form in FORMS {
            let headers = caller.headers(form, "POST", &target, body.as_bytes());
            let answer = caller.send("POST", &target, body.as_bytes(), &headers).await;
            answer.expect_problem(400, "external_event_id_missing");
            let long = "x".repeat(256);
            for malformed in ["", "a b", "a\tb", &long] {
                let headers = signed(caller, form, &target, malformed, &body);
                let answer = caller.send("POST", &target, body.as_bytes(), &headers).await;
                answer.expect_problem(400, "malformed_request");
            }
            let mut twice = signed(caller, form, &target, "E-1", &body);
            twice.push(("X-External-Event-Id".to_owned(), "E-1".to_owned()));
            caller.send("POST", &target, body.as_bytes(), &twice).await.expect_problem(400, "malformed_request");
        }
        assert_eq!(counts(&service), (0, 0, 0));
        for id in ["!".to_owned(), "x".repeat(255), "\"quoted\"".to_owned()] {
            let order = order(&format!("O-{}", id.len()));
            assert_eq!(deliver(caller, Form::Plain, "order-paid", &id, &order).await.word(), "ACCEPTED");
        }
    }

    async fn the_same_delivery_again_is_a_duplicate_in_every_form(backend: Backend) {
        let service = Service::start(backend).await;
        for (topic, body) in [
            ("order-created", json!({"externalOrderId": "O-1", "amount": 5, "currency": "EUR", "orderStatus": "paid"})),
            ("order-delivered", order("O-1")),
            ("order-cancelled", status("O-1", "cancelled")),
            ("order-refunded", json!({"externalOrderId": "O-1", "status": "refunded",
                "statusUpdatedAt": "2026-01-02T03:04:05Z"})),
        ] {
            let first = deliver(&service.caller, Form::Plain, topic, topic, &body).await;
            assert_eq!((first.status, first.word().as_str()), (202, "ACCEPTED"), "{}", first.text);
            for form in FORMS {
                let again = deliver(&service.caller, form, topic, topic, &body).await;
                assert_eq!((again.status, again.word().as_str()), (202, "DUPLICATE"), "{topic}: {}", again.text);
                for member in ["/event_id", "/order_id", "/received_at", "/attribution"] {
                    assert_eq!(again.at(member), first.at(member), "{topic} {member}");
                }
                assert_eq!(again.at("/differs"), json!(null));
            }
        }
        assert_eq!(counts(&service), (4, 4, 3));
    }

    async fn a_standard_webhooks_delivery_is_replayed_under_its_message_id(backend: Backend) {
        let service = Service::start(backend).await;
        let (target, body) = (path("order-paid"), order("O-1").to_string());
        let headers = signed(&service.caller, Form::StandardWebhooks, &target, "E-1", &body);
        let first = service.caller.send("POST", &target, body.as_bytes(), &headers).await;
        let again = service.caller.send("POST", &target, body.as_bytes(), &headers).await;
        assert_eq!((first.status, first.word().as_str()), (202, "ACCEPTED"));
        assert_eq!((again.status, &again.text), (202, &first.text));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        // The message id is signed, the path is not.
        let moved = service.caller.send("POST", &path("order-delivered"), body.as_bytes(), &headers).await;
        moved.expect_problem(422, "idempotency_key_mismatch");
        assert_eq!(counts(&service), (1, 1, 0));
    }

    async fn an_id_of_another_topic_or_body_is_refused_and_nothing_is_written(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let first = deliver(caller, Form::Bound, "order-paid", "E-1", &order("O-1")).await;
        assert_eq!(first.word(), "ACCEPTED");
        for form in FORMS {
            for (topic, body) in [
                ("order-delivered", order("O-1")),
                ("order-paid", order("O-2")),
                ("order-paid", status("O-1", "paid")),
                ("order-cancelled", status("O-1", "cancelled")),
                ("order-created", sale("O-1")),
            ] {
                let answer = deliver(caller, form, topic, "E-1", &body).await;
                answer.expect_problem(422, "external_event_id_reused");
                assert!(!answer.text.contains("O-1") && !answer.text.contains("paid"), "{}", answer.text);
            }
        }
        assert_eq!(counts(&service), (1, 1, 0));
        assert_eq!(deliver(caller, Form::Bound, "order-created", "E-2", &sale("O-1")).await.word(), "ACCEPTED");
        assert_eq!(deliver(caller, Form::Bound, "order-paid", "E-1", &order("O-1")).await.word(), "DUPLICATE");
        // A refused delivery leaves its id free.
        deliver(caller, Form::Bound, "order-created", "E-3", &order("O-3")).await.expect_problem(422, "validation_failed");
        assert_eq!(deliver(caller, Form::Bound, "order-created", "E-3", &sale("O-3")).await.word(), "ACCEPTED");
        assert_eq!(counts(&service), (3, 1, 2));
    }

    async fn deliveries_that_fight_for_an_id_have_one_winner(backend: Backend) {
        let service = Service::start(backend).await;
        let second = if backend == Backend::Sqlite { None } else { Some(service.another("").await) };
        for round in 0..6 {
            let id = format!("E-{round}");
            let bodies = ["a", "b"].map(|name| status(&format!("O-{round}{name}"), "cancelled"));
            let calls = (0..16).map(|call| {
                let instance = second.as_ref().filter(|_| call % 4 < 2).unwrap_or(&service);
                deliver(&instance.caller, FORMS[call % 3], "order-cancelled", &id, &bodies[call % 2])
            });
            let answers = futures_util::future::join_all(calls).await;
            let winner = answers.iter().position(|answer| answer.word() == "ACCEPTED").expect("one is new");
            for (call, answer) in answers.iter().enumerate() {
                if call == winner {
                    continue;
                }
                if call % 2 == winner % 2 {
                    assert_eq!((answer.status, answer.word().as_str()), (202, "DUPLICATE"), "{}", answer.text);
                    assert_eq!(answer.at("/event_id"), answers[winner].at("/event_id"));
                } else {
                    answer.expect_problem(422, "external_event_id_reused");
                }
            }
        }
        assert_eq!(counts(&service), (6, 6, 6));
    }

    async fn ids_of_other_merchants_and_of_test_mode_are_other_ids(backend: Backend) {
        let service = Service::start(backend).await;
        let mut setup = service.setup();
        let other = setup.merchant();
        let (test, other) = (setup.key(KeyKind::Test, Some(service.merchant)), setup.key(KeyKind::Live, Some(other)));
        eventually("the keys are known", async || {
            test.get("/api/v1/conversions").await.status == 200 && other.get("/api/v1/conversions").await.status == 200
        }).await;
        let mut events = Vec::new();
        for (caller, topic, body) in [
            (&service.caller, "order-created", sale("O-1")),
            (&test, "order-cancelled", status("O-1", "cancelled")),
            (&other, "order-refunded", status("O-1", "refunded")),
        ] {
            for word in ["ACCEPTED", "DUPLICATE"] {
                let answer = deliver(caller, Form::Plain, topic, "E-1", &body).await;
                assert_eq!(answer.word(), word, "{}", answer.text);
                events.push(answer.at("/event_id"));
            }
        }
        events.dedup();
        assert_eq!(events.len(), 3);
        assert_eq!(counts(&service), (3, 2, 3));
    }

    async fn a_reversing_topic_that_is_not_signed_must_stand_in_the_body(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let mismatch = async |form, topic: &str, body: &Value| {
            deliver(caller, form, topic, "E-1", body).await.expect_problem(422, "status_topic_mismatch");
        };
        let mut expected = 0;
        for (topic, name) in REVERSING {
            for form in FORMS {
                for (_, other) in [("order-paid", "paid")].into_iter().chain(REVERSING) {
                    if other != name {
                        mismatch(form, topic, &status("O-1", other)).await;
                    }
                }
                if form != Form::Bound {
                    mismatch(form, topic, &order("O-1")).await;
                    mismatch(form, topic, &json!({"externalOrderId": "O-1", "status": null, "orderStatus": name})).await;
                }
                let id = format!("{topic}-{form:?}");
                let body = if form == Form::Bound { order(&id) } else { status(&id, name) };
                let answer = deliver(caller, form, topic, &id, &body).await;
                assert_eq!((answer.word().as_str(), answer.at("/order_status")), ("ACCEPTED", json!(name)));
                expected += 1;
            }
        }
        for form in FORMS {
            for topic in ["order-paid", "order-delivered"] {
                mismatch(form, topic, &status("O-1", "refunded")).await;
                mismatch(form, topic, &status("O-1", "pending")).await;
            }
            let unknown = deliver(caller, form, "order-refunded", "E-1", &status("O-1", "lost")).await;
            unknown.expect_errors(&["/status unknown_value"]);
        }
        assert_eq!(counts(&service), (expected, expected, expected));
    }

    async fn a_captured_request_cannot_be_made_a_refund(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let captured = [
            (path("order-paid"), order("O-1").to_string()),
            (path("order-paid"), status("O-1", "paid").to_string()),
            (path("order-created"), sale("O-1").to_string()),
            ("/api/v1/conversions".to_owned(), sale("O-2").to_string()),
            ("/api/v1/order-status".to_owned(), status("O-1", "delivered").to_string()),
        ];
        for form in FORMS {
            for (target, body) in &captured {
                let mut headers = signed(caller, form, target, "E-captured", body);
                for (topic, _) in REVERSING {
                    for id in ["E-captured", "E-other"] {
                        headers.last_mut().unwrap().1 = id.to_owned();
                        for moved in [path(topic), format!("/v1/webhooks/{topic}"), format!("{}?x=1", path(topic))] {
                            let answer = caller.send("POST", &moved, body.as_bytes(), &headers).await;
                            if form == Form::Bound {
                                answer.expect_problem(401, "unauthorized");
                            } else {
                                answer.expect_problem(422, "status_topic_mismatch");
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(counts(&service), (0, 0, 0));
    }

    async fn an_order_is_created_in_the_order_dialect_alone(backend: Backend) {
        let service = Service::start(backend).await;
        let canonical = json!({"event_name": "sale",
            "custom_data": {"order_id": "O-1", "value": "12.50", "currency": "EUR"}});
        for form in FORMS {
            let answer = deliver(&service.caller, form, "order-created", "E-1", &canonical).await;
            answer.expect_errors(&["/externalOrderId required"]);
            let refund = json!({"event_name": "refund", "custom_data": {"related_order_id": "O-1"}});
            deliver(&service.caller, form, "order-created", "E-1", &refund).await
                .expect_errors(&["/externalOrderId required"]);
            let nothing = json!({"externalOrderId": "", "amount": "x", "orderStatus": "lost"});
            deliver(&service.caller, form, "order-created", "E-1", &nothing).await.expect_errors(&[
                "/amount invalid_amount", "/currency required", "/externalOrderId invalid_id",
                "/orderStatus unknown_value"]);
        }
        assert_eq!(counts(&service), (0, 0, 0));
        let first = service.caller.post(&canonical).await;
        let relayed = deliver(&service.caller, Form::Plain, "order-created", "E-1", &sale("O-1")).await;
        assert_eq!((relayed.word().as_str(), relayed.at("/event_id")), ("DUPLICATE", first.at("/event_id")));
    }

    async fn eight_relays_with_one_webhook_record_one_event(backend: Backend) {
        let service = Service::start(backend).await;
        for round in 0..5 {
            let (id, name) = (format!("E-{round}"), format!("O-{round}"));
            let body = status(&name, "refunded");
            let relays = (0..8).map(|_| deliver(&service.caller, Form::Plain, "order-refunded", &id, &body));
            let answers = futures_util::future::join_all(relays).await;
            let accepted = answers.iter().filter(|answer| answer.word() == "ACCEPTED").count();
            assert_eq!(accepted, 1);
            for answer in &answers {
                assert_eq!((answer.status, answer.at("/event_id")), (202, answers[0].at("/event_id")));
            }
        }
        assert_eq!(counts(&service), (5, 5, 5));
    }
}
