//! Clicks, as the link shortener tells of them (contract section 5).

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::ids::{KeyKind, MerchantId};
use conversiond::domain::signature::Form;
use conversiond::domain::time::Clock as _;
use conversiond::storage::merchants::Changes;
use serde_json::{Value, json};

use crate::support::caller::{Answer, unix_now};
use crate::support::clock::TestClock;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

pub const CLICKS: &str = "/api/v1/clicks";
const DOMAIN: &str = "0b7d9f2e-5c41-4f0a-9d3e-6a1f2b3c4d5e";
const LINK: &str = "2f5e5a3e-8a53-4a1b-9a8e-2d4f7c1b0a99";

/// A service, and a caller with an operator's key.
pub async fn start(backend: Backend, settings: &str) -> (Service, Caller) {
    start_at(backend, settings, Arc::default()).await
}

/// The same by this clock.
async fn start_at(backend: Backend, settings: &str, clock: Arc<TestClock>) -> (Service, Caller) {
    let database = backend.database();
    let operator = Setup::new(&database, "").key(KeyKind::Operator, None);
    let service = Service::start_at(database, settings, clock).await;
    let operator = Caller { base: service.caller.base.clone(), ..operator };
    (service, operator)
}

/// A click on a link of this merchant.
pub fn click(merchant: MerchantId) -> Value {
    json!({"merchant_id": merchant.to_string(), "domain_id": DOMAIN, "url_id": LINK})
}

/// A click that is to land there.
pub fn click_to(merchant: MerchantId, destination: &str) -> Value {
    let mut click = click(merchant);
    click["destination"] = json!(destination);
    click
}

/// Posts a click, under a key of its own.
pub async fn post(caller: &Caller, body: &Value) -> Answer {
    post_under(caller, &uuid::Uuid::new_v4().to_string(), body).await
}

async fn post_as(caller: &Caller, form: Form, body: &Value) -> Answer {
    let text = body.to_string();
    let headers = caller.headers(form, "POST", CLICKS, text.as_bytes());
    caller.send("POST", CLICKS, text.as_bytes(), &headers).await
}

/// The same under an idempotency key.
pub async fn post_under(caller: &Caller, key: &str, body: &Value) -> Answer {
    caller.post_to(CLICKS, key, &body.to_string(), unix_now()).await
}

/// A member that is a text.
fn text(answer: &Answer, member: &str) -> String {
    answer.json()[member].as_str().unwrap_or_else(|| panic!("no {member}: {}", answer.text)).to_owned()
}

/// A sale that brings this token.
pub fn sale(order: &str, token: &str) -> Value {
    json!({"event_name": "sale", "nim_ct": token,
        "custom_data": {"order_id": order, "value": "1", "currency": "USD"}})
}

on_both_databases! {
    async fn a_click_is_recorded_and_its_token_credits_a_sale_to_it(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let mut body = click_to(service.merchant, "https://shop.example/shoes?colour=red#reviews");
        // In upper case; kept in lower case.
        body["domain_id"] = json!(DOMAIN.to_uppercase());
        let answer = post(&operator, &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let (id, token) = (text(&answer, "click_id"), text(&answer, "nim_ct"));
        let landing = format!("https://shop.example/shoes?colour=red&nim_ct={token}#reviews");
        let expected = json!({"click_id": id, "nim_ct": token, "landing_url": landing, "appended": true});
        assert_eq!(answer.json(), expected);
        let row = format!("clicks WHERE merchant_id = '{}' AND click_id = '{id}' AND domain_id = '{DOMAIN}' \
            AND url_id = '{LINK}' AND key_id = '{}'", service.merchant, operator.key_id);
        assert_eq!((service.count("clicks"), service.count(&row)), (1, 1));
        let sale = service.caller.post(&sale("O-1", &token)).await;
        let clicked_at = service.tokens.verify(&token).unwrap().clicked_at;
        let attribution = json!({"status": "attributed", "click_id": id, "url_id": LINK, "domain_id": DOMAIN,
            "clicked_at": conversiond::domain::instant::format(clicked_at)});
        assert_eq!(sale.at("/attribution"), attribution);
    }

    async fn what_cannot_be_appended_to_is_answered_as_it_was_with_the_reason(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let long = format!("https://shop.example/{}", "a".repeat(2_048));
        let longest = format!("https://shop.example/{}", "é".repeat(8_192 - 21));
        let left_alone = [
            ("", "invalid_url"),
            ("/relative", "invalid_url"),
            ("https://shop.example/\u{1}a b\"", "invalid_url"),
            ("myshop://open?id=1", "unsupported_scheme"),
            ("https://me:pw@shop.example/", "userinfo"),
            ("https://shop.example/?nim_ct=x", "token_present"),
            ("https://shop.example/?a=%2f&X-Amz-Signature=x#é", "signed_query"),
            (&long, "too_long"),
            (&longest, "too_long"),
        ];
        for (destination, reason) in left_alone {
            let answer = post(&operator, &click_to(service.merchant, destination)).await;
            assert_eq!(answer.status, 201, "{destination}: {}", answer.text);
            let expected = json!({"click_id": answer.at("/click_id"), "nim_ct": answer.at("/nim_ct"),
                "landing_url": destination, "appended": false, "reason": reason});
            assert_eq!(answer.json(), expected);
            // It is a click like any other.
            assert!(service.tokens.verify(&text(&answer, "nim_ct")).is_ok());
        }
        assert_eq!(service.count("clicks"), i64::try_from(left_alone.len()).unwrap());
    }

    async fn what_can_be_appended_to_stays_byte_for_byte(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        for (before, after) in [
            ("https://Shop.example/a%2fb?x=%7e&y&", "#part?z"),
            ("https://shop.example/?q=caf%C3%A9+x&y=&", ""),
            ("http://shop.example?", "#"),
            ("https://shöp.example/\\\"ü?é=1&", "#ä"),
        ] {
            let destination = format!("{}{after}", before.strip_suffix(['&', '?']).unwrap());
            let answer = post(&operator, &click_to(service.merchant, &destination)).await;
            let token = text(&answer, "nim_ct");
            assert_eq!(answer.at("/landing_url"), json!(format!("{before}nim_ct={token}{after}")));
            assert_eq!((answer.at("/appended"), answer.at("/reason")), (json!(true), Value::Null));
        }
    }

    async fn signing_parameters_are_the_operators_setting(backend: Backend) {
        let (service, operator) = start(backend, "[landing]\nsigning_parameters = [\"seal\"]\n").await;
        let reason = async |query: &str| {
            let destination = format!("https://shop.example/?{query}");
            post(&operator, &click_to(service.merchant, &destination)).await.at("/reason")
        };
        assert_eq!((reason("seal=1").await, reason("sig=1").await), (json!("signed_query"), Value::Null));
    }

    async fn a_click_of_before_keeps_its_time_to_the_millisecond(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let mut body = click(service.merchant);
        body["clicked_at"] = json!("2026-01-02T03:04:05.678999+02:00");
        let answer = post(&operator, &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!((answer.at("/appended"), answer.at("/landing_url")), (json!(false), Value::Null));
        let token = service.tokens.verify(&text(&answer, "nim_ct")).unwrap();
        let clicked_at: DateTime<Utc> = "2026-01-02T01:04:05.678Z".parse().unwrap();
        assert_eq!((token.clicked_at, token.click_id.clicked_at()), (clicked_at, Some(clicked_at)));
        let same = "clicks WHERE clicked_at >= '2026-01-02 01:04:05.678' AND clicked_at < '2026-01-02 01:04:05.679' \
            AND recorded_at > '2026-02-01'";
        assert_eq!(service.count(same), 1);
        // The first that there can be, and one that a clock which is fast tells of.
        for at in ["1970-01-01T00:00:00Z", &(service.clock.now() + TimeDelta::minutes(4)).to_rfc3339()] {
            body["clicked_at"] = json!(at);
            assert_eq!(post(&operator, &body).await.status, 201, "{at}");
        }
    }

    async fn every_error_of_a_click_is_told_at_once_and_nothing_is_recorded(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let merchant = service.merchant.to_string();
        post(&operator, &json!({})).await.expect_errors(&[
            "/domain_id required", "/merchant_id required", "/url_id required"]);
        post(&operator, &json!({"merchant_id": 1, "domain_id": null, "url_id": {}, "destination": [],
            "clicked_at": 1_768_471_200})).await.expect_errors(&["/clicked_at wrong_type", "/destination wrong_type",
            "/domain_id required", "/merchant_id wrong_type", "/url_id wrong_type"]);
        let nobody = "mer_01kam013kve86btrzkxeedq4gg";
        let bad = json!({"merchant_id": nobody, "domain_id": "x", "url_id": LINK.replace('-', ""),
            "destination": "a".repeat(8_193), "clicked_at": "2100-01-01T00:00:00Z"});
        post(&operator, &bad).await.expect_errors(&["/clicked_at in_the_future", "/destination too_long",
            "/domain_id invalid_id", "/merchant_id unknown_merchant", "/url_id invalid_id"]);
        for (member, value, error) in [
            ("merchant_id", json!(merchant.to_uppercase()), "/merchant_id invalid_id"),
            ("merchant_id", json!(merchant.replace("mer_", "evt_")), "/merchant_id invalid_id"),
            ("url_id", json!(format!("{{{LINK}}}")), "/url_id invalid_id"),
            ("clicked_at", json!("1969-12-31T23:59:59.999999Z"), "/clicked_at too_early"),
            ("clicked_at", json!("2026-01-02T03:04:05"), "/clicked_at invalid_instant"),
        ] {
            let mut body = click(service.merchant);
            body[member] = value;
            post(&operator, &body).await.expect_errors(&[error]);
        }
        post(&operator, &json!([])).await.expect_errors(&[" wrong_type"]);
        let twice = format!(r#"{{"merchant_id":"{merchant}","merchant_id":"{merchant}"}}"#);
        operator.post_to(CLICKS, "k", &twice, unix_now()).await.expect_problem(400, "malformed_json");
        assert_eq!((service.count("clicks"), service.count("idempotency_keys")), (0, 0));
    }

    async fn only_an_operators_key_signs_a_click_and_only_in_the_bound_form(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let body = click(service.merchant);
        assert_eq!(post(&operator, &body).await.status, 201);
        for form in [Form::Plain, Form::StandardWebhooks] {
            post_as(&operator, form, &body).await.expect_problem(401, "signature_form_not_allowed");
        }
        post_as(&operator, Form::Bound, &body).await.expect_problem(400, "idempotency_key_malformed");
        let forger = Caller { secret: service.caller.secret.clone(), ..operator.clone() };
        let stranger = Caller { key_id: "ak_op_000000000000000000000000".to_owned(), ..operator.clone() };
        for form in [Form::Bound, Form::Plain, Form::StandardWebhooks] {
            post_as(&forger, form, &body).await.expect_problem(401, "unauthorized");
            post_as(&stranger, form, &body).await.expect_problem(401, "unauthorized");
        }
        post_as(&service.caller, Form::Bound, &body).await.expect_problem(403, "forbidden");
        operator.send("POST", CLICKS, b"{}", &[]).await.expect_problem(401, "unauthorized");
        // Whose key it is comes before what is in the body.
        post(&service.caller, &json!({})).await.expect_problem(403, "forbidden");
        let bound = operator.headers(Form::Bound, "POST", CLICKS, b"");
        operator.send("POST", CLICKS, b"", &bound).await.expect_problem(400, "malformed_request");
        let mut text = operator.headers(Form::Bound, "POST", CLICKS, b"{}");
        text.push(("Content-Type".to_owned(), "text/plain".to_owned()));
        operator.send("POST", CLICKS, b"{}", &text).await.expect_problem(415, "unsupported_media_type");
        assert_eq!(service.count("clicks"), 1);
    }

    async fn an_operator_has_no_rate_limit_but_its_peers_failures_count(backend: Backend) {
        let settings = "[plans.enterprise]\nrate_per_s = 1\nburst = 1\n[peer]\nfailures_per_s = 1\nburst = 2\n";
        // Time stands still, so that no bucket fills again.
        let (service, operator) = start_at(backend, settings, Arc::new(TestClock::standing())).await;
        for _ in 0..5 {
            let answer = post(&operator, &click(service.merchant)).await;
            assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (201, None), "{}", answer.text);
        }
        // What is refused after the proof is no failure of the peer's.
        for _ in 0..3 {
            post(&operator, &json!({})).await.expect_problem(422, "validation_failed");
            post(&service.caller, &json!({})).await.expect_problem(403, "forbidden");
        }
        for code in ["unauthorized", "unauthorized", "rate_limited"] {
            let status = if code == "rate_limited" { 429 } else { 401 };
            operator.send("POST", CLICKS, b"{}", &[]).await.expect_problem(status, code);
        }
    }

    async fn a_suspended_merchants_and_a_keyless_merchants_clicks_are_recorded(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let mut setup = service.setup();
        let keyless = setup.merchant();
        // Nobody's yet: the next refresh brings it.
        eventually("the merchant is known", async || post(&operator, &click(keyless)).await.status == 201).await;
        setup.change(service.merchant, &Changes { suspended: Some(true), ..Changes::default() });
        eventually("it is suspended", async || service.caller.get("/api/v1/conversions").await.status == 401).await;
        let answer = post(&operator, &click(service.merchant)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let of = |merchant| format!("clicks WHERE merchant_id = '{merchant}'");
        assert_eq!((service.count(&of(service.merchant)), service.count(&of(keyless))), (1, 1));
    }

    async fn a_click_is_journaled_for_the_operator_and_not_for_the_merchant(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let body = click(service.merchant);
        for status in [201, 201] {
            assert_eq!(post_under(&operator, "k", &body).await.status, status);
        }
        assert_eq!(post_under(&operator, "k", &click_to(service.merchant, "x")).await.status, 422);
        assert_eq!(post(&operator, &json!({})).await.status, 422);
        assert_eq!(post(&service.caller, &body).await.status, 403);
        let lines = service.journal(5).await;
        let line = |reason: &str| lines.iter().find(|line| line.reason == reason).unwrap();
        for (reason, status, merchant) in [
            ("accepted", 201, Some(service.merchant)),
            ("replayed", 201, Some(service.merchant)),
            ("idempotency_key_mismatch", 422, Some(service.merchant)),
            // Whose it would be could not be read.
            ("validation_failed", 422, None),
        ] {
            let line = line(reason);
            assert_eq!((line.endpoint.as_str(), line.status), ("clicks", status), "{reason}");
            assert_eq!((line.merchant, line.mode, line.event), (merchant, None, None), "{reason}");
            assert_eq!(line.key_id.as_deref(), Some(operator.key_id.as_str()), "{reason}");
            assert_eq!((line.peer.as_deref(), line.order.as_deref()), (Some("127.0.0.1"), None), "{reason}");
        }
        let row = format!("clicks WHERE attempt_id = '{}'", line("accepted").place.attempt);
        assert_eq!(service.count(&row), 1);
        // The merchant's own mistake is all that the merchant sees.
        let listed = service.caller.get("/api/v1/attempts").await;
        let listed = listed.at("/data");
        let reasons: Vec<&Value> = listed.as_array().unwrap().iter().map(|line| &line["reason"]).collect();
        assert_eq!(reasons, ["forbidden"]);
        assert_eq!(service.figure("conversiond_outcomes_total", &["\"clicks\""]).await, 5);
    }

    async fn a_click_asks_the_database_nothing_before_it_is_written(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let mut setup = service.setup();
        for table in ["merchants", "api_keys", "key_secrets", "token_keys", "events"] {
            setup.execute(&format!("ALTER TABLE {table} RENAME TO hidden_{table}"));
        }
        let answer = post(&operator, &click(service.merchant)).await;
        assert_eq!((answer.status, service.count("clicks")), (201, 1), "{}", answer.text);
    }

    async fn a_store_that_cannot_answer_is_503_and_leaves_nothing(backend: Backend) {
        let (service, operator) = start(backend, "").await;
        let body = click(service.merchant);
        service.setup().execute("ALTER TABLE clicks RENAME TO hidden");
        post_under(&operator, "k", &body).await.expect_problem(503, "storage_unavailable");
        let lines = service.journal(1).await;
        assert_eq!((lines[0].merchant, lines[0].mode, lines[0].status), (Some(service.merchant), None, 503));
        service.setup().execute("ALTER TABLE hidden RENAME TO clicks");
        assert_eq!(service.count("idempotency_keys"), 0);
        eventually("the store is back", async || post_under(&operator, "k", &body).await.status == 201).await;
        assert_eq!(service.count("clicks"), 1);
    }
}
