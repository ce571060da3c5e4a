//! Which form of signature each endpoint takes, over all endpoints, forms and bodies (contract section 3), and
//! what a captured callback can be turned into: nothing but a repeat of itself.

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use conversiond::http::routes::{ENDPOINTS, Endpoint, Signed};
use conversiond::keyring::KeyRequest;
use conversiond::storage::merchants::Changes;
use serde_json::{Value, json};

use crate::support::caller::Answer;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const FORMS: [Form; 3] = [Form::Plain, Form::StandardWebhooks, Form::Bound];
const CALLBACK: &[u8] =
    br#"{"event_name":"sale","custom_data":{"order_id":"CAPTURED","value":"1.00","currency":"USD"}}"#;

/// A path of the endpoint, with the query that it cannot do without.
fn target(endpoint: &Endpoint) -> String {
    let path = endpoint.path.replace("{event_id}", "evt_01k0000000e9rsm1k0000000000");
    let path = path.replace("{order_id}", "CAPTURED").replace("{topic}", "order-created");
    let query = match endpoint.name {
        "report" => "?group_by=day&from=2026-01-01&to=2026-02-01",
        _ => "",
    };
    format!("{path}{query}")
}

/// Whether the signature was taken, whatever became of the request afterwards.
fn was_taken(answer: &Answer) -> bool {
    !(answer.status == 401
        || answer.word() == "malformed_request" && answer.text.contains("A GET has no body"))
}

async fn send(caller: &Caller, form: Form, endpoint: &Endpoint, body: &[u8]) -> Answer {
    let target = target(endpoint);
    let mut headers = caller.headers(form, endpoint.method, &target, body);
    if endpoint.path.starts_with("/v1/webhooks") || endpoint.path.contains("/webhooks/") {
        // Not under the plain form, and signed as empty by the bound one: so it is left to the others.
        if form != Form::Bound {
            headers.push(("X-External-Event-Id".to_owned(), format!("d-{form:?}")));
        }
    }
    caller.send(endpoint.method, &target, body, &headers).await
}

/// Signed in this form over a callback's body, as its owner would send it to the conversions.
fn captured(caller: &Caller, form: Form) -> Vec<(String, String)> {
    caller.headers(form, "POST", "/api/v1/conversions", CALLBACK)
}

on_both_databases! {
    async fn every_endpoint_takes_the_forms_of_its_row_and_no_get_takes_a_body(backend: Backend) {
        let database = backend.database();
        let operator = Setup::new(&database, "").key(KeyKind::Operator, None);
        let service = Service::start_with(database, "").await;
        let operator = Caller { base: service.caller.base.clone(), ..operator };
        for endpoint in ENDPOINTS {
            let callers: &[&Caller] = match endpoint.signed {
                Signed::ByOperator => &[&operator, &service.caller],
                _ => &[&service.caller],
            };
            for caller in callers {
                for form in FORMS {
                    for body in [b"".as_slice(), CALLBACK, b"{}"] {
                        let answer = send(caller, form, endpoint, body).await;
                        let context = format!("{endpoint:?} {form:?} {}: {}", body.len(), answer.text);
                        if endpoint.method == "GET" && !body.is_empty() {
                            answer.expect_problem(400, "malformed_request");
                            continue;
                        }
                        if endpoint.signed == Signed::No {
                            assert_eq!(answer.status, 200, "{context}");
                            continue;
                        }
                        let taken = form == Form::Bound || endpoint.signed == Signed::AnyForm;
                        assert_eq!(was_taken(&answer), taken, "{context}");
                        if !taken {
                            answer.expect_problem(401, "signature_form_not_allowed");
                        }
                    }
                }
            }
        }
    }

    async fn a_captured_callback_reads_nothing_and_reconciles_nothing(backend: Backend) {
        let service = Service::start(backend).await;
        for order in 0..5 {
            let sale = json!({"externalOrderId": format!("SECRET-{order}"), "amount": "5", "currency": "EUR"});
            assert_eq!(service.caller.post(&sale).await.word(), "ACCEPTED");
        }
        for form in [Form::Plain, Form::StandardWebhooks] {
            for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.signed != Signed::AnyForm) {
                let mut headers = captured(&service.caller, form);
                for media_type in ["application/json", "application/x-ndjson", "text/csv"] {
                    headers.retain(|(name, _)| name != "Content-Type");
                    headers.push(("Content-Type".to_owned(), media_type.to_owned()));
                    let mut target = target(endpoint);
                    if endpoint.name == "reconciliations" {
                        target.push_str("?from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z");
                    }
                    let answer = service.caller.send(endpoint.method, &target, CALLBACK, &headers).await;
                    assert!(matches!(answer.status, 400 | 401), "{endpoint:?} {form:?}: {}", answer.text);
                    assert!(!answer.text.contains("SECRET"), "{endpoint:?} {form:?}: {}", answer.text);
                }
            }
        }
    }

    async fn forms_can_be_switched_off_for_all_for_a_merchant_and_for_a_key(backend: Backend) {
        let settings = "[signature]\nforms = [\"v2\", \"standard-webhooks\"]\n";
        let service = Service::start_with(backend.database(), settings).await;
        let endpoint = Endpoint::of("POST", "/api/v1/conversions").unwrap();
        let taken = async |caller: &Caller| {
            let mut taken = Vec::new();
            for form in FORMS {
                taken.push(send(caller, form, endpoint, CALLBACK).await.status == 202);
            }
            taken
        };
        assert_eq!(taken(&service.caller).await, [false, true, true]);
        let strict = KeyRequest {
            kind: KeyKind::Live,
            merchant_id: Some(service.merchant),
            ip_allow: Vec::new(),
            require_v2: true,
        };
        let strict = service.setup().key_with(strict);
        eventually("the key is known", async || taken(&strict).await == [false, false, true]).await;
        assert_eq!(taken(&service.caller).await, [false, true, true]);
        service.setup().change(service.merchant, &Changes { require_v2: Some(true), ..Changes::default() });
        eventually("the merchant's keys need v2", async || {
            taken(&service.caller).await == [false, false, true]
        })
        .await;
    }

    async fn a_captured_request_takes_no_key_that_its_merchant_is_yet_to_use(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let order = |order: &str| json!({"externalOrderId": order, "amount": "5", "currency": "EUR"});
        let with = |headers: &[(String, String)], name: &str, value: &str| {
            [headers, &[(name.to_owned(), value.to_owned())]].concat()
        };
        for (form, name) in [(Form::Plain, "plain"), (Form::StandardWebhooks, "webhooks")] {
            let body = order(&format!("CAP-{name}")).to_string();
            let headers = caller.headers(form, "POST", "/api/v1/conversions", body.as_bytes());
            let post = async |headers: &[(String, String)], path: &str| {
                caller.send("POST", path, body.as_bytes(), headers).await
            };
            assert_eq!(post(&headers, "/api/v1/conversions").await.word(), "ACCEPTED");
            let (key, row_key) = (format!("ORD-{name}"), format!("ROW-{name}"));
            for key in [&key, &row_key] {
                let squatting = with(&headers, "Idempotency-Key", key);
                assert_eq!(post(&squatting, "/api/v1/conversions").await.word(), "DUPLICATE");
                let squatting = with(&headers, "X-External-Event-Id", key);
                // A `webhook-id` is under the signature, and stands for the first request.
                let answer = post(&squatting, "/api/v1/webhooks/order-created").await;
                let refused = answer.word() == "idempotency_key_mismatch" && form == Form::StandardWebhooks;
                assert!(refused || answer.word() == "DUPLICATE", "{}", answer.text);
            }
            // The merchant's own requests run under the same keys and delivery ids.
            let own = caller.post_under(&key, &order(&key)).await;
            assert_eq!(own.word(), "ACCEPTED", "{}", own.text);
            let mut row = order(&row_key);
            row["idempotency_key"] = json!(row_key);
            let rows = json!({"rows": [row]}).to_string();
            let bulk = caller.post_to("/api/v1/conversions/bulk", &format!("B-{name}"), &rows, now()).await;
            assert_eq!(bulk.at("/results/0/status"), "ACCEPTED", "{}", bulk.text);
            let text = order(&format!("HOOK-{name}")).to_string();
            let own = caller.headers(Form::Plain, "POST", "/api/v1/webhooks/order-created", text.as_bytes());
            let own = with(&own, "X-External-Event-Id", &key);
            let own = caller.send("POST", "/api/v1/webhooks/order-created", text.as_bytes(), &own).await;
            assert_eq!(own.word(), "ACCEPTED", "{}", own.text);
            // What was new stays: the same delivery id with another body is told.
            let again = with(&headers, "X-External-Event-Id", &key);
            let again = post(&again, "/api/v1/webhooks/order-created").await;
            again.expect_problem(422, match form {
                Form::StandardWebhooks => "idempotency_key_mismatch",
                _ => "external_event_id_reused",
            });
        }
    }

    async fn a_bulk_request_sent_as_another_media_type_leaves_its_key_to_the_rightful_one(backend: Backend) {
        let service = Service::start(backend).await;
        let caller = &service.caller;
        let sale = |order: &str| json!({"externalOrderId": order, "amount": "5", "currency": "EUR"});
        let body = json!({"rows": [sale("A"), sale("B")]}).to_string();
        let path = "/api/v1/conversions/bulk";
        let mut headers = caller.headers_at(Form::Bound, "POST", path, body.as_bytes(), now(), "batch");
        headers.push(("Idempotency-Key".to_owned(), "batch".to_owned()));
        for media_type in ["application/x-ndjson", "application/json", "application/json"] {
            headers.retain(|(name, _)| name != "Content-Type");
            headers.push(("Content-Type".to_owned(), media_type.to_owned()));
            let answer = caller.send("POST", path, body.as_bytes(), &headers).await;
            let rejected = media_type == "application/x-ndjson";
            assert_eq!(answer.at("/summary/rejected"), json!(u8::from(rejected)), "{}", answer.text);
            assert_eq!(answer.at("/summary/accepted"), json!(if rejected { 0 } else { 2 }), "{}", answer.text);
        }
        // Accepted, it stands for this media type alone.
        headers.retain(|(name, _)| name != "Content-Type");
        headers.push(("Content-Type".to_owned(), "application/x-ndjson".to_owned()));
        let other = caller.send("POST", path, body.as_bytes(), &headers).await;
        other.expect_problem(422, "idempotency_key_mismatch");
    }

    async fn a_bulk_request_of_rejected_rows_alone_stays_under_no_key_and_can_be_mended(backend: Backend) {
        let service = Service::start(backend).await;
        let path = "/api/v1/conversions/bulk";
        let rows = |amount: &str| {
            json!({"rows": [{"externalOrderId": "A", "amount": amount, "currency": "EUR"}]}).to_string()
        };
        let refused = async || service.caller.post_to(path, "k", &rows("wrong"), now()).await;
        let answers = futures_util::future::join_all((0..6).map(|_| refused())).await;
        for answer in answers {
            assert_eq!((answer.at("/summary/rejected"), answer.is_replayed()), (json!(1), false), "{}", answer.text);
            let problem: Value = answer.at("/results/0/problem/code");
            assert_eq!(problem, "validation_failed");
        }
        assert_eq!(service.count("idempotency_keys"), 0);
        let mended = service.caller.post_to(path, "k", &rows("5"), now()).await;
        assert_eq!(mended.at("/summary/accepted"), json!(1), "{}", mended.text);
        assert!(service.caller.post_to(path, "k", &rows("5"), now()).await.is_replayed());
    }

    async fn a_sale_that_names_a_status_means_the_same_at_every_endpoint(backend: Backend) {
        let service = Service::start(backend).await;
        // A `status` that the conversions did not read was a refund for the one who sent the body elsewhere.
        let sale = json!({"externalOrderId": "O", "amount": "5", "currency": "EUR", "status": "Canceled"});
        let answer = service.caller.post(&sale).await;
        assert_eq!((answer.word(), answer.at("/order_status/status")), ("ACCEPTED".to_owned(), json!("ACCEPTED")));
        assert_eq!(service.caller.get("/api/v1/orders/O").await.at("/state"), "cancelled");
        let both = json!({"externalOrderId": "P", "amount": "5", "currency": "EUR", "status": "refunded",
            "orderStatus": "paid"});
        service.caller.post(&both).await.expect_errors(&["/status conflict"]);
        assert_eq!(service.caller.get("/api/v1/orders/P").await.status, 404);
    }
}

fn now() -> i64 {
    crate::support::caller::unix_now()
}
