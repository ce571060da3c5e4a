//! Bulk rows: each has a fate of its own, whatever becomes of the others (contract 6.2).

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::bulk::{JSON, bulk_of, results, send, send_under, texts, word, words};
use crate::order_status::count;
use crate::support::{Backend, Caller, Service, on_both_databases};

fn sale(order: &str) -> Value {
    json!({"event_name": "sale", "event_time": "2026-01-02T03:04:05Z",
        "custom_data": {"order_id": order, "value": "129.90", "currency": "USD"}})
}

fn refund(order: &str, value: &str) -> Value {
    json!({"event_name": "refund", "custom_data": {"related_order_id": order, "value": value, "currency": "USD"}})
}

fn with(event: &Value, member: &str, value: impl Into<Value>) -> Value {
    let mut changed = event.clone();
    changed[member] = value.into();
    changed
}

fn keyed(event: &Value, key: &str) -> Value {
    with(event, "idempotency_key", key)
}

/// Records what the rows of [`row`] are to meet: three events.
async fn before(caller: &Caller) -> [Value; 3] {
    let known = caller.post(&sale("O-known")).await;
    let keyed = caller.post_under("k-known", &sale("O-keyed")).await;
    let refunded = caller.post(&refund("O-refunded", "10")).await;
    [known, keyed, refunded].map(|answer| {
        assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
        answer.at("/event_id")
    })
}

/// A row for each outcome in turn, and the outcome.
fn row(index: usize) -> (String, &'static str) {
    let order = format!("O-{index}");
    let named = |event: Value| with(&event, "client_row_id", format!("r-{index}")).to_string();
    match index % 12 {
        0 => (named(keyed(&sale(&order), &format!("k-{index}"))), "ACCEPTED"),
        // Nameless, and without a key.
        1 => (json!({"externalOrderId": order, "amount": 12.5, "currency": "EUR"}).to_string(), "ACCEPTED"),
        2 => (named(sale("O-known")), "DUPLICATE"),
        3 => (
            named(
                json!({"externalOrderId": format!("O-{}", index - 2), "amount": "12.50", "currency": "EUR"}),
            ),
            "DUPLICATE",
        ),
        4 => (named(keyed(&sale("O-keyed"), "k-known")), "replayed"),
        5 => (
            named(json!({"idempotency_key": "a b", "event_name": "sale", "event_time": 5,
            "custom_data": {"order_id": "", "value": "1.5"}})),
            "validation_failed",
        ),
        6 => (
            format!(r#"{{"client_row_id":"r-{index}","event_name":"lead","event_name":"sale"}}"#),
            "malformed_json",
        ),
        7 => (
            format!(r#"{{"client_row_id":"r-{index}","event_name":"lead","external_id":"a\u0000b"}}"#),
            "malformed_json",
        ),
        8 => (
            format!(r#"{{"client_row_id":"r-{index}","x":{}1{}}}"#, "[".repeat(16), "]".repeat(16)),
            "malformed_json",
        ),
        9 => (named(refund("O-refunded", "11")), "refund_id_required"),
        10 => (named(keyed(&sale(&order), "k-known")), "idempotency_key_mismatch"),
        _ => (with(&sale(&order), "client_row_id", 7).to_string(), "validation_failed"),
    }
}

/// What a result says of its event: its members without those that belong to the row.
fn told(result: &Value) -> Value {
    let mut told = result.clone();
    let object = told.as_object_mut().unwrap();
    object.retain(|name, _| !["index", "client_row_id", "idempotent"].contains(&name.as_str()));
    if let Some(problem) = object.get_mut("problem") {
        problem["request_id"].take();
    }
    told
}

on_both_databases! {
    async fn a_thousand_rows_of_all_outcomes_are_each_answered_in_their_place(backend: Backend) {
        let service = Service::start(backend).await;
        let [known, keyed_event, _] = before(&service.caller).await;
        let (rows, expected): (Vec<String>, Vec<&str>) = (0..1_000).map(row).unzip();
        let answer = send(&service.caller, &rows).await;
        let all = results(&answer);
        assert_eq!(all.iter().map(word).collect::<Vec<_>>(), expected);
        for (index, result) in all.iter().enumerate() {
            let name = if matches!(index % 12, 1 | 11) { Value::Null } else { json!(format!("r-{index}")) };
            assert_eq!(result["client_row_id"], name, "{result}");
            match index % 12 {
                0 | 1 => {
                    assert_eq!(result["order_id"], format!("O-{index}"), "{result}");
                    assert_eq!((&result["event_name"], &result["mode"]), (&json!("sale"), &json!("live")));
                    assert_eq!(result["attribution"], json!({"status": "unattributed", "reason": "no_token"}));
                }
                2 => assert_eq!(result["event_id"], known),
                3 => assert_eq!(told(result), with(&told(&all[index - 2]), "status", "DUPLICATE")),
                4 => assert_eq!((&result["event_id"], &result["status"]), (&keyed_event, &json!("ACCEPTED"))),
                5 => {
                    let errors = result["problem"]["errors"].as_array().unwrap();
                    let pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
                    assert_eq!(pointers, ["/idempotency_key", "/event_time", "/custom_data/order_id",
                        "/custom_data/currency"], "{result}");
                }
                11 => assert_eq!(result["problem"]["errors"][0]["pointer"], "/client_row_id", "{result}"),
                _ => assert_eq!(result["problem"]["request_id"], answer.header("x-request-id").unwrap()),
            }
        }
        let accepted = expected.iter().filter(|word| **word == "ACCEPTED").count();
        assert_eq!(service.count_events(), 3 + i64::try_from(accepted).unwrap());

        // Whole once more: what was accepted is replayed or known, what was refused is refused again.
        let again = results(&send(&service.caller, &rows).await);
        for ((first, second), index) in all.iter().zip(&again).zip(0..) {
            let expected = match index % 12 {
                0 | 4 => "replayed",
                1 => "DUPLICATE",
                _ => word(first),
            };
            assert_eq!(word(second), expected, "{second}");
            let first = if index % 12 == 1 { with(&told(first), "status", "DUPLICATE") } else { told(first) };
            assert_eq!(told(second), first);
        }
        assert_eq!(service.count_events(), 3 + i64::try_from(accepted).unwrap());
    }

    async fn rows_in_other_requests_orders_and_names_are_the_same_rows(backend: Backend) {
        let service = Service::start(backend).await;
        before(&service.caller).await;
        let rows: Vec<String> = (0..240).map(|index| row(index).0).collect();
        let first = results(&send(&service.caller, &rows).await);
        let of_order = |results: &[Value]| -> HashMap<String, Value> {
            let known = results.iter().filter(|result| result["event_id"].is_string());
            known.map(|result| (result["order_id"].to_string(), result["event_id"].clone())).collect()
        };
        let events = of_order(&first);
        let count = service.count_events();
        // Others' names, members in another order, numbers in another form, from the end and in parts.
        let mut others: Vec<(usize, String)> = (0..240).rev().filter(|index| !(6..9).contains(&(index % 12))).map(|index| {
            let mut row: Value = serde_json::from_str(&row(index).0).unwrap();
            if let Some(name) = row.get_mut("client_row_id").filter(|name| name.is_string()) {
                *name = json!(format!("other-{index}"));
            }
            let members: Vec<String> = row.as_object().unwrap().iter().rev()
                .map(|(name, value)| format!("{}: {value}", json!(name))).collect();
            (index, format!("{{ {} }}", members.join(" ,\n")))
        }).collect();
        others.rotate_left(77);
        for part in others.chunks(37) {
            let part: (Vec<usize>, Vec<String>) = part.iter().cloned().unzip();
            let again = results(&send(&service.caller, &part.1).await);
            for (index, result) in part.0.into_iter().zip(&again) {
                let expected = match index % 12 {
                    0 | 4 => "replayed",
                    1 => "DUPLICATE",
                    _ => row(index).1,
                };
                assert_eq!(word(result), expected, "{result}");
                let name = if matches!(index % 12, 1 | 11) { Value::Null } else { json!(format!("other-{index}")) };
                assert_eq!(result["client_row_id"], name, "{result}");
            }
            for (order, event) in of_order(&again) {
                assert_eq!(events[&order], event, "{order}");
            }
        }
        assert_eq!(service.count_events(), count);
    }

    async fn a_key_is_one_key_in_single_requests_and_in_rows(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let told_sale = json!({"externalOrderId": "O-1", "amount": "12.50", "currency": "EUR", "orderStatus": "paid",
            "metadata": {"b": 1, "a": "é"}});
        let members = |text: &str| text[1..text.len() - 1].to_owned();
        for (number, event) in [sale("O-2"), told_sale, refund("O-3", "5")].into_iter().enumerate() {
            // A single one, then a row.
            let (single_key, row_key) = (format!("single-{number}"), format!("row-{number}"));
            let single = caller.post_under(&single_key, &event).await;
            let row = with(&keyed(&event, &single_key), "client_row_id", "r");
            let replayed = send(caller, &texts(&[keyed(&event, &format!("\"{single_key}\"")), row])).await;
            assert_eq!(words(&replayed), ["replayed", "replayed"]);
            let spliced = format!(
                r#"[{{"index":0,"idempotent":true,{0}}},{{"index":1,"client_row_id":"r","idempotent":true,{0}}}]"#,
                members(&single.text));
            assert!(replayed.text.contains(&spliced), "{}\n{spliced}", replayed.text);
            // A row, then a single one.
            let mut other = event.clone();
            for pointer in ["/custom_data/order_id", "/custom_data/related_order_id", "/externalOrderId"] {
                if let Some(order) = other.pointer_mut(pointer) {
                    *order = json!(format!("O-other-{number}"));
                }
            }
            let rows = send(caller, &texts(&[keyed(&other, &row_key)])).await;
            assert_eq!(words(&rows), ["ACCEPTED"]);
            let single = caller.post_under(&row_key, &other).await;
            assert_eq!((single.status, single.header("idempotent-replayed")), (202, Some("true")));
            let row = format!(r#"[{{"index":0,"idempotent":false,{}}}]"#, members(&single.text));
            assert!(rows.text.contains(&row), "{}\n{row}", rows.text);
            let mismatch = caller.post_under(&row_key, &sale("O-mismatch")).await;
            mismatch.expect_problem(422, "idempotency_key_mismatch");
            assert!(!mismatch.text.contains("O-other"), "{}", mismatch.text);
        }
        assert_eq!((service.count_events(), count(&service, "order_statuses")), (6, 2));
    }

    async fn rows_of_one_request_share_keys_events_and_fates(backend: Backend) {
        let service = Service::start(backend).await;
        let rows = [
            keyed(&sale("O-1"), "k-1"),
            keyed(&sale("O-1"), "k-1"),
            keyed(&sale("O-2"), "k-1"),
            keyed(&sale("O-1"), "k-2"),
            sale("O-1"),
            with(&sale("O-1"), "event_time", "2026-01-02T03:04:06Z"),
            refund("O-1", "1"),
            refund("O-1", "1"),
            refund("O-1", "2"),
            keyed(&refund("O-1", "1"), "k-3"),
            keyed(&refund("O-1", "1"), "k-3"),
            keyed(&with(&refund("O-1", "2"), "external_id", "R-2"), "k-4"),
        ];
        let answer = send(&service.caller, &texts(&rows)).await;
        assert_eq!(words(&answer), ["ACCEPTED", "replayed", "idempotency_key_mismatch", "DUPLICATE", "DUPLICATE",
            "DUPLICATE", "ACCEPTED", "DUPLICATE", "refund_id_required", "refund_id_required", "refund_id_required",
            "ACCEPTED"]);
        let all = results(&answer);
        assert_eq!(told(&all[1]), told(&all[0]));
        assert_eq!(all[5]["differs"], json!(["/event_time"]));
        let again = words(&send(&service.caller, &texts(&rows)).await);
        assert_eq!(again, ["replayed", "replayed", "idempotency_key_mismatch", "replayed", "DUPLICATE", "DUPLICATE",
            "DUPLICATE", "DUPLICATE", "refund_id_required", "refund_id_required", "refund_id_required", "replayed"]);
        // A refused row leaves nothing under its key.
        let mended = keyed(&with(&refund("O-1", "1"), "external_id", "R-3"), "k-3");
        assert_eq!(words(&send(&service.caller, &texts(&[mended])).await), ["ACCEPTED"]);
        assert_eq!(service.count_events(), 4);
    }

    async fn the_key_of_a_whole_request_is_no_key_of_its_rows(backend: Backend) {
        let service = Service::start(backend).await;
        let rows = texts(&[keyed(&sale("O-1"), "import"), keyed(&sale("O-2"), "k-2"), sale("O-3")]);
        let first = send_under(&service.caller, "import", JSON, &bulk_of(&rows)).await;
        assert_eq!(words(&first), ["idempotency_key_mismatch", "ACCEPTED", "ACCEPTED"]);
        let again = send_under(&service.caller, "import", JSON, &bulk_of(&rows)).await;
        assert_eq!((again.status, again.text), (200, first.text));
        // Under another key it runs, and its rows' own keys hold.
        let other = send_under(&service.caller, "import-2", JSON, &bulk_of(&rows)).await;
        assert_eq!(words(&other), ["idempotency_key_mismatch", "replayed", "DUPLICATE"]);
        assert_eq!(other.header("idempotent-replayed"), None);
        // Its answer is replayed as it was, whatever has become of the rows since.
        let third = send_under(&service.caller, "import-2", JSON, &bulk_of(&rows)).await;
        assert_eq!(third.text, other.text);
        assert_eq!(service.count_events(), 2);
    }

    async fn a_row_may_tell_its_orders_status_and_is_counted_by_its_sale(backend: Backend) {
        let service = Service::start(backend).await;
        let row = |status: &str| json!({"externalOrderId": "O-1", "amount": "5", "currency": "EUR", "orderStatus": status});
        let answer = send(&service.caller, &texts(&[row("pending"), row("paid"), row("paid"), row("refunded"), row("lost")])).await;
        assert_eq!(words(&answer), ["ACCEPTED", "DUPLICATE", "DUPLICATE", "DUPLICATE", "validation_failed"]);
        let statuses: Vec<Value> = results(&answer).iter().map(|result| result["order_status"]["status"].clone()).collect();
        assert_eq!(statuses, [json!("ACCEPTED"), json!("ACCEPTED"), json!("DUPLICATE"), json!("ACCEPTED"), json!(null)]);
        assert_eq!((service.count_events(), count(&service, "order_statuses")), (2, 3));
    }

    async fn what_is_wrong_with_a_row_is_told_whole(backend: Backend) {
        let service = Service::start(backend).await;
        let long = "x".repeat(161);
        let key = "k".repeat(256);
        let cases = [
            (json!({}), vec!["/event_name required"]),
            (json!({"event_name": "lead", "externalOrderId": "O"}), vec!["/externalOrderId conflict"]),
            (json!({"event_name": "status_refund"}), vec!["/event_name unknown_value"]),
            (json!({"client_row_id": "", "idempotency_key": "", "externalOrderId": 1, "amount": "-1", "currency": "XXX"}),
                vec!["/client_row_id invalid_id", "/idempotency_key invalid_key", "/externalOrderId wrong_type",
                    "/amount invalid_amount", "/currency invalid_currency"]),
            (json!({"client_row_id": long, "idempotency_key": key, "event_name": "lead", "external_id": "L"}),
                vec!["/client_row_id invalid_id", "/idempotency_key invalid_key"]),
            (json!({"client_row_id": ["r"], "idempotency_key": 7, "event_name": "lead", "external_id": "L"}),
                vec!["/client_row_id wrong_type", "/idempotency_key wrong_type"]),
            (json!([]), vec![" wrong_type"]),
            (json!(null), vec![" wrong_type"]),
            (json!("row"), vec![" wrong_type"]),
            (json!({"client_row_id": "r", "event_name": "lead", "external_id": "L", "metadata": {"x": "x".repeat(8192)}}),
                vec!["/metadata too_long"]),
        ];
        let mut rows: Vec<Value> = cases.iter().map(|(row, _)| row.clone()).collect();
        rows.push(json!({"client_row_id": null, "idempotency_key": null, "event_name": "lead", "external_id": "L"}));
        let answer = send(&service.caller, &texts(&rows)).await;
        let all = results(&answer);
        for (result, (row, expected)) in all.iter().zip(&cases) {
            let errors = result["problem"]["errors"].as_array().unwrap_or_else(|| panic!("{row} -> {result}"));
            let errors: Vec<String> = errors.iter()
                .map(|error| format!("{} {}", error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
                .collect();
            assert_eq!(errors, *expected, "{row}");
        }
        assert_eq!(word(&all[cases.len()]), "ACCEPTED");
        assert_eq!(service.count_events(), 1);
    }

    async fn rows_that_arrive_in_many_requests_at_once_are_recorded_once(backend: Backend) {
        let service = Service::start(backend).await;
        let second = if backend == Backend::Sqlite { None } else { Some(service.another("").await) };
        for round in 0..3 {
            let rows: Vec<String> = (0..60).map(|number| {
                let event = sale(&format!("O-{round}-{number}"));
                if number % 2 == 0 { event } else { keyed(&event, &format!("k-{round}-{number}")) }.to_string()
            }).collect();
            let calls = (0..8).map(async |call| {
                let instance = second.as_ref().filter(|_| call % 2 == 1).unwrap_or(&service);
                let mut turned = rows.clone();
                turned.rotate_left(7 * call);
                if call % 4 > 1 {
                    turned.reverse();
                }
                let mut results = results(&send(&instance.caller, &turned).await);
                results.sort_by_key(|result| result["order_id"].to_string());
                results
            });
            let answers = futures_util::future::join_all(calls).await;
            for place in 0..60 {
                let words: Vec<&str> = answers.iter().map(|results| word(&results[place])).collect();
                assert_eq!(words.iter().filter(|word| **word == "ACCEPTED").count(), 1, "{words:?}");
                assert!(words.iter().all(|word| matches!(*word, "ACCEPTED" | "DUPLICATE" | "replayed")), "{words:?}");
                assert!(answers.iter().all(|results| results[place]["event_id"] == answers[0][place]["event_id"]));
            }
        }
        assert_eq!(service.count_events(), 180);
    }
}
