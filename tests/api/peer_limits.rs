//! Failures per peer: who forges is refused unheard, who signs rightly is never charged
//! (contract section 7).

use std::sync::Arc;

use chrono::TimeDelta;
use conversiond::domain::ids::KeyKind;
use conversiond::domain::signature::Form;
use conversiond::keyring::KeyRequest;

use crate::support::caller::{Answer, unix_now};
use crate::support::clock::TestClock;
use crate::support::raw::{RawConnection, request};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service};

const PATH: &str = "/api/v1/conversions";
const BODY: &[u8] = br#"{"event_name":"lead","external_id":"L-1"}"#;
const BOTH_LIMITED: &str = "[plans.enterprise]\nrate_per_s = 1000\n[peer]\nfailures_per_s = 1\nburst = 3\n";

/// A service whose time stands still.
async fn start(settings: &str) -> Service {
    Service::start_at(Backend::Sqlite.database(), settings, Arc::new(TestClock::standing())).await
}

/// A request that is not authentic.
async fn forge(service: &Service) -> Answer {
    let signed = service.caller.headers(Form::Bound, "GET", "/api/v1/conversions?limit=1", b"");
    service.caller.send("GET", PATH, b"", &signed).await
}

#[track_caller]
fn expect_refused_unheard(answer: &Answer) {
    answer.expect_problem(429, "rate_limited");
    assert_eq!(answer.at("/retry_after"), 1);
    assert!(answer.header("ratelimit").is_none() && answer.header("x-ratelimit-limit").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_burst_of_failures_what_is_not_authentic_is_429_and_known_keys_are_still_tried() {
    let service = start(BOTH_LIMITED).await;
    let caller = &service.caller;
    caller.send("GET", PATH, b"", &[]).await.expect_problem(401, "unauthorized");
    let mut malformed = caller.headers(Form::Plain, "POST", PATH, BODY);
    malformed.push(("X-Timestamp".to_owned(), "1".to_owned()));
    caller.send("POST", PATH, BODY, &malformed).await.expect_problem(400, "malformed_signature");
    assert_eq!(caller.get(PATH).await.status, 200);
    forge(&service).await.expect_problem(401, "unauthorized");

    // Whoever signs rightly is heard from the same address; a wrong signature by a known key is told nothing.
    assert_eq!(caller.get(PATH).await.status, 200);
    expect_refused_unheard(&forge(&service).await);
    let stranger = Caller { key_id: "ak_live_000000000000000000000000".to_owned(), ..caller.clone() };
    expect_refused_unheard(&stranger.get(PATH).await);
    let large = vec![b' '; 65_536];
    expect_refused_unheard(&caller.send("POST", PATH, &large, &[]).await);
    // What stands before it in the order of checks is said all the same, and is a failure, too.
    caller.send("POST", PATH, &[b' '; 65_537], &[]).await.expect_problem(413, "body_too_large");
    caller.get("/nowhere").await.expect_problem(404, "not_found");
    caller.send("DELETE", PATH, b"", &[]).await.expect_problem(405, "method_not_allowed");

    service.clock.advance(TimeDelta::milliseconds(999));
    expect_refused_unheard(&forge(&service).await);
    service.clock.advance(TimeDelta::milliseconds(1));
    for _ in 0..10 {
        assert_eq!(caller.get(PATH).await.status, 200);
    }
    forge(&service).await.expect_problem(401, "unauthorized");
    expect_refused_unheard(&forge(&service).await);
    let (_, metrics) = service.admin("/metrics").await;
    let counted =
        r#"conversiond_outcomes_total{endpoint="conversions",status="429",reason="PEER_RATE_LIMITED"} 5"#;
    assert!(metrics.contains(counted) && metrics.contains("conversiond_peers_failing 1\n"), "{metrics}");
    assert_eq!(service.count_events(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_limit_an_address_has_so_many_tries_a_second_and_forgers_use_up_their_own() {
    let service = start("[peer]\nfailures_per_s = 1\nburst = 1\ntries_per_s = 10\n").await;
    let caller = &service.caller;
    forge(&service).await.expect_problem(401, "unauthorized");
    let stranger = Caller { key_id: "ak_live_000000000000000000000000".to_owned(), ..caller.clone() };
    let mut heard = Vec::new();
    for round in 0..2 {
        for _ in 0..20 {
            expect_refused_unheard(&stranger.get(PATH).await);
        }
        let mut taken = 0;
        for _ in 0..20 {
            taken += usize::from(caller.get(PATH).await.status == 200);
        }
        heard.push(taken);
        if round == 0 {
            // The bucket of failures stays empty meanwhile.
            for _ in 0..10 {
                service.clock.advance(TimeDelta::milliseconds(90));
                stranger.get(PATH).await;
            }
        }
    }
    // So many are saved, whatever strangers send meanwhile.
    assert_eq!(heard, [2, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_what_is_not_there_is_charged_and_so_is_the_work_of_a_long_body() {
    for (ask, asked) in [("path", 3), ("method", 3), ("length", 3), ("body", 1)] {
        let service = start("[peer]\nfailures_per_s = 1\nburst = 3\ntries_per_s = 0\n").await;
        let caller = &service.caller;
        for _ in 0..asked {
            let answer = match ask {
                "path" => caller.send("GET", "/nowhere", b"", &[]).await,
                "method" => caller.send("DELETE", PATH, b"", &[]).await,
                "length" => caller.send("POST", PATH, &vec![b' '; 65_537], &[]).await,
                _ => {
                    let bulk = vec![b' '; 200_000];
                    let headers = caller.headers(Form::Bound, "POST", PATH, b"");
                    caller.send("POST", "/api/v1/conversions/bulk", &bulk, &headers).await
                }
            };
            assert!((400..500).contains(&answer.status), "{ask}: {}", answer.text);
        }
        expect_refused_unheard(&caller.get(PATH).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_read_so_often_and_whoever_keeps_it_is_not_limited() {
    let service = start("").await;
    let caller = &service.caller;
    let mut read = 0;
    while caller.send("GET", "/openapi.json", b"", &[]).await.status == 200 {
        read += 1;
    }
    assert_eq!(read, 50);
    let answer = caller.send("GET", "/openapi.json", b"", &[]).await;
    answer.expect_problem(429, "rate_limited");
    let kept = [("If-None-Match".to_owned(), "*".to_owned())];
    assert_eq!(caller.send("GET", "/openapi.json", b"", &kept).await.status, 304);
    assert_eq!(caller.get(PATH).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_not_trusted_is_counted_and_its_callers_are_still_heard() {
    let service = start("[peer]\nfailures_per_s = 1\nburst = 2\n").await;
    let through = |caller: &Caller, client: &str| {
        let mut headers = caller.headers(Form::Bound, "GET", PATH, b"");
        headers.push(("X-Forwarded-For".to_owned(), client.to_owned()));
        headers
    };
    let stranger = Caller { key_id: "ak_live_000000000000000000000000".to_owned(), ..service.caller.clone() };
    for _ in 0..20 {
        stranger.get(PATH).await;
    }
    let signed = through(&service.caller, "198.51.100.7");
    assert_eq!(service.caller.send("GET", PATH, b"", &signed).await.status, 200);
    assert_eq!(service.figure("conversiond_forwarded_untrusted_total", &[]).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_body_is_read_away_so_the_connection_goes_on() {
    let service = start(BOTH_LIMITED).await;
    let mut connection = RawConnection::open(service.api).await;
    let length = ("Content-Length".to_owned(), BODY.len().to_string());
    let bytes = request("POST", PATH, &[length], BODY);
    for status in [401, 401, 401, 429, 429] {
        connection.send(&bytes).await;
        assert_eq!(connection.answer().await.status, status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_rightly_is_not_charged_and_neither_are_faults_of_ours() {
    let database = Backend::Sqlite.database();
    let mut setup = Setup::new(&database, "");
    let merchant_id = Some(setup.merchant());
    let request = KeyRequest { kind: KeyKind::Live, merchant_id, ip_allow: Vec::new(), require_v2: false };
    let elsewhere = vec!["203.0.113.7/32".parse().unwrap()];
    let bound_elsewhere = setup.key_with(KeyRequest { ip_allow: elsewhere, ..request.clone() });
    let needs_v2 = setup.key_with(KeyRequest { require_v2: true, ..request });
    let operator = setup.key(KeyKind::Operator, None);
    drop(setup);
    let settings = "[peer]\nfailures_per_s = 1\nburst = 1\n";
    let service = Service::start_at(database, settings, Arc::new(TestClock::standing())).await;
    let [bound_elsewhere, needs_v2, operator] =
        [bound_elsewhere, needs_v2, operator].map(|key| Caller { base: service.caller.base.clone(), ..key });
    let caller = &service.caller;
    for _ in 0..3 {
        let late = caller.headers_at(Form::Bound, "GET", PATH, b"", unix_now() - 3_600, "");
        let answer = caller.send("GET", PATH, b"", &late).await;
        answer.expect_problem(401, "timestamp_outside_tolerance");
        bound_elsewhere.get(PATH).await.expect_problem(401, "ip_not_allowed");
        let plain = needs_v2.headers(Form::Plain, "POST", PATH, BODY);
        let answer = needs_v2.send("POST", PATH, BODY, &plain).await;
        answer.expect_problem(401, "signature_form_not_allowed");
        operator.get(PATH).await.expect_problem(403, "forbidden");
        caller.post_text("{").await.expect_problem(400, "malformed_json");
        caller.get("/api/v1/conversions/x").await.expect_problem(404, "not_found");
        service.clock.jump(TimeDelta::hours(1));
        forge(&service).await.expect_problem(503, "clock_unreliable");
        service.clock.jump(-TimeDelta::hours(1));
    }
    // The one failure that may be.
    forge(&service).await.expect_problem(401, "unauthorized");
    expect_refused_unheard(&forge(&service).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_trusted_proxy_each_client_is_charged_and_the_proxy_is_not() {
    let settings = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[peer]\nfailures_per_s = 1\nburst = 2\n";
    let service = start(settings).await;
    let send = async |client: Option<&str>, mut headers: Vec<(String, String)>| {
        headers.extend(client.map(|client| ("X-Forwarded-For".to_owned(), client.to_owned())));
        service.caller.send("GET", PATH, b"", &headers).await.status
    };
    let forged = async |client: Option<&str>| send(client, Vec::new()).await;
    let signed = async |client: Option<&str>| {
        send(client, service.caller.headers(Form::Bound, "GET", PATH, b"")).await
    };
    // Without a readable client it is the proxy itself.
    for client in [None, Some("127.0.0.9"), Some("unknown")] {
        for _ in 0..10 {
            assert_eq!(forged(client).await, 401);
        }
        assert_eq!(signed(client).await, 200);
    }
    for (client, same_peer, neighbour) in [
        ("198.51.100.7", "::ffff:198.51.100.7", "198.51.100.8"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", "2001:db8:0:2::1"),
    ] {
        assert_eq!([forged(Some(client)).await, forged(Some(same_peer)).await], [401, 401]);
        assert_eq!([forged(Some(client)).await, forged(Some(same_peer)).await], [429, 429]);
        assert_eq!([signed(Some(client)).await, signed(Some(same_peer)).await], [200, 200]);
        assert_eq!([signed(Some(neighbour)).await, signed(None).await], [200, 200]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_on_peers_can_be_turned_off() {
    let service = start("[peer]\nfailures_per_s = 0\nburst = 1\n").await;
    for _ in 0..10 {
        forge(&service).await.expect_problem(401, "unauthorized");
    }
    assert_eq!(service.caller.get(PATH).await.status, 200);
}
