//! Who may do what: addresses, modes, merchants, rotation, and changes in force at once.

use std::net::IpAddr;
use std::time::Duration;

use chrono::TimeDelta;
use conversiond::domain::ids::{KeyId, KeyKind};
use conversiond::domain::signature::Form;
use conversiond::domain::time::Clock as _;
use conversiond::keyring::{KeyRequest, RotateError, rotate_key};
use conversiond::storage::merchants::Changes;
use conversiond::system::{SystemClock, SystemEntropy};
use serde_json::json;

use crate::support::caller::Answer;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const PATH: &str = "/api/v1/conversions";

/// A service that trusts these proxies, and a caller whose key is bound to these networks.
async fn behind(proxies: &str, networks: &[&str]) -> (Service, Caller) {
    let database = Backend::Sqlite.database();
    let mut setup = Setup::new(&database, "");
    let merchant_id = Some(setup.merchant());
    let ip_allow = networks.iter().map(|network| network.parse().unwrap()).collect();
    let mut caller =
        setup.key_with(KeyRequest { kind: KeyKind::Live, merchant_id, ip_allow, require_v2: false });
    drop(setup);
    let service = Service::start_with(database, &format!("[server]\ntrusted_proxies = {proxies}\n")).await;
    caller.base.clone_from(&service.caller.base);
    (service, caller)
}

async fn list_through(caller: &Caller, forwarded_for: &[&str]) -> Answer {
    let mut headers = caller.headers(Form::Bound, "GET", PATH, b"");
    headers.extend(forwarded_for.iter().map(|line| ("X-Forwarded-For".to_owned(), (*line).to_owned())));
    caller.send("GET", PATH, b"", &headers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_trusted_proxies_only_the_sockets_address_counts() {
    let (_service, mut caller) = behind("[]", &["127.0.0.1/32", "198.51.100.0/24"]).await;
    assert_eq!(list_through(&caller, &[]).await.status, 200);
    assert_eq!(list_through(&caller, &["203.0.113.9"]).await.status, 200);
    let other: IpAddr = "127.0.0.2".parse().unwrap();
    caller.http = reqwest::Client::builder().local_address(other).build().unwrap();
    for spoofed in [&[][..], &["127.0.0.1"], &["198.51.100.7"], &["198.51.100.7, 127.0.0.1"]] {
        list_through(&caller, spoofed).await.expect_problem(401, "ip_not_allowed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_trusted_proxies_the_right_most_foreign_address_counts() {
    let (service, caller) =
        behind(r#"["127.0.0.0/8", "10.0.0.0/8"]"#, &["198.51.100.0/24", "2001:db8::/32"]).await;
    for (allowed, lines) in [
        (true, &["198.51.100.7"][..]),
        (true, &["198.51.100.7, 10.0.0.2"]),
        (true, &["203.0.113.9, 198.51.100.7"]),
        (true, &["203.0.113.9", "198.51.100.7, 10.0.0.2", "10.0.0.3"]),
        (true, &["unknown, 198.51.100.7"]),
        (true, &["::ffff:198.51.100.7"]),
        (true, &["2001:db8::7"]),
        (true, &[" 198.51.100.7 ,10.0.0.2"]),
        (false, &[]),
        (false, &["203.0.113.9"]),
        (false, &["198.51.100.7, 203.0.113.9"]),
        (false, &["198.51.100.7", "203.0.113.9"]),
        (false, &["198.51.100.7, 203.0.113.9, 10.0.0.2"]),
        (false, &["198.51.100.7", "203.0.113.9", "10.0.0.2"]),
        (false, &["198.51.100.7, unknown"]),
        (false, &["198.51.100.7, 127.0.0.1, "]),
        (false, &["198.51.100.7:443"]),
        (false, &["10.0.0.2"]),
    ] {
        let answer = list_through(&caller, lines).await;
        if allowed {
            assert_eq!(answer.status, 200, "{lines:?}: {}", answer.text);
        } else {
            assert_eq!(answer.word(), "ip_not_allowed", "{lines:?}");
            answer.expect_problem(401, "ip_not_allowed");
        }
    }
    // Who does not sign rightly is not told about addresses.
    let other = Caller { secret: service.caller.secret.clone(), ..caller };
    list_through(&other, &["203.0.113.9"]).await.expect_problem(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_line_that_is_not_ascii_does_not_uncover_a_spoofed_one() {
    let (_service, caller) = behind(r#"["127.0.0.0/8", "10.0.0.0/8"]"#, &["198.51.100.0/24"]).await;
    for lines in [&["198.51.100.7", "é"][..], &["198.51.100.7", "é, 203.0.113.9"]] {
        list_through(&caller, lines).await.expect_problem(401, "ip_not_allowed");
    }
    // The proxy's own entry, right of what the caller sent, is good.
    let answer = list_through(&caller, &["203.0.113.9", "é, 198.51.100.7"]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

on_both_databases! {
    async fn test_events_never_meet_live_ones(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let merchant = Some(setup.merchant());
        let (mut live, mut test) = (setup.key(KeyKind::Live, merchant), setup.key(KeyKind::Test, merchant));
        drop(setup);
        let service = Service::start_with(database, "").await;
        live.base.clone_from(&service.caller.base);
        test.base.clone_from(&service.caller.base);
        let sale = json!({"event_name": "sale", "custom_data": {"order_id": "O-1", "value": "1", "currency": "USD"}});
        let mut ids = Vec::new();
        for (caller, mode) in [(&live, "live"), (&test, "test")] {
            let first = caller.post_under("one-key", &sale).await;
            assert_eq!((first.word().as_str(), first.at("/mode")), ("ACCEPTED", json!(mode)), "{}", first.text);
            let again = caller.post(&sale).await;
            assert_eq!((again.word().as_str(), again.at("/event_id")), ("DUPLICATE", first.at("/event_id")));
            ids.push(first.at("/event_id").as_str().unwrap().to_owned());
        }
        assert_ne!(ids[0], ids[1]);
        for (caller, own, other) in [(&live, &ids[0], &ids[1]), (&test, &ids[1], &ids[0])] {
            assert_eq!(caller.get(&format!("{PATH}/{own}")).await.at("/event_id"), json!(own));
            caller.get(&format!("{PATH}/{other}")).await.expect_problem(404, "not_found");
            let listed = caller.get(&format!("{PATH}?order_id=O-1")).await;
            assert_eq!(listed.at("/data").as_array().unwrap().len(), 1);
            assert_eq!(listed.at("/data/0/event_id"), json!(own));
        }
        assert_eq!(service.count_events(), 2);
    }

    async fn another_merchants_event_is_not_there(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let other = setup.merchant();
        let mut other = setup.key(KeyKind::Live, Some(other));
        drop(setup);
        let service = Service::start_with(database, "").await;
        other.base.clone_from(&service.caller.base);
        let lead = json!({"event_name": "lead", "external_id": "L-1"});
        let mine = service.caller.post(&lead).await;
        let theirs = other.post(&lead).await;
        assert_eq!((mine.word().as_str(), theirs.word().as_str()), ("ACCEPTED", "ACCEPTED"));
        let id = mine.at("/event_id").as_str().unwrap().to_owned();
        let not_mine = other.get(&format!("{PATH}/{id}")).await;
        not_mine.expect_problem(404, "not_found");
        let nobodys = other.get(&format!("{PATH}/evt_01kam013kve86btrzkxeedq4gg")).await;
        nobodys.expect_problem(404, "not_found");
        assert_eq!(not_mine.at("/detail"), nobodys.at("/detail"));
        for no_id in ["evt_", "x", "mer_01kam013kve86btrzkxeedq4gg", "%00", "%FF", &id.to_uppercase()] {
            other.get(&format!("{PATH}/{no_id}")).await.expect_problem(404, "not_found");
        }
        assert_eq!(other.get(PATH).await.at("/data").as_array().unwrap().len(), 1);
    }

    async fn an_operators_key_is_forbidden_on_merchants_endpoints(backend: Backend) {
        let service = Service::start(backend).await;
        let operator = service.setup().key(KeyKind::Operator, None);
        eventually("the key is known", async || operator.get(PATH).await.status != 401).await;
        operator.get(PATH).await.expect_problem(403, "forbidden");
        let lead = json!({"event_name": "lead", "external_id": "L-1"});
        operator.post_under("k", &lead).await.expect_problem(403, "forbidden");
        operator.post(&lead).await.expect_problem(401, "signature_form_not_allowed");
        assert_eq!(service.count_events(), 0);
    }

    async fn a_rotated_key_has_two_secrets_for_a_while(backend: Backend) {
        let service = Service::start(backend).await;
        let old = service.caller.clone();
        let key_id: KeyId = old.key_id.parse().unwrap();
        let mut setup = service.setup();
        let ring = setup.master_key();
        let mut rotate = |overlap, drop_oldest| {
            let now = SystemClock.now();
            rotate_key(&mut setup.connection, &ring, &key_id, (overlap, drop_oldest), now, &SystemEntropy)
                .map(|issued| Caller { secret: issued.secret, ..old.clone() })
        };
        let second = rotate(TimeDelta::hours(1), false).unwrap();
        eventually("the new secret is in force", async || second.get(PATH).await.status == 200).await;
        assert_eq!(old.get(PATH).await.status, 200);
        assert!(matches!(rotate(TimeDelta::hours(1), false), Err(RotateError::TwoLive(_))));
        assert_eq!((old.get(PATH).await.status, second.get(PATH).await.status), (200, 200));
        let third = rotate(TimeDelta::hours(1), true).unwrap();
        eventually("the third secret is in force", async || third.get(PATH).await.status == 200).await;
        old.get(PATH).await.expect_problem(401, "unauthorized");
        assert_eq!((second.get(PATH).await.status, third.get(PATH).await.status), (200, 200));
    }

    async fn an_overlap_ends_by_itself(backend: Backend) {
        let service = Service::start(backend).await;
        let old = service.caller.clone();
        let key_id: KeyId = old.key_id.parse().unwrap();
        let mut setup = service.setup();
        let (ring, now) = (setup.master_key(), SystemClock.now());
        // Less than what a clock may be off by, so that PostgreSQL's does not object.
        let overlap = (TimeDelta::seconds(20), false);
        let issued = rotate_key(&mut setup.connection, &ring, &key_id, overlap, now, &SystemEntropy).unwrap();
        let new = Caller { secret: issued.secret, ..old.clone() };
        eventually("the new secret is in force", async || new.get(PATH).await.status == 200).await;
        assert_eq!(old.get(PATH).await.status, 200);
        service.clock.advance(TimeDelta::seconds(21));
        // At once, not at the next refresh.
        old.get(PATH).await.expect_problem(401, "unauthorized");
        assert_eq!(new.get(PATH).await.status, 200);
    }

    async fn what_the_operator_changes_is_in_force_within_five_seconds(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let (merchant, other) = (setup.merchant(), setup.merchant());
        let mut callers = [setup.key(KeyKind::Live, Some(merchant)), setup.key(KeyKind::Live, Some(other))];
        // The longest time between two refreshes that may be set.
        let service = Service::start_with(database, "[keys]\nrefresh_s = 4\n").await;
        for caller in &mut callers {
            caller.base.clone_from(&service.caller.base);
            assert_eq!(caller.get(PATH).await.status, 200);
        }
        let [revoked, suspended] = callers;
        let mut new = setup.key(KeyKind::Live, Some(merchant));
        new.base.clone_from(&service.caller.base);
        setup.revoke(&revoked);
        setup.change(other, &Changes { suspended: Some(true), ..Changes::default() });
        let changed = eventually("everything is in force", async || {
            revoked.get(PATH).await.status == 401
                && suspended.get(PATH).await.status == 401
                && new.get(PATH).await.status == 200
        });
        tokio::time::timeout(Duration::from_secs(5), changed).await.expect("within five seconds");
        setup.change(other, &Changes { suspended: Some(false), ..Changes::default() });
        let resumed = eventually("resumed", async || suspended.get(PATH).await.status == 200);
        tokio::time::timeout(Duration::from_secs(5), resumed).await.expect("within five seconds");
        revoked.get(PATH).await.expect_problem(401, "unauthorized");
    }
}
