//! The API's description: that it is whole, that it is true, and that its copy in the repository is it.

use std::collections::{BTreeMap, BTreeSet};

use conversiond::http::error::Code;
use conversiond::http::routes;
use serde_json::{Value, json};

use crate::support::contract::{self, Contract, errors};
use crate::support::{Backend, Service};

/// The examples of an object that has some, by name.
fn examples(object: &Value) -> BTreeMap<&str, &Value> {
    let examples = object["examples"].as_object().into_iter().flatten();
    examples.map(|(name, example)| (name.as_str(), &example["value"])).collect()
}

/// The examples of a path's request of this media type.
pub fn request_examples(path: &str, media_type: &str) -> BTreeMap<&'static str, &'static Value> {
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
    assert_eq!(described, routes::paths());
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
