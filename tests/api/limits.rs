//! Rate limits per merchant, and what answers tell of them (contract section 7).

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::ids::KeyKind;
use conversiond::domain::merchant::Plan;
use conversiond::domain::rate_limit::RateLimit;
use conversiond::domain::signature::Form;
use conversiond::domain::time::Clock as _;
use conversiond::storage::merchants::Changes;
use serde_json::{Value, json};
use sfv::{BareItem, List, ListEntry, Parser};

use crate::support::caller::{Answer, unix_now};
use crate::support::clock::TestClock;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const PATH: &str = "/api/v1/conversions";

/// A service whose time stands still, and whose merchants have this limit unless told otherwise.
async fn limited(backend: Backend, rate_per_s: u32, burst: u32) -> Service {
    let settings = format!("[plans.enterprise]\nrate_per_s = {rate_per_s}\nburst = {burst}\n");
    Service::start_at(backend.database(), &settings, Arc::new(TestClock::standing())).await
}

fn lead(id: &str) -> Value {
    json!({"event_name": "lead", "external_id": id})
}

/// The one entry of a structured list, checked to be about the merchant: its two parameters.
fn parameters(answer: &Answer, header: &str, names: [&str; 2]) -> [i64; 2] {
    let text = answer.header(header).unwrap_or_else(|| panic!("no {header}: {}", answer.text));
    let list: List = Parser::new(text).parse().unwrap();
    let [ListEntry::Item(item)] = list.as_slice() else { panic!("{text}") };
    let BareItem::String(name) = &item.bare_item else { panic!("{text}") };
    assert_eq!((name.as_str(), item.params.len()), ("merchant", 2), "{text}");
    names.map(|name| item.params[name].as_integer().unwrap().into())
}

/// The limit, the burst, and what is left; that all headers tell the same is asserted.
fn quota(answer: &Answer, now: DateTime<Utc>) -> (i64, i64, i64) {
    let number = |name: &str| -> i64 { answer.header(name).unwrap().parse().unwrap() };
    let (rate, remaining) = (number("x-ratelimit-limit"), number("x-ratelimit-remaining"));
    let [burst, window] = parameters(answer, "ratelimit-policy", ["q", "w"]);
    let [left, more_after] = parameters(answer, "ratelimit", ["r", "t"]);
    assert_eq!((left, window), (remaining, (burst + rate - 1) / rate));
    assert_eq!(more_after > 0, remaining == 0);
    let retry_after = answer.header("retry-after").map(|text| text.parse::<i64>().unwrap());
    if answer.status == 429 {
        assert_eq!((retry_after, remaining), (Some(more_after), 0));
    }
    // It is full when what is missing has flowed in, which is less than a token under the count.
    let second = 1_000_000_000;
    let until_full = number("x-ratelimit-reset") * second - now.timestamp_nanos_opt().unwrap();
    let missing = burst - remaining;
    assert!(until_full * rate > (missing - 1) * second, "{until_full} ns, {missing} missing");
    assert!((until_full - second) * rate < missing * second, "{until_full} ns, {missing} missing");
    (rate, burst, remaining)
}

#[track_caller]
fn expect_no_quota(answer: &Answer) {
    let mut names = answer.headers.keys().map(|name| name.as_str());
    assert!(!names.any(|name| name.contains("ratelimit")), "{:?}", answer.headers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_taken_then_what_flows_in_and_the_rest_is_429() {
    let service = limited(Backend::Sqlite, 2, 3).await;
    let post = async |id: &str| {
        let answer = service.caller.post(&lead(id)).await;
        if answer.status == 429 {
            answer.expect_problem(429, "rate_limited");
            assert_eq!(answer.at("/retry_after"), 1);
        }
        (answer.status, quota(&answer, service.clock.now()).2)
    };
    for (id, left) in [("L-1", 2), ("L-2", 1), ("L-3", 0)] {
        assert_eq!(post(id).await, (202, left));
    }
    for _ in 0..5 {
        assert_eq!(post("L-4").await, (429, 0));
    }
    service.clock.advance(TimeDelta::milliseconds(499));
    assert_eq!(post("L-4").await, (429, 0));
    service.clock.advance(TimeDelta::milliseconds(1));
    assert_eq!(post("L-4").await, (202, 0));
    assert_eq!(post("L-5").await, (429, 0));
    // Long enough, and less than keys.stale_s.
    service.clock.advance(TimeDelta::seconds(50));
    assert_eq!(post("L-5").await, (202, 2));
    assert_eq!(service.count_events(), 5);
    let (_, metrics) = service.admin("/metrics").await;
    let counted =
        r#"conversiond_outcomes_total{endpoint="conversions",status="429",reason="MERCHANT_RATE_LIMITED"} 7"#;
    assert!(metrics.contains(counted) && metrics.contains("conversiond_merchants_spending 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forgeries_spends_no_merchants_bucket() {
    let service = limited(Backend::Sqlite, 1, 2).await;
    let body = br#"{"event_name":"lead","external_id":"L-1"}"#;
    let at = unix_now() - 3_600;
    for form in [Form::Plain, Form::Bound, Form::StandardWebhooks] {
        let forged = service.caller.headers(form, "POST", PATH, b"another body");
        for _ in 0..20 {
            let answer = service.caller.send("POST", PATH, body, &forged).await;
            answer.expect_problem(401, "unauthorized");
            expect_no_quota(&answer);
        }
        // Nor does one that was captured long ago.
        let captured = service.caller.headers_at(form, "POST", PATH, body, at, "");
        let answer = service.caller.send("POST", PATH, body, &captured).await;
        answer.expect_problem(401, "timestamp_outside_tolerance");
        expect_no_quota(&answer);
    }
    let answer = service.caller.post(&lead("L-1")).await;
    assert_eq!((answer.status, quota(&answer, service.clock.now())), (202, (1, 2, 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_authentic_request_costs_a_token_and_its_answer_says_so() {
    let service = limited(Backend::Sqlite, 1, 20).await;
    let caller = &service.caller;
    let post = async |body: &str, content_type: &str| {
        let mut headers = caller.headers(Form::Bound, "POST", PATH, body.as_bytes());
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        caller.send("POST", PATH, body.as_bytes(), &headers).await
    };
    let json = "application/json";
    let event = lead("L-1").to_string();
    let mut answers = vec![
        (202, post(&event, json).await),
        (202, post(&event, json).await),
        (400, post("{", json).await),
        (400, post("", json).await),
        (415, post(&event, "text/plain").await),
        (422, post("{}", json).await),
        (200, caller.get(PATH).await),
        (422, caller.get("/api/v1/conversions?limit=0").await),
        (404, caller.get("/api/v1/conversions/evt_00000000000000000000000000").await),
    ];
    service.setup().execute("ALTER TABLE events RENAME TO hidden");
    answers.push((500, caller.get(PATH).await));
    for (number, (status, answer)) in (1..).zip(&answers) {
        assert_eq!(answer.status / 100, status / 100, "{}", answer.text);
        assert!(answer.status == *status || answer.status >= 500, "{}", answer.text);
        assert_eq!(quota(answer, service.clock.now()), (1, 20, 20 - number), "{}", answer.text);
    }
    for (method, target) in [("GET", "/nowhere"), ("DELETE", PATH), ("GET", PATH)] {
        expect_no_quota(&caller.send(method, target, b"", &[]).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_without_a_limit_is_told_of_none() {
    let service = Service::start(Backend::Sqlite).await;
    for (status, answer) in [
        (202, service.caller.post(&lead("L-1")).await),
        (422, service.caller.post(&json!({})).await),
        (200, service.caller.get(PATH).await),
        (404, service.caller.get("/api/v1/conversions/x").await),
    ] {
        assert_eq!(answer.status, status);
        expect_no_quota(&answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_have_the_contracts_numbers_unless_they_are_set() {
    for (settings, expected) in [
        ("", [Some((10, 10)), Some((100, 200)), Some((500, 500)), None]),
        (
            "[plans.free]\nrate_per_s = 0\n[plans.pro]\nrate_per_s = 7\n[plans.enterprise]\nrate_per_s = 9\n",
            [None, Some((7, 200)), Some((500, 500)), Some((9, 9))],
        ),
    ] {
        let database = Backend::Sqlite.database();
        let mut setup = Setup::new(&database, "");
        let callers = [Plan::Free, Plan::Pro, Plan::Business, Plan::Enterprise].map(|plan| {
            let merchant = setup.merchant();
            setup.change(merchant, &Changes { plan: Some(plan), ..Changes::default() });
            setup.key(KeyKind::Live, Some(merchant))
        });
        drop(setup);
        let service = Service::start_at(database, settings, Arc::new(TestClock::standing())).await;
        for (mut caller, expected) in callers.into_iter().zip(expected) {
            caller.base.clone_from(&service.caller.base);
            let answer = caller.get(PATH).await;
            match expected {
                None => expect_no_quota(&answer),
                Some((rate, burst)) => {
                    assert_eq!(quota(&answer, service.clock.now()), (rate, burst, burst - 1));
                }
            }
        }
    }
}

on_both_databases! {
    async fn a_changed_limit_is_in_force_on_a_running_service_and_refills_nothing(backend: Backend) {
        let service = limited(backend, 1, 3).await;
        let mut setup = service.setup();
        let mut set = |own_limit, plan| {
            setup.change(service.merchant, &Changes { own_limit, plan, ..Changes::default() });
        };
        let standing = async || quota(&service.caller.get(PATH).await, service.clock.now());
        let in_force = async |limit: (i64, i64)| {
            let changed = eventually("the limit is in force", async || {
                let (rate, burst, _) = standing().await;
                (rate, burst) == limit
            });
            tokio::time::timeout(std::time::Duration::from_secs(5), changed).await.expect("within five seconds");
        };
        while standing().await.2 > 0 {}
        for (rate, burst) in [(1_000, 5_000), (2, 1)] {
            set(Some(RateLimit::of(rate, burst)), None);
            in_force((rate.into(), burst.into())).await;
            service.caller.get(PATH).await.expect_problem(429, "rate_limited");
        }
        // Its own wins over its plan, until it is taken back.
        set(None, Some(Plan::Free));
        service.clock.advance(TimeDelta::seconds(1));
        set(Some(None), None);
        in_force((10, 10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_of_a_merchant_share_one_bucket_and_merchants_do_not() {
    let database = Backend::Sqlite.database();
    let mut setup = Setup::new(&database, "");
    let (merchant, other) = (setup.merchant(), setup.merchant());
    let callers = [
        setup.key(KeyKind::Live, Some(merchant)),
        setup.key(KeyKind::Test, Some(merchant)),
        setup.key(KeyKind::Live, Some(merchant)),
        setup.key(KeyKind::Live, Some(other)),
        setup.key(KeyKind::Operator, None),
    ];
    drop(setup);
    let settings = "[plans.enterprise]\nrate_per_s = 1\nburst = 2\n";
    let service = Service::start_at(database, settings, Arc::new(TestClock::standing())).await;
    let [live, test, second, other, operator] =
        callers.map(|caller| Caller { base: service.caller.base.clone(), ..caller });
    assert_eq!(quota(&live.get(PATH).await, service.clock.now()).2, 1);
    assert_eq!(quota(&test.get(PATH).await, service.clock.now()).2, 0);
    for caller in [&second, &test, &live] {
        caller.get(PATH).await.expect_problem(429, "rate_limited");
    }
    assert_eq!(quota(&other.get(PATH).await, service.clock.now()).2, 1);
    let answer = operator.get(PATH).await;
    answer.expect_problem(403, "forbidden");
    expect_no_quota(&answer);
}
