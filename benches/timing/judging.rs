//! The function that judges, by itself.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::access::{ApiKey, Circumstances, KeyDirectory, LiveSecret};
use conversiond::domain::click_token::TokenRing;
use conversiond::domain::ids::{KeyId, KeyKind, MerchantId};
use conversiond::domain::merchant::Merchant;
use conversiond::domain::secret::SigningSecret;
use conversiond::domain::signature::{Covered, Digests, Forms, RequestHeaders, SigningKeys};
use conversiond::domain::time::Clock as _;
use conversiond::system::{SystemClock, SystemEntropy};
use fastrand::Rng;

use crate::welch::Samples;
use crate::{BLOCK, Class, UNCOUNTED};

pub const KNOWN_OR_NOT: &str = "known or unknown key";
pub const FIRST_OR_LAST_BYTE: &str = "first or last byte of the MAC wrong";
pub const NEITHER_KNOWN: &str = "unknown or another unknown key (control)";
pub const CONTROL: &str = "control, 64 bytes more";

const BODY: &[u8] =
    br#"{"event_name":"sale","custom_data":{"order_id":"ORD-1","value":"1","currency":"USD"}}"#;

/// How many keys of either kind are named in turn within a block, out of how many.
pub const KEYS: usize = 8;
pub const KEYS_KNOWN: usize = 100;

/// A request that will be refused, as its headers say it.
struct Refused {
    key_id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

/// A directory of a hundred keys, and the first few of them with their secrets.
fn directory() -> (KeyDirectory, Vec<(KeyId, SigningSecret)>) {
    let merchant = Arc::new(Merchant::new(MerchantId::generate(SystemClock.now(), &SystemEntropy)));
    let secret = || SigningSecret::generate(&SystemEntropy);
    let keys: Vec<(KeyId, SigningSecret)> =
        (0..KEYS_KNOWN).map(|_| (KeyId::generate(KeyKind::Live, &SystemEntropy), secret())).collect();
    let live = |secret: &SigningSecret| LiveSecret { keys: SigningKeys::new(secret), expires_at: None };
    let all = keys.iter().map(|(id, secret)| ApiKey {
        id: id.clone(),
        merchant: Some(merchant.clone()),
        ip_allow: Vec::new(),
        require_v2: false,
        revoked: false,
        secrets: vec![live(secret)],
    });
    let directory = KeyDirectory::new(all, SigningKeys::new(&secret()), TokenRing::new([]));
    (directory, keys.into_iter().take(KEYS).collect())
}

/// The requests of both classes.
fn requests(comparison: &str, keys: &[(KeyId, SigningSecret)], now: DateTime<Utc>) -> [Vec<Refused>; 2] {
    let unknown: Vec<KeyId> = (0..2 * KEYS).map(|_| KeyId::generate(KeyKind::Live, &SystemEntropy)).collect();
    [0, 1].map(|class| {
        let request = |(number, (id, secret)): (usize, &(KeyId, SigningSecret))| {
            let timestamp = now.timestamp().to_string();
            let body = match (comparison, class) {
                (CONTROL, 1) => [BODY, &[b' '; 64]].concat(),
                _ => BODY.to_vec(),
            };
            let mut mac = SigningKeys::new(secret).plain(&timestamp, &covered(&body));
            match (comparison, class) {
                (FIRST_OR_LAST_BYTE, 1) => mac[31] ^= 1,
                _ => mac[0] ^= 1,
            }
            let key_id = match (comparison, class) {
                (KNOWN_OR_NOT, 1) => unknown[number].to_string(),
                (NEITHER_KNOWN, _) => unknown[class * KEYS + number].to_string(),
                _ => id.to_string(),
            };
            let signature = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            Refused { key_id, timestamp, signature, body }
        };
        keys.iter().enumerate().map(request).collect()
    })
}

fn covered(body: &[u8]) -> Covered<'_> {
    Covered {
        method: "POST",
        target: "/api/v1/conversions",
        idempotency_key: "",
        external_event_id: "",
        body,
    }
}

/// Judges one request per class given.
pub fn measure(comparison: &str, classes: &[Class]) -> Samples {
    let now = SystemClock.now();
    let mut samples = Samples::default();
    let mut random = Rng::with_seed(classes.len() as u64);
    let mut shifts = Vec::new();
    for classes in classes.chunks(BLOCK) {
        samples.begin_block();
        // What stays allocated moves what is allocated next.
        shifts.push((0..16).map(|_| vec![0u8; random.usize(1..2_048)]).collect::<Vec<_>>());
        let (directory, keys) = directory();
        let requests = requests(comparison, &keys, now);
        for (number, class) in classes.iter().take(UNCOUNTED).chain(classes).enumerate() {
            let took = judge(&directory, &requests[*class][number % KEYS], now);
            if number >= UNCOUNTED {
                samples.add(*class, took);
            }
        }
    }
    samples
}

/// How long it takes to refuse a request, in nanoseconds.
fn judge(directory: &KeyDirectory, request: &Refused, now: DateTime<Utc>) -> u64 {
    let circumstances =
        Circumstances { now, tolerance: TimeDelta::seconds(300), client: None, forms: Forms::ANY };
    let digests = Digests::of(&request.body);
    let headers = RequestHeaders {
        api_key: vec![Some(&request.key_id)],
        timestamp: vec![Some(&request.timestamp)],
        signature: vec![Some(&request.signature)],
        ..RequestHeaders::default()
    };
    let head = headers.parse().expect("well-formed headers");
    let (head, covered) = (black_box(&head), covered(&request.body));
    let began = Instant::now();
    let verdict = directory.judge(head, &covered, &digests, &circumstances);
    let took = began.elapsed();
    assert!(black_box(verdict).is_err(), "nothing here is signed rightly");
    u64::try_from(took.as_nanos()).unwrap()
}
