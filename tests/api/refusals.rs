//! A refusal tells nothing: not whether a key exists, nor what became of it (contract section 3).

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::access::{ApiKey, Circumstances, KeyDirectory, LiveSecret, Refusal, Verified};
use conversiond::domain::click_token::TokenRing;
use conversiond::domain::ids::{KeyId, KeyKind, MerchantId};
use conversiond::domain::merchant::Merchant;
use conversiond::domain::secret::SigningSecret;
use conversiond::domain::signature::{Covered, Digests, Form, Forms, RequestHeaders, SigningKeys, sign};
use conversiond::keyring::KeyRequest;
use conversiond::storage::merchants::Changes;
use conversiond::system::SystemEntropy;
use uuid::Uuid;

use crate::support::caller::{Answer, unix_now};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, on_both_databases};

const PATH: &str = "/api/v1/conversions";
const BODY: &[u8] = br#"{"event_name":"lead","external_id":"L-1"}"#;
const NOW: i64 = 1_764_109_104;

/// Status, headers and body of an answer, the date aside.
fn shown(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (answer.status, headers, answer.text.clone())
}

async fn send(base: &str, caller: &Caller, mut headers: Vec<(String, String)>) -> Answer {
    headers.push(("X-Request-ID".to_owned(), "the-same".to_owned()));
    let caller = Caller { base: base.to_owned(), ..caller.clone() };
    caller.send("POST", PATH, BODY, &headers).await
}

on_both_databases! {
    async fn every_key_that_does_not_sign_rightly_gets_the_same_answer(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let (merchant, suspended) = (setup.merchant(), setup.merchant());
        let request = |kind, merchant_id| KeyRequest { kind, merchant_id, ip_allow: Vec::new(), require_v2: false };
        let real = setup.key(KeyKind::Live, Some(merchant));
        let revoked = setup.key(KeyKind::Live, Some(merchant));
        setup.revoke(&revoked);
        let inactive = setup.key(KeyKind::Live, Some(suspended));
        setup.change(suspended, &Changes { suspended: Some(true), ..Changes::default() });
        let expired = setup.key(KeyKind::Live, Some(merchant));
        setup.expire(&expired);
        let named = |id: &str| Caller { key_id: id.to_owned(), ..real.clone() };
        let unknown = named("ak_live_000000000000000000000000");
        let mut callers = vec![
            real.clone(), unknown.clone(), named("no-key-at-all"), named(&"k".repeat(300)),
            revoked.clone(), inactive.clone(), expired.clone(),
            setup.key(KeyKind::Test, Some(merchant)),
            setup.key(KeyKind::Operator, None),
            setup.key_with(KeyRequest { require_v2: true, ..request(KeyKind::Live, Some(merchant)) }),
        ];
        let elsewhere = vec!["203.0.113.7/32".parse().unwrap()];
        callers.push(setup.key_with(KeyRequest { ip_allow: elsewhere, ..request(KeyKind::Live, Some(merchant)) }));
        drop(setup);
        let service = Service::start_with(database, "").await;
        let base = &service.caller.base;

        let mut seen = Vec::new();
        for form in [Form::Plain, Form::Bound, Form::StandardWebhooks] {
            for at in [unix_now(), unix_now() - 3_600] {
                for caller in &callers {
                    let signed = caller.headers_at(form, "POST", PATH, b"another body", at, "");
                    seen.push(send(base, caller, signed).await);
                }
            }
            // Signed rightly with a key that is of no use any more, or with another key's secret.
            for caller in [&unknown, &revoked, &inactive, &expired] {
                seen.push(send(base, caller, caller.headers(form, "POST", PATH, BODY)).await);
            }
        }
        seen[0].expect_problem(401, "unauthorized");
        let first = shown(&seen[0]);
        for answer in &seen {
            assert_eq!(shown(answer), first);
        }
        assert_eq!(seen.len(), 3 * (2 * 11 + 4));
        assert_eq!(service.count_events(), 0);
        let signed = real.headers(Form::Plain, "POST", PATH, BODY);
        assert_eq!(send(base, &real, signed).await.word(), "ACCEPTED");
    }
}

/// A directory of keys in every state, one secret for all of them.
struct Keys {
    directory: KeyDirectory,
    secret: SigningSecret,
}

const STATES: [&str; 6] = ["good", "revoked", "suspended", "expired", "none", "require"];

fn id_of(state: &str) -> String {
    format!("ak_live_{state:0>24}")
}

impl Keys {
    fn new() -> Self {
        let secret = SigningSecret::generate(&SystemEntropy);
        let keys = STATES.map(|state| {
            let id = MerchantId::from_uuid(Uuid::new_v4());
            let merchant = Merchant { suspended: state == "suspended", ..Merchant::new(id) };
            let expires_at = (state == "expired").then(|| at(NOW));
            let live = LiveSecret { keys: SigningKeys::new(&secret), expires_at };
            let id: KeyId = id_of(state).parse().unwrap();
            ApiKey {
                id,
                merchant: Some(Arc::new(merchant)),
                ip_allow: vec!["198.51.100.0/24".parse().unwrap()],
                require_v2: state == "require",
                revoked: state == "revoked",
                secrets: if state == "none" { Vec::new() } else { vec![live] },
            }
        });
        let dummy = SigningKeys::new(&SigningSecret::generate(&SystemEntropy));
        Self { directory: KeyDirectory::new(keys, dummy, TokenRing::default()), secret }
    }

    /// Judges [`BODY`] signed for this timestamp, at this moment, from this address.
    fn judge(
        &self,
        key: &str,
        form: Form,
        sent: i64,
        now: DateTime<Utc>,
        client: &str,
    ) -> Result<Verified, Refusal> {
        let client: IpAddr = client.parse().unwrap();
        let covered =
            |body| Covered { method: "POST", target: PATH, idempotency_key: "", external_event_id: "", body };
        let signed = sign(form, key, &self.secret, sent, "msg_1", &covered(BODY));
        let value = |name: &str| {
            signed.iter().filter(|(known, _)| *known == name).map(|(_, value)| Some(value.as_str())).collect()
        };
        let headers = RequestHeaders {
            api_key: value("X-API-Key"),
            timestamp: value("X-Timestamp"),
            signature: value("X-Signature"),
            webhook_id: value("webhook-id"),
            webhook_timestamp: value("webhook-timestamp"),
            webhook_signature: value("webhook-signature"),
            ..RequestHeaders::default()
        };
        let circumstances = Circumstances {
            now,
            tolerance: TimeDelta::seconds(300),
            client: Some(client),
            forms: Forms::ANY,
        };
        self.directory.judge(&headers.parse().unwrap(), &covered(BODY), &Digests::of(BODY), &circumstances)
    }
}

fn at(unix_seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(unix_seconds, 0).unwrap()
}

const FORMS: [Form; 3] = [Form::Plain, Form::Bound, Form::StandardWebhooks];
const HERE: &str = "198.51.100.7";

#[test]
fn known_and_unknown_keys_pass_through_one_judgement_that_knows_the_reason() {
    let keys = Keys::new();
    for form in FORMS {
        let reason =
            |key: &str| keys.judge(key, form, NOW, at(NOW), HERE).map_or_else(Refusal::reason, |_| "ok");
        assert_eq!(reason(&id_of("good")), "ok");
        assert_eq!(reason(&id_of("revoked")), "API_KEY_REVOKED");
        assert_eq!(reason(&id_of("suspended")), "MERCHANT_INACTIVE");
        assert_eq!(reason(&id_of("expired")), "API_KEY_EXPIRED");
        assert_eq!(reason(&id_of("none")), "API_KEY_EXPIRED");
        // Each is judged as one of those that are there, and signed rightly for it.
        for number in 0..100 {
            assert_eq!(reason(&id_of(&format!("unknown{number}"))), "INVALID_API_KEY");
        }
        assert_eq!(reason("é"), "INVALID_API_KEY");
        let required = if form == Form::Bound { "ok" } else { "SIG_FORM_NOT_ALLOWED" };
        assert_eq!(reason(&id_of("require")), required);
    }
}

#[test]
fn a_key_that_is_not_there_is_never_right_even_by_the_secret_that_is_tried_in_its_place() {
    let secret = SigningSecret::generate(&SystemEntropy);
    let directory = KeyDirectory::new([], SigningKeys::new(&secret), TokenRing::default());
    let keys = Keys { directory, secret };
    assert_eq!((keys.directory.len(), keys.directory.is_empty()), (0, true));
    for form in FORMS {
        for key in [id_of("unknown"), id_of("")] {
            let judged = keys.judge(&key, form, NOW, at(NOW), HERE).map(|_| ());
            assert_eq!(judged, Err(Refusal::InvalidApiKey), "{key}");
        }
    }
}

#[test]
fn three_hundred_seconds_either_way_are_inside_and_one_more_is_outside() {
    let keys = Keys::new();
    for form in FORMS {
        for (off, inside) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            // Parts of a second do not count: timestamps have none.
            for part in [0, 1, 999] {
                let now = at(NOW) + TimeDelta::milliseconds(part);
                let judged = keys.judge(&id_of("good"), form, NOW + off, now, HERE);
                let outside = Refusal::TimestampOutsideTolerance { sent: NOW + off };
                assert_eq!(
                    judged.map(|verified| verified.form()),
                    if inside { Ok(form) } else { Err(outside) }
                );
            }
        }
        // Whatever else is wrong with a key is not outweighed by the time.
        let late = keys.judge(&id_of("revoked"), form, NOW - 301, at(NOW), HERE);
        assert_eq!(late.map(|_| ()), Err(Refusal::ApiKeyRevoked));
    }
}

#[test]
fn a_secret_signs_until_the_moment_it_expires() {
    let keys = Keys::new();
    let just_before = at(NOW) - TimeDelta::microseconds(1);
    assert!(keys.judge(&id_of("expired"), Form::Plain, NOW, just_before, HERE).is_ok());
    let judged = keys.judge(&id_of("expired"), Form::Plain, NOW, at(NOW), HERE);
    assert_eq!(judged.map(|_| ()), Err(Refusal::ApiKeyExpired));
}

#[test]
fn the_address_is_judged_last() {
    let keys = Keys::new();
    let judged =
        |state: &str, form, sent| keys.judge(&id_of(state), form, sent, at(NOW), "203.0.113.9").map(|_| ());
    assert_eq!(judged("good", Form::Bound, NOW), Err(Refusal::IpNotAllowed));
    let late = Refusal::TimestampOutsideTolerance { sent: NOW - 301 };
    assert_eq!(judged("good", Form::Bound, NOW - 301), Err(late));
    assert_eq!(judged("revoked", Form::Bound, NOW), Err(Refusal::ApiKeyRevoked));
}
