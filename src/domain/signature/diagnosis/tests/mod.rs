//! Each mistake is made here and must be found again.

mod bound;
mod heads;
mod pairs;
mod plain;
mod rightness;
mod webhooks;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta};
use hmac::Mac as _;

use super::{Case, Diagnosis, RecordedRequest, Verdict, diagnose};
use crate::domain::secret::SigningSecret;
use crate::domain::signature::{Forms, hmac_sha256};

/// The key's id, its secret and the time.
const KEY: &str = "ak_live_0123456789abcdefghijklmn";
const SECRET: &str = "whsec_+/IDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
/// The secret behind its prefix.
const ENCODED: &str = "+/IDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
/// `Buffer.from(SECRET, "base64")` as node says it.
const NODE_DECODED: &str = "c21b1e73ffbf2030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2";
const NOW: i64 = 1_764_109_104;
const TS: &str = "1764109104";
const BODY: &str = r#"{"event_name":"lead","external_id":"L-1"}"#;

fn hmac(key: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> Vec<u8> {
    let mut mac = hmac_sha256(key.as_ref());
    mac.update(message.as_ref());
    mac.finalize().into_bytes().to_vec()
}

/// The bytes that the secret stands for.
fn decoded() -> Vec<u8> {
    STANDARD.decode(ENCODED).unwrap()
}

/// `X-Signature` and its kin, with a right v1 unless something is done to it.
fn head(timestamp: &str, signature: &str) -> String {
    format!("X-API-Key: {KEY}\nX-Timestamp: {timestamp}\nX-Signature: {signature}\n")
}

fn examine(head: &str, body: impl AsRef<[u8]>) -> Diagnosis {
    let request = RecordedRequest::read(head, None, None).unwrap();
    diagnose(&Case {
        request: &request,
        body: body.as_ref(),
        secret: &SigningSecret::parse(SECRET).unwrap(),
        now: DateTime::from_timestamp(NOW, 0).unwrap(),
        tolerance: TimeDelta::seconds(300),
        forms: if request.method() == "GET" { Forms::BOUND } else { Forms::ANY },
    })
}

fn codes(diagnosis: &Diagnosis) -> Vec<&'static str> {
    diagnosis.findings.iter().map(|finding| finding.code).collect()
}

/// Exactly these findings, in this order.
#[track_caller]
fn finds(codes_expected: &[&str], head: &str, body: impl AsRef<[u8]>) -> Diagnosis {
    let diagnosis = examine(head, body);
    assert_eq!(codes(&diagnosis), codes_expected, "{head}{:#?}", diagnosis.findings);
    assert_eq!(diagnosis.verdict, Verdict::MistakeFound, "{head}");
    diagnosis
}
