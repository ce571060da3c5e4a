//! Whether the signature is right after all: judged by the very code that serves requests.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Case;
use super::finding::Finding;
use crate::domain::access::{ApiKey, Circumstances, KeyDirectory, LiveSecret, Refusal};
use crate::domain::click_token::TokenRing;
use crate::domain::ids::{KeyId, KeyKind, MerchantId};
use crate::domain::instant;
use crate::domain::merchant::Merchant;
use crate::domain::signature::{Digests, RequestHeaders, SignedHead, SigningKeys};
use crate::domain::time::Entropy;

/// What the service makes of a request whose key has the secret given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It would take it.
    Accepted,
    /// The signature is right, and the request is refused all the same.
    Refused(Refusal),
    /// The signature is wrong.
    Wrong,
    /// There is no well-formed signature to judge.
    Unreadable,
}

/// Any id will do: the secret is known, and whose it is is not asked.
struct NoEntropy;

impl Entropy for NoEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

/// Judges a request.
pub fn judge(case: &Case<'_>, headers: &RequestHeaders<'_>) -> Judgement {
    let Ok(head) = headers.parse() else { return Judgement::Unreadable };
    let id = KeyId::generate(KeyKind::Live, &NoEntropy);
    let secret = SigningKeys::new(case.secret);
    let key = ApiKey {
        id: id.clone(),
        merchant: Some(Arc::new(Merchant::new(MerchantId::from_uuid(uuid::Uuid::nil())))),
        ip_allow: Vec::new(),
        require_v2: false,
        revoked: false,
        secrets: vec![LiveSecret { keys: secret.clone(), expires_at: None }],
    };
    let directory = KeyDirectory::new([key], secret, TokenRing::default());
    let head = SignedHead { key_id: id.as_str(), ..head };
    let circumstances =
        Circumstances { now: case.now, tolerance: case.tolerance, client: None, forms: case.forms };
    let digests = Digests::of(case.body);
    match directory.judge(&head, &case.request.covered(case.body), &digests, &circumstances) {
        Ok(_) => Judgement::Accepted,
        Err(Refusal::BadSignature) => Judgement::Wrong,
        Err(refusal) => Judgement::Refused(refusal),
    }
}

/// Why a request that is signed rightly is refused.
pub fn explain(refusal: Refusal, case: &Case<'_>) -> Finding {
    match refusal {
        Refusal::TimestampOutsideTolerance { sent } => {
            outside_tolerance(sent, case).unwrap_or_else(|| Finding::new("refused", refusal.reason()))
        }
        Refusal::FormNotAllowed => form_not_allowed(),
        other => Finding::new("refused", other.reason()),
    }
}

/// The plain form and Standard Webhooks bind the body alone.
pub fn form_not_allowed() -> Finding {
    Finding::new(
        "signature_form_not_allowed",
        "This request must be signed with v2: any other form leaves the path open, so only the endpoints that take \
         callbacks (conversions, bulk, order-status, webhooks) take it.",
    )
}

/// How far a timestamp lies outside the tolerance, if it does.
pub fn outside_tolerance(sent: i64, case: &Case<'_>) -> Option<Finding> {
    const HALF_HOUR: u64 = 1_800;
    let Case { now, tolerance, .. } = case;
    let off = now.timestamp().abs_diff(sent);
    let tolerance: u64 = tolerance.num_seconds().unsigned_abs();
    if off <= tolerance {
        return None;
    }
    let side = if sent < now.timestamp() { "before" } else { "after" };
    let date = DateTime::<Utc>::from_timestamp(sent, 0).map(instant::format).unwrap_or_default();
    let now = instant::format(*now - TimeDelta::nanoseconds(now.timestamp_subsec_nanos().into()));
    // A clock that shows local time as UTC is off by half hours.
    let zone = (off + HALF_HOUR / 2) / HALF_HOUR * HALF_HOUR;
    let by_zone = (HALF_HOUR..=14 * 3_600).contains(&zone) && off.abs_diff(zone) <= tolerance.min(60);
    let hint = if by_zone { " That is close to whole hours: is local time taken for UTC?" } else { "" };
    Some(Finding::new(
        "timestamp_outside_tolerance",
        format!(
            "The timestamp {sent} ({date}) lies {off} s {side} {now}; {tolerance} s are allowed.{hint} Set the \
             sender's clock, and sign every attempt anew. (If the request was refused at another time than \
             this, give that time with --now.)"
        ),
    ))
}
