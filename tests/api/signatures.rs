//! Signature headers as callers may write them, and what a signature does not fit (contract 3).

use conversiond::domain::ids::KeyKind;
use conversiond::domain::instant;
use conversiond::domain::signature::Form;
use conversiond::keyring::KeyRequest;
use serde_json::json;

use crate::support::caller::{Answer, unix_now};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service};

const PATH: &str = "/api/v1/conversions";
const BODY: &[u8] = br#"{"event_name":"lead","external_id":"L-1"}"#;

type Headers = Vec<(String, String)>;

fn headers<const N: usize>(headers: [(&str, &str); N]) -> Headers {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A fresh timestamp, and the plain and the bound value of [`BODY`] under it, in hex.
fn values(caller: &Caller) -> (String, String, String) {
    let now = unix_now();
    let value = |form| {
        let headers = caller.headers_at(form, "POST", PATH, BODY, now, "");
        headers[2].1.split_once('=').unwrap().1.to_owned()
    };
    (now.to_string(), value(Form::Plain), value(Form::Bound))
}

async fn post(caller: &Caller, headers: &Headers) -> Answer {
    caller.send("POST", PATH, BODY, headers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_writing_a_right_signature_is_accepted() {
    let service = Service::start(Backend::Sqlite).await;
    let (key, (time, v1, v2)) = (&service.caller.key_id, values(&service.caller));
    let wrong = "0".repeat(64);
    let seven_wrong = format!("{wrong},").repeat(7);
    for signature in [
        v1.clone(),
        format!("v1={v1}"),
        format!("v1={}", v1.to_uppercase()),
        v1.to_uppercase(),
        format!("v2={v2}"),
        format!("v2={}", v2.to_uppercase()),
        format!("v1={v1},v2={v2}"),
        format!("v1={wrong},v1={v1}"),
        format!("{v1},{wrong}"),
        format!("{wrong} , {v1}"),
        format!("v1={wrong},v2={v2}"),
        format!("v2={wrong},v1={v1}"),
        format!("v3=whatever,v1={v1}"),
        format!("v1={v1},v10=,v2a=x"),
        format!("{seven_wrong}{v1}"),
    ] {
        for (timestamp_name, signature_name) in
            [("X-Timestamp", "X-Signature"), ("X-Nim-Timestamp", "X-Nim-Signature")]
        {
            let signed = headers([("X-API-Key", key), (timestamp_name, &time), (signature_name, &signature)]);
            let answer = post(&service.caller, &signed).await;
            assert_eq!(answer.status, 202, "{signature_name}: {signature}: {}", answer.text);
        }
    }
    assert_eq!(service.count_events(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn well_formed_signatures_that_do_not_fit_are_401() {
    let service = Service::start(Backend::Sqlite).await;
    let (key, (time, v1, v2)) = (&service.caller.key_id, values(&service.caller));
    let wrong = "0".repeat(64);
    for signature in [
        wrong.clone(),
        format!("v1={wrong}"),
        format!("v2={wrong}"),
        [wrong.as_str(); 8].join(","),
        format!("v1={v2}"),
        format!("v2={v1}"),
        format!("v3={v1},v1={wrong}"),
    ] {
        let signed = headers([("X-API-Key", key), ("X-Timestamp", &time), ("X-Signature", &signature)]);
        post(&service.caller, &signed).await.expect_problem(401, "unauthorized");
    }
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_signature_headers_are_400() {
    let service = Service::start(Backend::Sqlite).await;
    let (key, (time, v1, _)) = (&service.caller.key_id, values(&service.caller));
    let signed = |time: &str, signature: &str| {
        headers([("X-API-Key", key), ("X-Timestamp", time), ("X-Signature", signature)])
    };
    let nine = [v1.as_str(); 9].join(",");
    let mut rows: Vec<Headers> = [
        "abc",
        "v1=",
        "v2=zz",
        "v3=abc",
        ",",
        &nine,
        &format!("sha256={v1}"),
        &format!("V1={v1}"),
        &format!("{v1},"),
        &format!(",{v1}"),
        &v1[1..],
        &format!("{v1}0"),
        &format!("v1= {v1}"),
        &format!("{} {}", &v1[..32], &v1[32..]),
        &format!("v1={v1};v1={v1}"),
        &v1.replace(|c: char| c.is_ascii_digit(), "g"),
        &format!("é{}", &v1[2..]),
    ]
    .iter()
    .map(|signature| signed(&time, signature))
    .collect();
    for bad in [
        "0",
        "99999999",
        "1764109104000",
        "-1764109104",
        "+1764109104",
        "01764109104",
        "1764109104.0",
        "now",
        "é",
    ] {
        rows.push(signed(bad, &v1));
    }
    // One of each.
    for (name, value) in [("X-API-Key", key.as_str()), ("X-Timestamp", &time), ("X-Signature", &v1)] {
        let mut doubled = signed(&time, &v1);
        doubled.push((name.to_owned(), value.to_owned()));
        rows.push(doubled);
    }
    // One scheme.
    for (name, value) in [
        ("X-Nim-Signature", v1.as_str()),
        ("X-Nim-Timestamp", &time),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &time),
        ("webhook-signature", "v1,AAAA"),
    ] {
        let mut mixed = signed(&time, &v1);
        mixed.push((name.to_owned(), value.to_owned()));
        rows.push(mixed);
    }
    let mut strange_key = signed(&time, &v1);
    strange_key[0].1 = "ak_live_é".to_owned();
    rows.push(strange_key);
    for row in &rows {
        let answer = post(&service.caller, row).await;
        answer.expect_problem(400, "malformed_signature");
    }
    assert_eq!(service.count_events(), 0);
    assert_eq!(post(&service.caller, &signed(&time, &v1)).await.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_standard_webhooks_headers_are_400() {
    let service = Service::start(Backend::Sqlite).await;
    let good = service.caller.headers(Form::StandardWebhooks, "POST", PATH, BODY);
    let signature = good[3].1.clone();
    let encoded = signature.split_once(',').unwrap().1;
    let nine = [signature.as_str(); 9].join(" ");
    let long_id = "i".repeat(256);
    for (place, value) in [
        (1, "msg.1"),
        (1, "msg 1"),
        (1, "é"),
        (1, &long_id),
        (2, "1764109104000"),
        (2, "0"),
        (3, "v1"),
        (3, encoded),
        (3, "v1,"),
        (3, "v1,AAAA"),
        (3, "v1a,AAAA"),
        (3, &nine),
        (3, &format!("{signature},{signature}")),
        (3, &format!("v1={encoded}")),
        (3, &signature.replace(['+', '/'], "_").replace('=', "")),
    ] {
        let mut bad = good.clone();
        bad[place].1 = value.to_owned();
        post(&service.caller, &bad).await.expect_problem(400, "malformed_signature");
    }
    for doubled in 1..4 {
        let mut bad = good.clone();
        bad.push(good[doubled].clone());
        post(&service.caller, &bad).await.expect_problem(400, "malformed_signature");
    }
    assert_eq!(service.count_events(), 0);
    let mut list = good.clone();
    list[3].1 = format!("v1a,AAAA v1,{} {signature}", "A".repeat(43) + "=");
    assert_eq!(post(&service.caller, &list).await.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_or_empty_header_is_401_with_a_challenge() {
    let service = Service::start(Backend::Sqlite).await;
    for form in [Form::Plain, Form::Bound, Form::StandardWebhooks] {
        let signed = service.caller.headers(form, "POST", PATH, BODY);
        for place in 0..signed.len() {
            let mut missing = signed.clone();
            let (name, _) = missing.remove(place);
            let answer = post(&service.caller, &missing).await;
            answer.expect_problem(401, "unauthorized");
            let mut empty = signed.clone();
            empty[place].1.clear();
            let answer = post(&service.caller, &empty).await;
            answer.expect_problem(401, "unauthorized");
            assert!(answer.at("/detail").as_str().unwrap().contains(&name), "{}", answer.text);
        }
    }
    post(&service.caller, &Vec::new()).await.expect_problem(401, "unauthorized");
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_callback_is_told_so_in_every_form() {
    let service = Service::start(Backend::Sqlite).await;
    for form in [Form::Plain, Form::StandardWebhooks] {
        let signed = service.caller.headers(form, "POST", PATH, b"");
        service.caller.send("POST", PATH, b"", &signed).await.expect_problem(400, "malformed_request");
    }
    assert_eq!(service.caller.get(PATH).await.status, 200);
    let signed = service.caller.headers(Form::Bound, "POST", PATH, b"");
    service.caller.send("POST", PATH, b"", &signed).await.expect_problem(400, "malformed_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_requires_v2_takes_nothing_else() {
    let database = Backend::Sqlite.database();
    let mut setup = Setup::new(&database, "");
    let merchant_id = Some(setup.merchant());
    let request = KeyRequest { kind: KeyKind::Live, merchant_id, ip_allow: Vec::new(), require_v2: true };
    let mut caller = setup.key_with(request);
    drop(setup);
    let service = Service::start_with(database, "").await;
    caller.base.clone_from(&service.caller.base);
    for form in [Form::Plain, Form::StandardWebhooks] {
        let signed = caller.headers(form, "POST", PATH, BODY);
        post(&caller, &signed).await.expect_problem(401, "signature_form_not_allowed");
    }
    assert_eq!(service.count_events(), 0);
    let signed = caller.headers(Form::Bound, "POST", PATH, BODY);
    assert_eq!(post(&caller, &signed).await.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_signature_fits_nowhere_else() {
    let service = Service::start(Backend::Sqlite).await;
    let caller = &service.caller;
    let event = "/api/v1/conversions/evt_01kam013kve86btrzkxeedq4gg";
    let list = "/api/v1/conversions?limit=1&order_id=O-1";
    for (signed_for, sent_as) in [
        (("GET", PATH, ""), ("GET", event, "")),
        (("GET", event, ""), ("GET", PATH, "")),
        (("GET", list, ""), ("GET", PATH, "")),
        (("GET", list, ""), ("GET", "/api/v1/conversions?limit=2&order_id=O-1", "")),
        (("GET", list, ""), ("GET", "/api/v1/conversions?order_id=O-1&limit=1", "")),
        (("GET", list, ""), ("GET", "/api/v1/conversions?limit=1&order_id=O%2D1", "")),
        (("GET", PATH, ""), ("GET", "/api/v1/conversions?", "")),
        (("PUT", PATH, ""), ("POST", PATH, "")),
        (("GET", PATH, ""), ("POST", PATH, "")),
        (("POST", PATH, ""), ("POST", "/api/v1/conversions?a=1", "")),
        (("POST", PATH, "key-1"), ("POST", PATH, "key-2")),
        (("POST", PATH, "key-1"), ("POST", PATH, "")),
        (("POST", PATH, ""), ("POST", PATH, "key-1")),
        (("POST", PATH, "key-1"), ("POST", PATH, "\"key-1\"")),
    ] {
        let (method, target, key) = signed_for;
        let body = if sent_as.0 == "GET" { &b""[..] } else { BODY };
        let mut signed = caller.headers_at(Form::Bound, method, target, body, unix_now(), key);
        let (method, target, key) = sent_as;
        if !key.is_empty() {
            signed.push(("Idempotency-Key".to_owned(), key.to_owned()));
        }
        let answer = caller.send(method, target, body, &signed).await;
        answer.expect_problem(401, "unauthorized");
    }
    let mut with_event_id = caller.headers(Form::Bound, "POST", PATH, BODY);
    with_event_id.push(("X-External-Event-Id".to_owned(), "evt-77".to_owned()));
    post(caller, &with_event_id).await.expect_problem(401, "unauthorized");
    let mut later = caller.headers(Form::Bound, "POST", PATH, BODY);
    later[1].1 = (unix_now() + 7).to_string();
    post(caller, &later).await.expect_problem(401, "unauthorized");
    let signed = caller.headers(Form::Bound, "POST", PATH, BODY);
    let other_body = br#"{"event_name":"lead","external_id":"L-2"}"#;
    caller.send("POST", PATH, other_body, &signed).await.expect_problem(401, "unauthorized");
    assert_eq!(service.count_events(), 0);
    let right = caller.post_under("key-1", &json!({"event_name": "lead", "external_id": "L-1"})).await;
    assert_eq!(right.word(), "ACCEPTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timestamp_outside_the_tolerance_is_told_to_the_rightful_signer_alone() {
    let service = Service::start(Backend::Sqlite).await;
    let caller = &service.caller;
    for form in [Form::Plain, Form::Bound, Form::StandardWebhooks] {
        // The margin keeps the test's own duration out of it; refusals.rs has the exact edges.
        for off in [-310, 310, -86_400, 86_400] {
            let sent = unix_now() + off;
            let signed = caller.headers_at(form, "POST", PATH, BODY, sent, "");
            let answer = post(caller, &signed).await;
            answer.expect_problem(401, "timestamp_outside_tolerance");
            let detail = answer.at("/detail").as_str().unwrap().to_owned();
            let instants: Vec<i64> = detail
                .split([' ', ',', ';'])
                .filter_map(|word| instant::parse(word).ok())
                .map(|at| at.timestamp())
                .collect();
            let [said, here] = instants.as_slice() else { panic!("two instants: {detail}") };
            assert_eq!(*said, sent);
            assert!((unix_now() - here).abs() < 60, "{detail}");
            let mut forged = signed.clone();
            let last = forged.len() - 1;
            forged[last].1 = caller.headers_at(form, "POST", PATH, b"{}", sent, "")[last].1.clone();
            post(caller, &forged).await.expect_problem(401, "unauthorized");
        }
        for off in [-290, 290] {
            let signed = caller.headers_at(form, "POST", PATH, BODY, unix_now() + off, "");
            assert_eq!(post(caller, &signed).await.status, 202);
        }
    }
    assert_eq!(service.count_events(), 1);
}
