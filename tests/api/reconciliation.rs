//! A merchant's books against what is recorded: `POST /api/v1/reconciliations` (contract section 12).

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use serde_json::{Value, json};

use super::orders::{post, refund, sale, whole};
use crate::support::caller::Answer;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const PATH: &str = "/api/v1/reconciliations";
const NOVEMBER: &str = "from=2025-11-01T00:00:00Z&to=2025-12-01T00:00:00Z";

async fn send(caller: &Caller, target: &str, media_type: &str, body: &str) -> Answer {
    let mut headers = caller.headers(Form::Bound, "POST", target, body.as_bytes());
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    headers.push(("Content-Type".to_owned(), media_type.to_owned()));
    caller.send("POST", target, body.as_bytes(), &headers).await
}

/// Books of November, as JSON.
async fn reconcile(caller: &Caller, rows: &Value) -> Answer {
    let body = json!({"from": "2025-11-01T00:00:00Z", "to": "2025-12-01T00:00:00Z", "rows": rows});
    let answer = send(caller, PATH, "application/json", &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn summary(changes: &[(&str, u64)]) -> Value {
    let mut summary = json!({"compared": 0, "matched": 0, "missing_here": 0, "missing_there": 0,
        "amount_differs": 0, "currency_differs": 0, "state_differs": 0, "unreadable": 0});
    for (name, count) in changes {
        summary[*name] = (*count).into();
    }
    summary
}

fn sale_at(order: &str, at: &str) -> Value {
    let mut body = sale(order, "10.00", "EUR");
    body["event_time"] = at.into();
    body
}

on_both_databases! {
    async fn books_whose_records_are_too_large_are_refused_with_what_was_found(backend: Backend) {
        let service = Service::start(backend).await;
        let target = format!("{PATH}?{NOVEMBER}");
        let wide = format!("order_id{}", ",".repeat(1_000_000));
        let long = format!("order_id,note\nO-1,\"{}", "x".repeat(1_000_000));
        for (body, found) in [
            (wide, "line 1 has 1000001 columns and 8 bytes; it may have 64 and 65536"),
            (long, "line 2 has 2 columns and 1000003 bytes"),
            (format!("order_id\nO-1\n\nO-2{}\n", ",".repeat(64)), "line 4 has 65 columns"),
        ] {
            let answer = send(&service.caller, &target, "text/csv", &body).await;
            assert_eq!((answer.status, answer.word().as_str()), (422, "validation_failed"));
            assert_eq!(answer.at("/errors/0/code"), "too_long");
            let message = answer.at("/errors/0/message");
            assert!(message.as_str().unwrap().contains(found), "{message}");
        }
        let rows = format!("{{\"order_id\":\"O-1\",\"note\":\"{}\"}}", "x".repeat(70_000));
        let answer = send(&service.caller, &target, "application/x-ndjson", &rows).await;
        assert_eq!(answer.at("/unreadable/0/errors/0/code"), "too_long", "{}", answer.text);
    }

    async fn books_that_agree_match(backend: Backend) {
        let service = Service::start(backend).await;
        for body in [sale("O-1", "10.00", "EUR"), sale("O-2", "700", "JPY"), refund("O-2", "R-1", "200", "JPY")] {
            post(&service.caller, &body).await;
        }
        let rows = json!([
            {"order_id": "O-1", "value": "10", "net": 10.00, "currency": "eur", "state": "open"},
            {"order_id": "O-2", "net": "500"},
        ]);
        let answer = reconcile(&service.caller, &rows).await;
        assert_eq!(answer.json(), json!({"summary": summary(&[("compared", 2), ("matched", 2)]),
            "differences": [], "differences_omitted": 0, "unreadable": []}));
    }

    async fn each_kind_of_planted_difference_is_found(backend: Backend) {
        let service = Service::start(backend).await;
        for n in 1..=6 {
            post(&service.caller, &sale_at(&format!("O-{n}"), &format!("2025-11-0{n}T10:00:00Z"))).await;
        }
        post(&service.caller, &whole("refund", "O-5")).await;
        let rows = json!([
            {"order_id": "O-1", "value": "10.00", "net": "10.00"},
            {"order_id": "O-2", "value": "10.01", "net": "9.99"},
            {"order_id": "O-3", "value": "10.00", "currency": "USD"},
            {"order_id": "O-5", "state": "open", "net": "0"},
            {"order_id": "O-6"},
            {"order_id": "O-7"},
        ]);
        let answer = reconcile(&service.caller, &rows).await;
        assert_eq!(answer.at("/summary"), summary(&[("compared", 6), ("matched", 2), ("missing_here", 1),
            ("missing_there", 1), ("amount_differs", 2), ("currency_differs", 1), ("state_differs", 1)]));
        assert_eq!(answer.at("/differences"), json!([
            {"order_id": "O-2", "kind": "amount_differs", "field": "value", "here": "10.00", "there": "10.01"},
            {"order_id": "O-2", "kind": "amount_differs", "field": "net", "here": "10.00", "there": "9.99"},
            {"order_id": "O-3", "kind": "currency_differs", "here": "EUR", "there": "USD"},
            {"order_id": "O-4", "kind": "missing_there"},
            {"order_id": "O-5", "kind": "state_differs", "here": "refunded", "there": "open"},
            {"order_id": "O-7", "kind": "missing_here"},
        ]));
    }

    async fn the_reason_of_a_missing_order_names_what_is_known_of_it(backend: Backend) {
        let service = Service::start(backend).await;
        let mut refused = sale("refused", "10.00", "EUR");
        refused["custom_data"]["value"] = "10,00".into();
        for _ in 0..2 {
            assert_eq!(service.caller.post(&refused).await.status, 422);
        }
        post(&service.caller, &sale_at("december", "2025-12-01T00:00:00Z")).await;
        post(&service.caller, &whole("cancellation", "reversed")).await;
        let test_mode = service.setup().key(KeyKind::Test, Some(service.merchant));
        eventually("the key is known", async || test_mode.get("/api/v1/orders").await.status == 200).await;
        post(&test_mode, &sale("test", "1", "EUR")).await;
        let mut attempt = Value::Null;
        eventually("the newest attempt is journaled", async || {
            let listed = service.caller.get("/api/v1/attempts?outcome=refused&order_id=refused").await;
            attempt = listed.at("/data/0");
            listed.at("/data").as_array().unwrap().len() == 2
        }).await;
        let rows = json!(["refused", "december", "reversed", "test", "unheard"].map(|id| json!({"order_id": id})));
        let answer = reconcile(&service.caller, &rows).await;
        assert_eq!(answer.at("/summary"), summary(&[("compared", 5), ("missing_here", 5)]));
        let reason = |n: usize| answer.at(&format!("/differences/{n}/reason"));
        assert_eq!(reason(0), format!("attempt {} was refused 422 validation_failed /custom_data/value at {}",
            attempt["attempt_id"].as_str().unwrap(), attempt["started_at"].as_str().unwrap()));
        assert!(reason(1).as_str().unwrap().contains("happened at 2025-12-01T00:00:00Z, outside"), "{}", reason(1));
        assert_eq!(reason(2), "what takes its sale back is recorded, the sale is not");
        assert!(reason(3).as_str().unwrap().starts_with("its sale is recorded in test mode as evt_"), "{}", reason(3));
        assert_eq!(reason(4), Value::Null);
    }

    async fn the_period_is_half_open_on_when_the_sale_happened(backend: Backend) {
        let service = Service::start(backend).await;
        for (order, at) in [("before", "2025-10-31T23:59:59.999999Z"), ("first", "2025-11-01T00:00:00Z"),
            ("last", "2025-11-30T23:59:59.999999Z"), ("after", "2025-12-01T00:00:00Z")] {
            post(&service.caller, &sale_at(order, at)).await;
        }
        let answer = reconcile(&service.caller, &json!([])).await;
        let found = answer.at("/differences");
        let found: Vec<_> = found.as_array().unwrap().iter().map(|found| found["order_id"].as_str().unwrap()).collect();
        assert_eq!(found, ["first", "last"]);
    }

    async fn sales_of_one_instant_are_all_compared_however_many(backend: Backend) {
        let service = Service::start(backend).await;
        // More than are read at once.
        for part in 0..7 {
            let rows: Vec<Value> = (0..800).map(|n| sale(&format!("O-{}", part * 800 + n), "10", "EUR")).collect();
            let (path, body) = ("/api/v1/conversions/bulk", json!({"rows": rows}).to_string());
            assert_eq!(send(&service.caller, path, "application/json", &body).await.at("/summary/accepted"), 800);
        }
        let rows: Vec<Value> = (0..5_600).map(|n| json!({"order_id": format!("O-{n}"), "net": "10"})).collect();
        let answer = reconcile(&service.caller, &rows.into()).await;
        assert_eq!(answer.at("/summary"), summary(&[("compared", 5_600), ("matched", 5_600)]));
    }

    async fn csv_and_ndjson_are_taken_with_their_period_in_the_query(backend: Backend) {
        let service = Service::start(backend).await;
        post(&service.caller, &sale("a, \"b\"", "10.00", "EUR")).await;
        let csv = "state,order_id,value\r\nopen,\"a, \"\"b\"\"\",10.00\r\nlost,c,\r\n";
        let ndjson = "{\"order_id\":\"a, \\\"b\\\"\",\"value\":\"10\"}\n{\"order_id\":\"c\",\"state\":\"lost\"}\n";
        for (media_type, body, line) in [("text/csv; charset=utf-8", csv, 3), ("application/x-ndjson", ndjson, 2)] {
            let answer = send(&service.caller, &format!("{PATH}?{NOVEMBER}"), media_type, body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert_eq!(answer.at("/summary"), summary(&[("compared", 1), ("matched", 1), ("unreadable", 1)]));
            assert_eq!((answer.at("/unreadable/0/line"), answer.at("/unreadable/0/errors/0/pointer")),
                (json!(line), json!("/state")));
        }
    }

    async fn an_order_whose_row_cannot_be_read_is_not_missing_there(backend: Backend) {
        let service = Service::start(backend).await;
        post(&service.caller, &sale("O-1", "10.00", "EUR")).await;
        for (value, read) in [("\"10,00\"", 0), ("10.00", 1)] {
            let body = format!("order_id,value\nO-1,{value}\n");
            let answer = send(&service.caller, &format!("{PATH}?{NOVEMBER}"), "text/csv", &body).await;
            assert_eq!(answer.at("/summary"),
                summary(&[("compared", read), ("matched", read), ("unreadable", 1 - read)]));
            assert_eq!(answer.at("/differences"), json!([]));
        }
    }

    async fn books_unreadable_as_a_whole_are_refused_with_every_error(backend: Backend) {
        let service = Service::start(backend).await;
        let cases = [
            ("", "application/json", "{}", 422, "/from /rows /to"),
            ("", "application/json", "{", 400, ""),
            ("?from=2025-11-01T00:00:00Z", "application/json", "{}", 422, "/from"),
            ("", "text/csv", "order_id\n", 422, "/from /to"),
            ("?from=2025-12-01T00:00:00Z&to=2025-11-01T00:00:00Z&zone=x", "text/csv", "order_id\n", 422, "/to /zone"),
            (&format!("?{NOVEMBER}"), "text/csv", "value\n", 422, "/order_id"),
            (&format!("?{NOVEMBER}"), "text/csv", "net,order_id,net\n1,A,2\n", 422, "/net"),
            (&format!("?{NOVEMBER}"), "text/plain", "order_id\n", 415, ""),
            (&format!("?{NOVEMBER}"), "text/csv", "", 400, ""),
        ];
        for (query, media_type, body, status, pointers) in cases {
            let answer = send(&service.caller, &format!("{PATH}{query}"), media_type, body).await;
            assert_eq!(answer.status, status, "{query} {body}: {}", answer.text);
            if status == 422 {
                let mut found = answer.error_pointers();
                found.sort();
                assert_eq!(found.join(" "), pointers, "{query} {body}");
            }
        }
    }

    async fn only_the_merchants_own_orders_are_compared_and_nothing_is_written(backend: Backend) {
        let service = Service::start(backend).await;
        post(&service.caller, &sale("O-1", "10", "EUR")).await;
        let mut setup = service.setup();
        let other = setup.merchant();
        let stranger = setup.key(KeyKind::Live, Some(other));
        eventually("the key is known", async || stranger.get("/api/v1/orders").await.status == 200).await;
        let before = service.count("attempts");
        let answer = reconcile(&stranger, &json!([{"order_id": "O-1"}])).await;
        assert_eq!(answer.at("/differences"), json!([{"order_id": "O-1", "kind": "missing_here"}]));
        assert_eq!((service.count("attempts"), service.count_events()), (before, 1));
    }

    async fn larger_books_than_allowed_are_refused(backend: Backend) {
        let settings = "[server]\nreconciliation_body_bytes_max = 2048";
        let service = Service::start_with(backend.database(), settings).await;
        let rows = "x\n".repeat(1_100);
        let answer = send(&service.caller, &format!("{PATH}?{NOVEMBER}"), "text/csv", &format!("order_id\n{rows}")).await;
        assert_eq!((answer.status, answer.word().as_str()), (413, "body_too_large"));
    }
}
