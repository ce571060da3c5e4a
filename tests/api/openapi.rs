//! The API's description: that it is whole, that it is true, and that its copy in the repository is it.

use std::collections::{BTreeMap, BTreeSet};

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::{Covered, Form, sign};
use conversiond::http::error::Code;
use conversiond::http::routes;
use serde_json::{Value, json};

use crate::support::caller::{Answer, unix_now};
use crate::support::contract::{self, Contract, errors};
use crate::support::raw::exchange;
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

/// The examples of an object that has some, by name.
fn examples(object: &Value) -> BTreeMap<&str, &Value> {
    let examples = object["examples"].as_object().into_iter().flatten();
    examples.map(|(name, example)| (name.as_str(), &example["value"])).collect()
}

/// The examples of a path's request of this media type.
fn request_examples(path: &str, media_type: &str) -> BTreeMap<&'static str, &'static Value> {
    let content = &Contract::shared().document["paths"][path]["post"]["requestBody"]["content"][media_type];
    let examples = examples(content);
    assert!(!examples.is_empty(), "{path} {media_type}");
    examples
}

/// Every object in the document that has a member, and where it stands.
fn holders<'a>(value: &'a Value, member: &str, pointer: &str, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(members) => {
            if members.contains_key(member) {
                found.push((pointer.to_owned(), value));
            }
            for (name, inner) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                holders(inner, member, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(elements) => {
            for (index, inner) in elements.iter().enumerate() {
                holders(inner, member, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn all_holders(member: &str) -> Vec<(String, &'static Value)> {
    let mut found = Vec::new();
    holders(&Contract::shared().document, member, "", &mut found);
    found
}

#[test]
fn the_committed_description_is_the_services_own() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    // Not assert_eq: nobody reads two whole documents.
    let same = committed == contract::document().text();
    assert!(
        same,
        "openapi.json is not what the code says. Make it anew:  cargo run -- openapi > openapi.json"
    );
}

#[test]
fn it_is_an_openapi_3_1_document_of_valid_schemas() {
    let document = &Contract::shared().document;
    let schema = include_str!("../contract/openapi-3.1.schema.json");
    let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    assert_eq!(errors(&validator, document), Vec::<String>::new());
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(schema["description"].is_string(), "{name} says nothing of itself");
        Contract::shared().of_requests(schema);
    }
    let mut ids = BTreeSet::new();
    for (place, operation) in all_holders("operationId") {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{place}");
        for member in ["summary", "description", "tags", "security"] {
            assert!(!operation[member].is_null(), "{place} has no {member}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_left_over() {
    let contract = Contract::shared();
    let mut used = BTreeSet::new();
    for (_, holder) in all_holders("$ref") {
        contract.resolve(holder);
        used.insert(holder["$ref"].as_str().unwrap().to_owned());
    }
    let elsewhere = ["#/components/responses/method_not_allowed"];
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in contract.document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(
                used.contains(&reference) || elsewhere.contains(&reference.as_str()),
                "{reference} is unused"
            );
        }
    }
    let schemes = contract.document["components"]["securitySchemes"].as_object().unwrap();
    let mut required = BTreeSet::new();
    for (_, operation) in all_holders("operationId") {
        for set in operation["security"].as_array().unwrap() {
            required.extend(set.as_object().unwrap().keys());
        }
    }
    assert_eq!(required, schemes.keys().collect());
}

#[test]
fn every_code_is_described_where_its_status_is() {
    let document = &Contract::shared().document;
    let known = document["components"]["schemas"]["ProblemCode"]["enum"].as_array().unwrap();
    for code in Code::ALL {
        let name = code.as_str();
        assert!(known.contains(&name.into()), "{name}");
        let mut found = 0;
        for response in document["components"]["responses"].as_object().unwrap().values() {
            let content = &response["content"]["application/problem+json"];
            let narrowed = &content["schema"]["allOf"][1]["properties"];
            if !narrowed["code"]["enum"].as_array().unwrap().contains(&name.into()) {
                continue;
            }
            found += 1;
            assert_eq!(narrowed["status"]["enum"], json!([code.status()]), "{name}");
            let text = response["description"].as_str().unwrap();
            assert!(text.contains(&format!("`{name}`: {}", code.title())), "{name}: {text}");
            let example = &content["examples"][name]["value"];
            assert_eq!(
                (&example["code"], &example["status"], &example["retryable"]),
                (&name.into(), &code.status().into(), &code.retryable().into())
            );
        }
        assert!(found > 0, "{name} is no answer of any operation");
    }
}

#[test]
fn every_example_is_of_its_schema() {
    let contract = Contract::shared();
    let mut count = 0;
    for (place, holder) in all_holders("examples") {
        let is_content = holder["schema"].is_object();
        let schema = if is_content { &holder["schema"] } else { holder };
        let values: Vec<&Value> = if is_content {
            examples(holder).into_values().collect()
        } else {
            // A schema's own examples are values, not objects with one.
            holder["examples"].as_array().unwrap().iter().collect()
        };
        assert!(!values.is_empty(), "{place}");
        let is_answer = place.contains("/responses/");
        for value in values {
            let validator =
                if is_answer { contract.of_answers(schema) } else { contract.of_requests(schema) };
            assert_eq!(errors(&validator, value), Vec::<String>::new(), "{place}: {value}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
    let bodies = all_holders("content").into_iter().flat_map(|(place, holder)| {
        holder["content"].as_object().unwrap().values().map(move |content| (place.clone(), content))
    });
    for (place, content) in bodies {
        assert!(!examples(content).is_empty(), "{place} has no example");
    }
    let lines = request_examples("/api/v1/conversions/bulk", "application/x-ndjson");
    let row = contract.of_requests(&json!({ "$ref": "#/components/schemas/BulkRow" }));
    for line in lines["lines"].as_str().unwrap().lines() {
        assert_eq!(errors(&row, &serde_json::from_str(line).unwrap()), Vec::<String>::new(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_and_method_of_the_service_is_described_and_the_reverse() {
    let service = Service::start(Backend::Sqlite).await;
    let paths = Contract::shared().document["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(described, routes::paths().collect());
    for (path, methods) in paths {
        let answer = service.caller.send("DELETE", &path.replace("{topic}", "order-paid"), b"", &[]).await;
        answer.expect_problem(405, "method_not_allowed");
        let allowed: BTreeSet<String> =
            answer.header("allow").unwrap().split(", ").map(str::to_lowercase).collect();
        assert_eq!(allowed, methods.as_object().unwrap().keys().cloned().collect(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_served_to_anybody_and_once_to_those_who_keep_it() {
    let service = Service::start(Backend::Sqlite).await;
    let answer = service.caller.send("GET", "/openapi.json", b"", &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.text, contract::document().text());
    let tag = answer.header("etag").unwrap();
    for (kept, status) in
        [(tag, 304), (&format!("\"x\", W/{tag}"), 304), ("*", 304), ("\"x\"", 200), ("x", 200)]
    {
        let headers = [("If-None-Match".to_owned(), kept.to_owned())];
        let again = service.caller.send("GET", "/openapi.json", b"", &headers).await;
        assert_eq!((again.status, again.header("etag")), (status, Some(tag)), "{kept}");
        assert_eq!(again.text.is_empty(), status == 304);
    }
    let (_, metrics) = service.admin("/metrics").await;
    let counted = r#"conversiond_outcomes_total{endpoint="openapi",status="304",reason="ok"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
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

/// The caller of every test here asserts of each answer that it is described; this one sees to it
/// that there is a problem of each status.
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
