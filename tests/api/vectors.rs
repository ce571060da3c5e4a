//! Known answers, computed elsewhere: every vector of the contract's sections 3 and 5.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta};
use conversiond::domain::click_token::{TokenKey, TokenRing};
use conversiond::domain::ids::KeyKind;
use conversiond::domain::instant;
use conversiond::domain::merchant::Merchant;
use conversiond::domain::secret::SigningSecret;
use conversiond::domain::signature::{Covered, Digests, Form, SigningKeys, message};
use conversiond::domain::time::Clock as _;
use conversiond::keyring::KeyRequest;
use conversiond::storage::merchants::{self, Account};
use conversiond::storage::token_keys::{self, StoredTokenKey};
use conversiond::system::{SystemClock, SystemEntropy};
use serde_json::{Value, json};

use crate::support::clock::TestClock;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, on_both_databases};

fn signatures() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../fixtures/signatures.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap().clone();
    assert_eq!(vectors.len(), 7);
    vectors
}

fn tokens() -> (Vec<(u8, [u8; 32])>, Vec<Value>) {
    let file: Value = serde_json::from_str(include_str!("../fixtures/nim_ct.json")).unwrap();
    let keys = file["keys"].as_object().unwrap().iter().map(|(number, key)| {
        let key = STANDARD.decode(key.as_str().unwrap()).unwrap().try_into().unwrap();
        (number.parse().unwrap(), key)
    });
    let tokens = file["tokens"].as_array().unwrap().clone();
    assert_eq!(tokens.len(), 20);
    (keys.collect(), tokens)
}

fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member].as_str().unwrap_or_else(|| panic!("{member} of {vector}"))
}

fn covered(vector: &Value) -> Covered<'_> {
    Covered {
        method: text(vector, "method"),
        target: text(vector, "path"),
        idempotency_key: text(vector, "idempotency_key"),
        external_event_id: text(vector, "external_event_id"),
        body: text(vector, "body").as_bytes(),
    }
}

#[test]
fn each_form_gives_the_signature_computed_elsewhere() {
    for vector in signatures() {
        let name = text(&vector, "name");
        let keys = SigningKeys::new(&SigningSecret::parse(text(&vector, "secret")).unwrap());
        let (timestamp, covered) = (text(&vector, "timestamp"), covered(&vector));
        let digests = Digests::of(covered.body);
        assert_eq!(digests.body_sha256(), text(&vector, "body_sha256"), "{name}");
        assert_eq!(hex::encode(keys.plain(timestamp, &covered)), text(&vector, "x_signature"), "{name}");
        let bound = format!("v2={}", hex::encode(keys.bound(timestamp, &covered, &digests)));
        assert_eq!(bound, text(&vector, "x_signature_v2"), "{name}");
        let id = text(&vector, "webhook_id");
        let webhook = format!("v1,{}", STANDARD.encode(keys.standard_webhooks(id, timestamp, &covered)));
        assert_eq!(webhook, text(&vector, "webhook_signature"), "{name}");
        let signed = message(Form::Bound, timestamp, "", &covered);
        assert_eq!(String::from_utf8(signed).unwrap(), text(&vector, "v2_signed_text"), "{name}");
    }
}

/// A service in the time of a vector, and a caller whose secret is the vector's.
///
/// On SQLite only: PostgreSQL has a clock of its own, and the service would not believe the vector's.
async fn in_the_time_of(vector: &Value) -> (Service, Caller) {
    let database = Backend::Sqlite.database();
    let mut setup = Setup::new(&database, "");
    let merchant_id = Some(setup.merchant());
    let request = KeyRequest { kind: KeyKind::Live, merchant_id, ip_allow: Vec::new(), require_v2: false };
    let secret = SigningSecret::parse(text(vector, "secret")).unwrap();
    let mut caller = setup.key_with_secret(request, secret);
    drop(setup);
    let at = DateTime::from_timestamp(text(vector, "timestamp").parse().unwrap(), 0).unwrap();
    let clock = TestClock::default();
    clock.jump(at - SystemClock.now());
    let service = Service::start_at(database, "", Arc::new(clock)).await;
    caller.base.clone_from(&service.caller.base);
    (service, caller)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_signature_computed_elsewhere_is_accepted_over_the_wire() {
    for vector in signatures() {
        let (service, caller) = in_the_time_of(&vector).await;
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let member = |name: &str, member: &str| header(name, text(&vector, member));
        let key = || header("X-API-Key", &caller.key_id);
        let plain = vec![key(), member("X-Timestamp", "timestamp"), member("X-Signature", "x_signature")];
        let mut bound =
            vec![key(), member("X-Timestamp", "timestamp"), member("X-Signature", "x_signature_v2")];
        for (name, value) in
            [("Idempotency-Key", "idempotency_key"), ("X-External-Event-Id", "external_event_id")]
        {
            if !text(&vector, value).is_empty() {
                bound.push(member(name, value));
            }
        }
        let webhook = vec![
            key(),
            member("webhook-id", "webhook_id"),
            member("webhook-timestamp", "timestamp"),
            member("webhook-signature", "webhook_signature"),
        ];
        let body = text(&vector, "body");
        let mut words = Vec::new();
        for headers in [bound, plain, webhook] {
            let (method, target) = (text(&vector, "method"), text(&vector, "path"));
            let answer = caller.send(method, target, body.as_bytes(), &headers).await;
            words.push(format!("{} {}", answer.status, answer.word()));
        }
        let expected = if body.is_empty() {
            ["200 ", "401 signature_form_not_allowed", "401 signature_form_not_allowed"]
        } else {
            ["202 ACCEPTED", "202 DUPLICATE", "202 DUPLICATE"]
        };
        assert_eq!(words, expected, "{}", text(&vector, "name"));
        assert_eq!(service.count_events(), i64::from(!body.is_empty()));
    }
}

#[test]
fn each_token_computed_elsewhere_is_read_or_refused() {
    let (keys, tokens) = tokens();
    let ring = TokenRing::new(keys.iter().map(|(number, key)| (*number, TokenKey::new(key))));
    for vector in tokens {
        let (name, token) = (text(&vector, "name"), text(&vector, "token"));
        let read = ring.inspect(token);
        assert_eq!(read.is_ok(), vector["valid"] == true, "{name}");
        let Ok((number, read)) = read else { continue };
        assert_eq!(vector["key_number"], number, "{name}");
        assert_eq!(read.merchant_id.to_string(), text(&vector, "merchant_id"));
        assert_eq!(read.domain_id.to_string(), text(&vector, "domain_id"));
        assert_eq!(read.url_id.to_string(), text(&vector, "url_id"));
        assert_eq!(read.click_id.to_string(), text(&vector, "click_id"));
        assert_eq!(Ok(read.clicked_at), instant::parse(text(&vector, "clicked_at")));
        let key = keys.iter().find(|(known, _)| *known == number).unwrap();
        let alone = TokenRing::new([(number, TokenKey::new(&key.1))]);
        let minted = alone.mint(read.merchant_id, read.domain_id, read.url_id, read.click_id);
        assert_eq!(minted.as_deref(), Some(token), "{name}");
    }
}

on_both_databases! {
    async fn each_token_computed_elsewhere_earns_its_link_or_none(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let (keys, tokens) = tokens();
        let created_at = SystemClock.now();
        for (number, key) in keys {
            let purpose = token_keys::purpose(number, created_at, None);
            let sealed = setup.master_key().seal(&key, &purpose, &SystemEntropy).unwrap();
            let added = token_keys::add(&mut setup.connection, &StoredTokenKey { number, sealed, created_at, retired_at: None });
            assert!(added.unwrap());
        }
        let mut callers = Vec::new();
        for vector in tokens {
            let merchant = match vector["merchant_id"].as_str() {
                None => setup.merchant(),
                Some(id) => {
                    let id = id.parse().unwrap();
                    let name = "Shop of a vector".to_owned();
                    let account = Account { merchant: Merchant::new(id), name, created_at };
                    merchants::create(&mut setup.connection, &account).unwrap();
                    id
                }
            };
            callers.push((setup.key(KeyKind::Live, Some(merchant)), vector));
        }
        drop(setup);
        let service = Service::start_with(database, "").await;
        for (mut caller, vector) in callers {
            caller.base.clone_from(&service.caller.base);
            let event_time = match vector["clicked_at"].as_str() {
                Some(at) => instant::parse(at).unwrap() + TimeDelta::days(1),
                None => created_at,
            };
            let lead = json!({"event_name": "lead", "external_id": "L-1", "nim_ct": vector["token"],
                "event_time": instant::format(event_time)});
            let answer = caller.post(&lead).await;
            assert_eq!(answer.word(), "ACCEPTED", "{}", answer.text);
            let mut expected = json!({"status": "unattributed", "reason": "invalid_token"});
            if vector["valid"] == true {
                let clicked_at = instant::parse(text(&vector, "clicked_at")).unwrap();
                expected = json!({"status": "attributed", "click_id": vector["click_id"],
                    "url_id": vector["url_id"], "domain_id": vector["domain_id"],
                    "clicked_at": instant::format(clicked_at)});
            }
            assert_eq!(answer.at("/attribution"), expected, "{}", text(&vector, "name"));
        }
        assert_eq!(service.count_events(), 20);
    }
}
