//! That the service is as it is described: the caller of these tests asserts of each answer that it
//! is a described one, and of each body that was taken that it is, too.

use std::collections::BTreeSet;

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::{Covered, Form, sign};
use serde_json::Value;

use crate::openapi::request_examples;
use crate::support::caller::{Answer, unix_now};
use crate::support::contract::Contract;
use crate::support::raw::exchange;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, on_both_databases};

/// A request's answer, signed in this form and with further headers.
async fn send(
    caller: &Caller,
    form: Form,
    (method, target): (&str, &str),
    body: &[u8],
    further: &[(&str, &str)],
) -> Answer {
    let header =
        |wanted: &str| further.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| value);
    let covered = Covered {
        method,
        target,
        idempotency_key: header("Idempotency-Key"),
        external_event_id: header("X-External-Event-Id"),
        body,
    };
    let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
    let signed = sign(form, &caller.key_id, &caller.secret, unix_now(), &id, &covered);
    let further = further.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let headers: Vec<_> =
        signed.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(further).collect();
    caller.send(method, target, body, &headers).await
}

on_both_databases! {
    async fn every_example_of_a_request_is_accepted(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let (json, forms) = ("application/json", [Form::Bound, Form::Plain, Form::StandardWebhooks]);
        for path in ["/api/v1/conversions", "/api/v1/order-status"] {
            for (name, body) in request_examples(path, json) {
                let body = body.to_string();
                for (form, word) in forms.into_iter().zip(["ACCEPTED", "DUPLICATE", "DUPLICATE"]) {
                    let answer = send(caller, form, ("POST", path), body.as_bytes(), &[]).await;
                    assert_eq!((answer.status, answer.word().as_str()), (202, word), "{name}: {}", answer.text);
                    assert_eq!(answer.at("/differs"), Value::Null, "{name}: {}", answer.text);
                }
            }
        }
        for alias in [false, true] {
            let base = if alias { "/v1/webhooks" } else { "/api/v1/webhooks" };
            for (topic, body) in request_examples(&format!("{base}/{{topic}}"), json) {
                let (target, id) = (format!("{base}/{topic}"), format!("whd-{topic}"));
                for form in forms {
                    let answer = send(
                        caller,
                        form,
                        ("POST", &target),
                        body.to_string().as_bytes(),
                        &[("X-External-Event-Id", &id)],
                    )
                    .await;
                    let word = if alias || form != Form::Bound { "DUPLICATE" } else { "ACCEPTED" };
                    assert_eq!((answer.status, answer.word().as_str()), (202, word), "{topic}: {}", answer.text);
                }
            }
        }
    }

    async fn every_example_of_a_click_is_accepted_and_answered_as_described(backend: Backend) {
        let database = backend.database();
        let operator = Setup::new(&database, "").key(KeyKind::Operator, None);
        let service = Service::start_with(database, "").await;
        let operator = Caller { base: service.caller.base.clone(), ..operator };
        let path = "/api/v1/clicks";
        for (name, body) in request_examples(path, "application/json") {
            let mut body = body.clone();
            body["merchant_id"] = service.merchant.to_string().into();
            let body = body.to_string();
            let answer = operator.post_to(path, name, &body, unix_now()).await;
            assert_eq!(answer.status, 201, "{name}: {}", answer.text);
            assert_eq!(answer.at("/reason").as_str().is_some(), name == "signed_url", "{name}: {}", answer.text);
        }
    }

    async fn every_result_that_a_row_can_have_is_described(backend: Backend) {
        let service = Service::start(backend).await;
        let path = "/api/v1/conversions/bulk";
        let json = request_examples(path, "application/json")["rows"].to_string();
        let lines = request_examples(path, "application/x-ndjson")["lines"].as_str().unwrap();
        let words = |answer: &Answer| -> Vec<(String, bool)> {
            let results = answer.at("/results");
            let results = results.as_array().unwrap().iter();
            results.map(|row| (row["status"].as_str().unwrap().to_owned(), row["idempotent"] == true)).collect()
        };
        let word = |word: &str, idempotent| (word.to_owned(), idempotent);
        let answer = send(&service.caller, Form::Bound, ("POST", path), json.as_bytes(), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let first = [word("ACCEPTED", false), word("ACCEPTED", false), word("DUPLICATE", false), word("ACCEPTED", true)];
        assert_eq!(words(&answer), first);
        let again = send(
            &service.caller,
            Form::StandardWebhooks,
            ("POST", path),
            lines.as_bytes(),
            &[("Content-Type", "application/x-ndjson")],
        )
        .await;
        let second = [word("ACCEPTED", true), word("DUPLICATE", false), word("DUPLICATE", false), word("ACCEPTED", true)];
        assert_eq!(words(&again), second, "{}", again.text);
        let refused = r#"{"client_row_id":"a","idempotency_key":"ORD-1020-sale","event_name":"lead","external_id":"L-1"}
            {"client_row_id":"b","event_name":"sale","event_name":"sale"}
            {"client_row_id":"c","event_name":"sale","custom_data":{"value":-1}}
            {"client_row_id":"d","event_name":"refund","custom_data":{"related_order_id":"ORD-1"}}
            {"client_row_id":"e","event_name":"refund","custom_data":{"related_order_id":"ORD-1","value":1,"currency":"EUR"}}
            oops"#;
        let answer = send(
            &service.caller,
            Form::Plain,
            ("POST", path),
            refused.as_bytes(),
            &[("Content-Type", "application/x-ndjson")],
        )
        .await;
        let results = answer.at("/results");
        let codes: Vec<&str> =
            results.as_array().unwrap().iter().map(|row| row["problem"]["code"].as_str().unwrap_or("")).collect();
        let expected = [
            "idempotency_key_mismatch",
            "malformed_json",
            "validation_failed",
            "",
            "refund_id_required",
            "malformed_json",
        ];
        assert_eq!(codes, expected, "{}", answer.text);
    }

    async fn what_is_read_back_is_described(backend: Backend) {
        let service = Service::start(backend).await;
        let token = service.token("2026-01-15T10:00:00Z".parse().unwrap());
        for event in request_examples("/api/v1/conversions", "application/json").into_values() {
            let mut event = event.clone();
            if event["nim_ct"].is_string() {
                event["nim_ct"] = token.clone().into();
            }
            assert_eq!(service.caller.post(&event).await.word(), "ACCEPTED");
        }
        for status in request_examples("/api/v1/order-status", "application/json").into_values() {
            let body = status.to_string();
            let answer = send(&service.caller, Form::Bound, ("POST", "/api/v1/order-status"), body.as_bytes(), &[]).await;
            assert_eq!(answer.word(), "ACCEPTED");
        }
        let mut query = "/api/v1/conversions?limit=4".to_owned();
        let mut names = BTreeSet::new();
        loop {
            let page = service.caller.get(&query).await;
            for event in page.at("/data").as_array().unwrap() {
                let target = format!("/api/v1/conversions/{}", event["event_id"].as_str().unwrap());
                assert_eq!(&service.caller.get(&target).await.json(), event);
                names.insert(event["event_name"].as_str().unwrap().to_owned());
                names.insert(event["attribution"]["status"].as_str().unwrap().to_owned());
            }
            match page.at("/next_cursor").as_str() {
                Some(cursor) => query = format!("/api/v1/conversions?limit=4&cursor={cursor}"),
                None => break,
            }
        }
        let expected = [
            "attributed", "cancellation", "inherited", "lead", "refund", "reversal", "sale", "status_refund",
            "unattributed",
        ];
        assert_eq!(names, expected.map(str::to_owned).into());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_problem_of_each_status_is_as_described() {
    let service = Service::start_with(Backend::Sqlite.database(), "[server]\nbody_timeout_s = 1\n").await;
    let path = "/api/v1/conversions";
    let caller = &service.caller;
    let sale = request_examples(path, "application/json")["sale"].to_string();
    let post = |body: String, further: Vec<(&'static str, String)>| {
        let caller = caller.clone();
        async move {
            let further: Vec<(&str, &str)> =
                further.iter().map(|(name, value)| (*name, value.as_str())).collect();
            send(&caller, Form::Plain, ("POST", path), body.as_bytes(), &further).await
        }
    };
    post("{".to_owned(), vec![]).await.expect_problem(400, "malformed_json");
    post(sale.clone(), vec![("X-API-Key", "again".to_owned())])
        .await
        .expect_problem(400, "malformed_signature");
    caller.send("POST", path, sale.as_bytes(), &[]).await.expect_problem(401, "unauthorized");
    let mut setup = service.setup();
    let operator = setup.key(KeyKind::Operator, None);
    crate::support::eventually("the operator's key is known", async || {
        operator.get(path).await.status == 403
    })
    .await;
    caller.get("/api/v1/conversions/nothing").await.expect_problem(404, "not_found");
    caller.get("/nowhere").await.expect_problem(404, "not_found");
    caller.send("PUT", path, b"", &[]).await.expect_problem(405, "method_not_allowed");
    post("x".repeat(70_000), vec![]).await.expect_problem(413, "body_too_large");
    post(sale.clone(), vec![("Content-Encoding", "gzip".to_owned())])
        .await
        .expect_problem(415, "unsupported_media_type");
    post("{}".to_owned(), vec![]).await.expect_problem(422, "validation_failed");
    post(sale.clone(), vec![("X-Long", "x".repeat(17_000))]).await.expect_problem(431, "headers_too_large");
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n");
    for (rest, status, code) in [
        ("Transfer-Encoding: chunked\r\n\r\n", 411, "length_required"),
        ("Content-Length: 5\r\n\r\n", 408, "request_timeout"),
    ] {
        let (answer, _) = exchange(service.api, format!("{head}{rest}").as_bytes()).await;
        answer.expect_problem(status, code);
        Contract::shared().check_answer("POST", path, &answer);
    }
    let delivery = async |topic: &str, further: &[(&str, &str)], body: &str| {
        send(caller, Form::Plain, ("POST", &format!("/api/v1/webhooks/{topic}")), body.as_bytes(), further)
            .await
    };
    let (order, id) = (r#"{"externalOrderId":"A"}"#, [("X-External-Event-Id", "1")]);
    delivery("order-paid", &[], order).await.expect_problem(400, "external_event_id_missing");
    delivery("order-lost", &id, order).await.expect_problem(404, "not_found");
    delivery("order-refunded", &id, order).await.expect_problem(422, "status_topic_mismatch");
    assert_eq!(delivery("order-paid", &id, order).await.status, 202);
    delivery("order-delivered", &id, order).await.expect_problem(422, "external_event_id_reused");
    setup.execute("ALTER TABLE events RENAME TO hidden");
    caller.get(path).await.expect_problem(503, "storage_unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_limited_merchant_is_told_is_described() {
    let settings = "[plans.enterprise]\nrate_per_s = 1\nburst = 1\n";
    let service = Service::start_with(Backend::Sqlite.database(), settings).await;
    let path = "/api/v1/conversions";
    let answers = [service.caller.get(path).await, service.caller.get(path).await];
    assert!(answers.iter().all(|answer| answer.header("ratelimit").is_some()));
    answers[1].expect_problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_without_its_clock_answers_is_described() {
    let service = Service::start(Backend::Sqlite).await;
    service.clock.jump(chrono::TimeDelta::hours(1));
    service.caller.get("/api/v1/conversions").await.expect_problem(503, "clock_unreliable");
    assert_eq!(service.caller.send("GET", "/openapi.json", b"", &[]).await.status, 200);
}
