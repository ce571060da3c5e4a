//! Any Standard Webhooks library signs for us, and no bit of what is signed can be changed.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::access::{ApiKey, Circumstances, KeyDirectory, LiveSecret};
use conversiond::domain::click_token::TokenRing;
use conversiond::domain::ids::{KeyId, KeyKind, MerchantId};
use conversiond::domain::merchant::Merchant;
use conversiond::domain::secret::SigningSecret;
use conversiond::domain::signature::{Covered, Digests, Form, Forms, RequestHeaders, SigningKeys, sign};
use conversiond::system::SystemEntropy;
use serde_json::json;
use standardwebhooks::Webhook;
use uuid::Uuid;

use crate::support::caller::unix_now;
use crate::support::{Backend, Service};

const NOW: i64 = 1_764_109_104;

/// Numbers that look random and are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % limit
    }

    /// A lead of this number with text of every kind in it.
    fn body(&mut self, number: usize) -> String {
        const CHARACTERS: [char; 12] =
            ['a', 'Z', '0', ' ', '"', '\\', '\n', '\t', 'é', '順', '😀', '\u{2028}'];
        let length = self.below(400);
        let text: String = (0..length).map(|_| CHARACTERS[self.below(CHARACTERS.len())]).collect();
        let space = " ".repeat(self.below(5));
        let event =
            json!({"event_name": "lead", "external_id": format!("L-{number}"), "metadata": {"text": text}});
        format!("{space}{event}{space}")
    }

    fn flip_bit(&mut self, text: &str) -> Vec<u8> {
        flipped(text, self.below(text.len() * 8))
    }
}

fn flipped(text: &str, bit: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// A directory of one key, and what judges by it.
struct Judge {
    directory: KeyDirectory,
    key_id: String,
    secret: SigningSecret,
}

impl Judge {
    fn new() -> Self {
        let secret = SigningSecret::generate(&SystemEntropy);
        let merchant = Merchant::new(MerchantId::from_uuid(Uuid::new_v4()));
        let id = KeyId::generate(KeyKind::Live, &SystemEntropy);
        let key = ApiKey {
            id: id.clone(),
            merchant: Some(Arc::new(merchant)),
            ip_allow: Vec::new(),
            require_v2: false,
            revoked: false,
            secrets: vec![LiveSecret { keys: SigningKeys::new(&secret), expires_at: None }],
        };
        let dummy = SigningKeys::new(&SigningSecret::generate(&SystemEntropy));
        let directory = KeyDirectory::new([key], dummy, TokenRing::default());
        Self { directory, key_id: id.to_string(), secret }
    }

    /// The form in which a request is accepted, if it is.
    fn accepts(&self, headers: &RequestHeaders<'_>, covered: &Covered<'_>) -> Option<Form> {
        let now: DateTime<Utc> = DateTime::from_timestamp(NOW, 0).unwrap();
        let circumstances =
            Circumstances { now, tolerance: TimeDelta::seconds(300), client: None, forms: Forms::ANY };
        let head = headers.parse().ok()?;
        let verified =
            self.directory.judge(&head, covered, &Digests::of(covered.body), &circumstances).ok()?;
        assert_eq!(verified.key_id().as_str(), self.key_id);
        Some(verified.form())
    }

    fn accepts_webhook(&self, id: &[u8], timestamp: &[u8], signature: &[u8], body: &[u8]) -> bool {
        // What is not ASCII is no header's text.
        let line = |bytes| vec![std::str::from_utf8(bytes).ok().filter(|text: &&str| text.is_ascii())];
        let headers = RequestHeaders {
            api_key: vec![Some(&self.key_id)],
            webhook_id: line(id),
            webhook_timestamp: line(timestamp),
            webhook_signature: line(signature),
            ..RequestHeaders::default()
        };
        let form = self.accepts(&headers, &post(body));
        assert!(form.is_none_or(|form| form == Form::StandardWebhooks));
        form.is_some()
    }
}

fn post(body: &[u8]) -> Covered<'_> {
    let (idempotency_key, external_event_id) = ("order-7", "");
    Covered { method: "POST", target: "/api/v1/conversions?a=1", idempotency_key, external_event_id, body }
}

#[test]
fn a_thousand_bodies_signed_by_a_library_are_accepted_and_refused_with_one_bit_flipped() {
    let judge = Judge::new();
    let library = Webhook::new(judge.secret.expose_text()).unwrap();
    let mut numbers = Numbers(20_261_122);
    let timestamp = NOW.to_string();
    for number in 0..1_000 {
        let body = numbers.body(number);
        let id = format!("msg_{number}_{}", numbers.below(1_000_000));
        let signature = library.sign(&id, NOW, body.as_bytes()).unwrap();
        let [i, t, s, b] = [&id, &timestamp, &signature, &body].map(|text| text.as_bytes());
        assert!(judge.accepts_webhook(i, t, s, b), "{body}");
        assert!(!judge.accepts_webhook(i, t, s, &numbers.flip_bit(&body)), "{body}");
        assert!(!judge.accepts_webhook(&numbers.flip_bit(&id), t, s, b), "{body}");
        assert!(!judge.accepts_webhook(i, &numbers.flip_bit(&timestamp), s, b), "{body}");
        assert!(!judge.accepts_webhook(i, t, &numbers.flip_bit(&signature), b), "{body}");
    }
}

#[test]
fn every_single_bit_of_a_webhook_counts() {
    let judge = Judge::new();
    let library = Webhook::new(judge.secret.expose_text()).unwrap();
    let (id, timestamp, body) = ("msg_1", NOW.to_string(), r#"{"event_name":"lead","external_id":"é"}"#);
    let signature = library.sign(id, NOW, body.as_bytes()).unwrap();
    let parts = [id, &timestamp, &signature, body];
    for (place, part) in parts.into_iter().enumerate() {
        for bit in 0..part.len() * 8 {
            let mut changed = parts.map(|text| text.as_bytes().to_vec());
            changed[place] = flipped(part, bit);
            let [i, t, s, b] = &changed;
            assert!(!judge.accepts_webhook(i, t, s, b), "part {place}, bit {bit}");
        }
    }
    assert!(judge.accepts_webhook(
        id.as_bytes(),
        timestamp.as_bytes(),
        signature.as_bytes(),
        body.as_bytes()
    ));
}

#[test]
fn every_single_bit_of_the_hex_forms_counts() {
    let judge = Judge::new();
    let body = r#"{"event_name":"lead","external_id":"L-1"}"#;
    for form in [Form::Plain, Form::Bound] {
        let signed = sign(form, &judge.key_id, &judge.secret, NOW, "", &post(body.as_bytes()));
        let [_, (_, timestamp), (_, signature)] = signed.as_slice() else { panic!("{signed:?}") };
        let accepts = |timestamp: &[u8], signature: &str, body: &[u8]| {
            let headers = RequestHeaders {
                api_key: vec![Some(&judge.key_id)],
                timestamp: vec![std::str::from_utf8(timestamp).ok()],
                signature: vec![Some(signature)],
                ..RequestHeaders::default()
            };
            judge.accepts(&headers, &post(body))
        };
        assert_eq!(accepts(timestamp.as_bytes(), signature, body.as_bytes()), Some(form));
        for bit in 0..body.len() * 8 {
            assert_eq!(
                accepts(timestamp.as_bytes(), signature, &flipped(body, bit)),
                None,
                "body, bit {bit}"
            );
        }
        for bit in 0..timestamp.len() * 8 {
            assert_eq!(accepts(&flipped(timestamp, bit), signature, body.as_bytes()), None, "bit {bit}");
        }
        // Bits of the value, not of its digits: those may be written in either case.
        let (version, digits) = signature.split_once('=').unwrap();
        let value = hex::decode(digits).unwrap();
        for bit in 0..value.len() * 8 {
            let mut other = value.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let signature = format!("{version}={}", hex::encode(other));
            assert_eq!(accepts(timestamp.as_bytes(), &signature, body.as_bytes()), None, "bit {bit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_librarys_webhooks_are_recorded_and_its_forgeries_are_not() {
    let service = Service::start(Backend::Sqlite).await;
    let caller = &service.caller;
    let library = Webhook::new(caller.secret.expose_text()).unwrap();
    let mut numbers = Numbers(7);
    for number in 0..60 {
        let body = numbers.body(number);
        let (id, now) = (format!("msg_{number}"), unix_now());
        let signature = library.sign(&id, now, body.as_bytes()).unwrap();
        let headers = [
            ("X-API-Key".to_owned(), caller.key_id.clone()),
            ("webhook-id".to_owned(), id),
            ("webhook-timestamp".to_owned(), now.to_string()),
            ("webhook-signature".to_owned(), signature),
        ];
        let forged = numbers.flip_bit(&body);
        let refused = caller.send("POST", "/api/v1/conversions", &forged, &headers).await;
        refused.expect_problem(401, "unauthorized");
        let accepted = caller.send("POST", "/api/v1/conversions", body.as_bytes(), &headers).await;
        assert_eq!(accepted.word(), "ACCEPTED", "{}", accepted.text);
    }
    assert_eq!(service.count_events(), 60);
}
