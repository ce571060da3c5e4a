//! A real nginx with `config/gateway/nginx.conf` in front of the real service. Both databases say
//! the same here: SQLite stands for them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may fail loudly"
)]

#[allow(unused_imports, unused_macros, reason = "each test binary uses its part of the harness")]
#[path = "support/mod.rs"]
mod support;

#[path = "gateway/bounds.rs"]
mod bounds;
#[path = "gateway/log.rs"]
mod log;
#[path = "gateway/nginx.rs"]
mod nginx;
#[path = "gateway/shipped.rs"]
mod shipped;
#[path = "gateway/upstream.rs"]
mod upstream;

use std::net::SocketAddr;

use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use conversiond::keyring::KeyRequest;
use nginx::Gateway;
use serde_json::{Value, json};
use support::caller::Answer;
use support::raw::{RawConnection, request};
use support::{Backend, Caller, Service, eventually};

const TARGET: &str = "/api/v1/conversions";
const TRUSTING: &str = "[server]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";

fn sale(order: &str) -> Value {
    json!({"event_name": "sale", "custom_data": {"order_id": order, "value": "129.90", "currency": "USD"}})
}

/// A service, the gateway before it, and the merchant's caller that goes through the gateway.
async fn behind_gateway(settings: &str) -> Option<(Service, Gateway, Caller)> {
    let service = Service::start_with(Backend::Sqlite.database(), settings).await;
    let gateway = Gateway::start(service.api)?;
    let mut caller = service.caller.clone();
    caller.base = gateway.base();
    Some((service, gateway, caller))
}

/// A request under the same id to the gateway and to the service itself: status, type and body.
async fn both(through: &Caller, direct: &Caller, body: &[u8], more: &[(&str, &str)]) -> [Answer; 2] {
    let mut headers = direct.headers(Form::Plain, "POST", TARGET, body);
    headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    headers.push(("X-Request-ID".to_owned(), "the-same".to_owned()));
    [through.send("POST", TARGET, body, &headers).await, direct.send("POST", TARGET, body, &headers).await]
}

/// A request with exactly this target, head and body.
async fn raw(
    to: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Answer {
    let mut connection = RawConnection::open(to).await;
    connection.send(&request(method, target, headers, body)).await;
    connection.answer().await
}

/// A body in chunks of 1,000 bytes.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut chunks = Vec::new();
    for chunk in body.chunks(1_000) {
        chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_signed_in_every_form_pass_and_are_recorded_once() {
    let Some((service, gateway, caller)) = behind_gateway("").await else { return };
    for (form, order) in
        [(Form::Plain, "ORD-1"), (Form::Bound, "ORD-2"), (Form::StandardWebhooks, "Ünïcode ☃ \\u00e9")]
    {
        let body = sale(order).to_string();
        let mut ids = Vec::new();
        for expected in ["ACCEPTED", "DUPLICATE"] {
            let headers = caller.headers(form, "POST", TARGET, body.as_bytes());
            let answer = caller.send("POST", TARGET, body.as_bytes(), &headers).await;
            assert_eq!((answer.status, answer.word().as_str()), (202, expected), "{form:?}: {}", answer.text);
            ids.push(answer.at("/event_id"));
        }
        assert_eq!(ids[0], ids[1]);
        let read = caller.get(&format!("{TARGET}/{}", ids[0].as_str().unwrap())).await;
        assert_eq!((read.status, read.at("/order_id")), (200, json!(order)), "{}", read.text);
    }
    assert_eq!(service.count_events(), 3);
    // The aliases of the plain form, and what the bound form binds besides.
    let body = sale("ORD-4").to_string();
    let headers = caller.headers(Form::Plain, "POST", TARGET, body.as_bytes());
    let aliases: Vec<(String, String)> = headers
        .into_iter()
        .map(|(n, v)| (n.replace("X-T", "X-Nim-T").replace("X-S", "X-Nim-S"), v))
        .collect();
    assert_eq!(caller.send("POST", TARGET, body.as_bytes(), &aliases).await.word(), "ACCEPTED");
    assert_eq!(caller.post_under("a-key", &sale("ORD-5")).await.word(), "ACCEPTED");
    gateway.access_log(11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oddly_encoded_target_arrives_byte_for_byte_so_that_its_signature_holds() {
    let Some((service, gateway, caller)) = behind_gateway("").await else { return };
    let order = "a/b c+d%&=ü?#\"'~";
    let sent = caller.post(&sale(order)).await;
    assert_eq!(sent.word(), "ACCEPTED", "{}", sent.text);
    let id = sent.at("/event_id").as_str().unwrap().to_owned();
    for query in [
        "order_id=a%2Fb%20c%2Bd%25%26%3D%C3%BC%3F%23%22%27%7E",
        "order_id=a%2fb+c%2bd%25%26%3d%c3%bc%3f%23%22%27~",
        "order_id=%61/b%20c%2Bd%25%26=%C3%BC?%23%22'%7e&limit=%31",
        "&&limit=1&&order_id=a%2Fb%20c%2Bd%25%26%3D%C3%BC%3F%23%22%27%7E&",
    ] {
        let target = format!("{TARGET}?{query}");
        let headers = caller.headers(Form::Bound, "GET", &target, b"");
        let answer = raw(gateway.address, "GET", &target, &headers, b"").await;
        assert_eq!(
            (answer.status, answer.json()["data"][0]["event_id"].as_str()),
            (200, Some(&*id)),
            "{target}"
        );
    }
    // The path, too: encoded it is another text, and the service judges what was signed.
    for target in ["/api/v1/%63onversions?limit=1", "/api//v1/conversions", "/api/v1/./conversions"] {
        let headers = caller.headers(Form::Bound, "GET", target, b"");
        let through = raw(gateway.address, "GET", target, &headers, b"").await;
        let direct = raw(service.api, "GET", target, &headers, b"").await;
        assert_eq!(
            (through.status, &through.json()["code"]),
            (direct.status, &direct.json()["code"]),
            "{target}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_callback_arrives_with_the_length_that_the_service_insists_on() {
    let Some((service, gateway, caller)) = behind_gateway("").await else { return };
    let mut body = sale("ORD-1");
    body["note"] = "x".repeat(40_000).into();
    let body = body.to_string();
    let mut headers = caller.headers(Form::Bound, "POST", TARGET, body.as_bytes());
    headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
    let answer = raw(gateway.address, "POST", TARGET, &headers, &chunked(body.as_bytes())).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("ACCEPTED")));
    assert_eq!(service.count_events(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowlist_sees_the_clients_real_address_and_never_what_the_client_says_of_itself() {
    let Some((service, gateway, _)) = behind_gateway(TRUSTING).await else { return };
    let mut setup = service.setup();
    let allowed_from = |network: &str| KeyRequest {
        kind: KeyKind::Live,
        merchant_id: Some(service.merchant),
        ip_allow: vec![network.parse().unwrap()],
        require_v2: false,
    };
    let mut from = |network: &str, local: [u8; 4]| {
        let mut caller = setup.key_with(allowed_from(network));
        caller.base = gateway.base();
        caller.http =
            reqwest::Client::builder().local_address(std::net::IpAddr::from(local)).build().unwrap();
        caller
    };
    let rightful = from("127.0.0.2/32", [127, 0, 0, 2]);
    eventually("the new key is known", async || rightful.post(&sale("ORD-1")).await.status == 202).await;
    let elsewhere = from("127.0.0.2/32", [127, 0, 0, 3]);
    let claimed = from("10.9.9.9/32", [127, 0, 0, 2]);
    let proxy = from("127.0.0.1/32", [127, 0, 0, 2]);
    // One on the proxy's own machine, whose address would be stepped over.
    let neighbour = from("127.0.0.2/32", [127, 0, 0, 1]);
    for caller in [&elsewhere, &claimed, &proxy, &neighbour] {
        let refused = async || caller.post(&sale("ORD-2")).await.word() == "ip_not_allowed";
        eventually("the new key is known", refused).await;
    }
    let body = sale("ORD-3").to_string();
    for name in [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X_Forwarded_For",
        "Forwarded",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Cluster-Client-IP",
        "X-Forwarded",
    ] {
        for (caller, value) in [
            (&elsewhere, "127.0.0.2"),
            (&elsewhere, "127.0.0.2, 127.0.0.1"),
            (&claimed, "10.9.9.9"),
            (&claimed, "for=10.9.9.9"),
            (&proxy, "127.0.0.1"),
            (&neighbour, "127.0.0.2"),
        ] {
            let mut headers = caller.headers(Form::Plain, "POST", TARGET, body.as_bytes());
            headers.push((name.to_owned(), value.to_owned()));
            let answer = caller.send("POST", TARGET, body.as_bytes(), &headers).await;
            answer.expect_problem(401, "ip_not_allowed");
        }
        // And a rightful caller cannot be talked out of it.
        let mut headers = rightful.headers(Form::Plain, "POST", TARGET, body.as_bytes());
        headers.push((name.to_owned(), "192.0.2.1".to_owned()));
        let answer = rightful.send("POST", TARGET, body.as_bytes(), &headers).await;
        assert_eq!(answer.status, 202, "{name}: {}", answer.text);
    }
    assert_eq!(service.count_events(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_services_refusals_pass_unchanged() {
    let Some((service, _gateway, caller)) = behind_gateway("").await else { return };
    let large = json!({"event_name": "sale", "metadata": {"a": "x".repeat(70_000)}}).to_string();
    let invalid =
        json!({"event_name": "sale", "custom_data": {"value": "1.234", "currency": "USD"}}).to_string();
    let plain = [("Content-Type", "text/plain")];
    let encoded = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    for (body, more, status, code) in [
        (large.as_bytes(), &[][..], 413, "body_too_large"),
        (invalid.as_bytes(), &[], 422, "validation_failed"),
        (b"{", &[], 400, "malformed_json"),
        (b"{}", &plain[..], 415, "unsupported_media_type"),
        (b"{}", &encoded[..], 415, "unsupported_media_type"),
    ] {
        let [through, direct] = both(&caller, &service.caller, body, more).await;
        through.expect_problem(status, code);
        assert_eq!(through.text, direct.text);
        for header in ["content-type", "x-request-id", "content-length"] {
            assert_eq!(through.header(header), direct.header(header), "{header} of {code}");
        }
    }
    // A head over the service's limit is refused by the service, too; so is a wrong signature.
    let long = "x".repeat(17_000);
    let [through, direct] = both(&caller, &service.caller, b"{}", &[("X-Long", &long)]).await;
    through.expect_problem(431, "headers_too_large");
    assert_eq!(through.text, direct.text);
    let mut forged = caller.clone();
    forged.key_id = "ak_live_0123456789abcdefghijklmn".to_owned();
    let refused = forged.post(&sale("ORD-1")).await;
    refused.expect_problem(401, "unauthorized");
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_endpoints_cannot_be_reached_through_the_gateway() {
    let Some((service, gateway, _)) = behind_gateway("").await else { return };
    for path in ["/metrics", "/readyz", "/livez"] {
        assert_eq!(service.admin(path).await.0, 200, "{path} is there for the operator");
        for target in [
            path.to_owned(),
            format!("/{path}"),
            format!("/api/..{path}"),
            format!("/api/..%2f{}", &path[1..]),
            format!("/api/%2e%2e{path}"),
            format!("{path}?/api/"),
            format!("{path}/../api{path}"),
            format!("http://{}{path}", service.admin),
            format!("/api{path}"),
        ] {
            let answer = raw(gateway.address, "GET", &target, &[], b"").await;
            assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("not_found")), "{target}");
            let refused_by_gateway = answer.json()["title"] == "Refused by the gateway";
            assert_eq!(refused_by_gateway, !target.ends_with(&format!("/api{path}")), "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_service_is_down_each_callback_is_a_problem_and_its_repeat_is_recorded_once() {
    let Some((mut service, gateway, caller)) = behind_gateway("").await else { return };
    assert_eq!(caller.post(&sale("ORD-0")).await.word(), "ACCEPTED");
    let address = service.api;
    service.stop().await;
    for (seen, order) in [(2, "ORD-1"), (3, "ORD-2"), (4, "ORD-3")] {
        let answer = caller.post(&sale(order)).await;
        assert_eq!((answer.status, answer.word().as_str()), (502, "gateway_error"), "{}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.at("/status"), 502);
        assert_eq!(answer.at("/retryable"), true);
        assert_eq!(answer.header("retry-after"), Some("1"));
        let line = gateway.access_log(seen).pop().unwrap();
        assert_eq!(line["gateway_id"], answer.at("/request_id"));
    }
    let again = service.another(&format!("[server]\nlisten = \"{address}\"\n")).await;
    assert_eq!(again.count_events(), 1, "nothing was kept back and sent later");
    for (order, expected) in [("ORD-1", "ACCEPTED"), ("ORD-2", "ACCEPTED"), ("ORD-1", "DUPLICATE")] {
        assert_eq!(caller.post(&sale(order)).await.word(), expected, "{order}");
    }
    assert_eq!(again.count_events(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_answer_is_lost_is_not_sent_again_by_the_gateway() {
    let upstream = upstream::Upstream::start();
    let Some(gateway) = Gateway::start(upstream.address) else { return };
    let http = reqwest::Client::new();
    for method in ["POST", "GET", "POST", "GET"] {
        // The first leaves a kept connection behind, the next is lost on it.
        for (path, status) in [("kept", 200), ("lost", 502)] {
            let before = upstream.requests();
            let url = format!("{}/api/v1/{path}", gateway.base());
            let mut request = http.request(method.parse().unwrap(), url);
            if method == "POST" {
                request = request.body("{}");
            }
            let answer = Answer::of(request.send().await.unwrap()).await;
            assert_eq!(answer.status, status, "{method}: {}", answer.text);
            assert!(path == "kept" || answer.word() == "gateway_error", "{}", answer.text);
            assert_eq!(upstream.requests() - before, 1, "one in, one out: {method} {path}");
        }
    }
    assert!(upstream.lost_on_a_kept_connection() > 0);
}
