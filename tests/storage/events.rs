//! Recordings made by hand.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::attempt::Attempt;
use conversiond::domain::attribution::TokenVerdict;
use conversiond::domain::click_token::ClickToken;
use conversiond::domain::event::{Outcome, ParseContext, Recording, parse};
use conversiond::domain::fingerprint::Fingerprint;
use conversiond::domain::ids::{AttemptId, ClickId, EventId, KeyId, KeyKind, MerchantId};
use conversiond::domain::instant;
use conversiond::domain::merchant::{Merchant, Mode};
use conversiond::domain::signature::{Form, IdempotencyKey};
use conversiond::domain::submission::{
    Claim, Content, ContentOutcome, Entry, EntryOutcome, Render, Row, RowOutcome, StoredAnswer, Submission,
    SubmissionOutcome,
};
use conversiond::domain::time::Clock as _;
use conversiond::storage::submissions::WriteContext;
use conversiond::system::{SystemClock, SystemEntropy};
use serde_json::Value;
use uuid::Uuid;

/// The instant at which everything here happens.
pub fn now() -> DateTime<Utc> {
    instant::parse("2026-06-01T12:00:00Z").unwrap()
}

/// A merchant that no table knows: events need none.
pub fn merchant(number: u128) -> Arc<Merchant> {
    let id = MerchantId::from_uuid(Uuid::from_u128(number));
    Arc::new(Merchant { currency: "USD".parse().ok(), ..Merchant::new(id) })
}

/// An event of this merchant.
pub fn recording(merchant: &Arc<Merchant>, body: &Value) -> Recording {
    let text = body.to_string();
    let context = ParseContext { now: now(), default_currency: merchant.currency };
    Recording {
        // What is older than the database's clock allows is not recorded.
        event_id: EventId::generate(SystemClock.now(), &SystemEntropy),
        attempt_id: AttemptId::generate(now(), &SystemEntropy),
        merchant: merchant.clone(),
        mode: Mode::Live,
        key_id: KeyId::generate(KeyKind::Live, &SystemEntropy),
        form: Form::Plain,
        idempotency_key: None,
        token: TokenVerdict::None,
        callback: parse(text.as_bytes(), &context).unwrap(),
        body: text,
    }
}

/// A genuine token of a click of this merchant.
pub fn click(merchant: &Arc<Merchant>, number: u128) -> TokenVerdict {
    TokenVerdict::Genuine(ClickToken {
        merchant_id: merchant.id,
        domain_id: Uuid::from_u128(1),
        url_id: Uuid::from_u128(2),
        click_id: ClickId::from_uuid(Uuid::from_u128(number)),
        clicked_at: now(),
    })
}

/// Words that say nothing.
pub struct Silent;

impl Render for Silent {
    fn entry(&self, _: &Entry, outcome: &EntryOutcome) -> Option<StoredAnswer> {
        let body = format!("{{\"is\":\"{:?}\"}}", outcome.word());
        (!outcome.is_refused()).then_some(StoredAnswer { status: 202, body })
    }

    fn bulk(&self, _: &str, _: &[Row], outcomes: &[RowOutcome]) -> StoredAnswer {
        StoredAnswer { status: 200, body: format!("{{\"rows\":{}}}", outcomes.len()) }
    }
}

/// A request that reports one event.
pub fn submission(recording: Recording) -> Submission {
    let attempt = Attempt {
        id: recording.attempt_id,
        started_at: now(),
        started: Duration::ZERO,
        endpoint: "conversions",
        request_id: "r".to_owned(),
        peer: None,
        key_id: None,
        merchant: Some(recording.merchant.id),
        mode: Some(recording.mode),
        body_sha256: None,
        body_bytes: 0,
        authenticated: true,
    };
    Submission {
        merchant: recording.merchant.id,
        mode: recording.mode,
        attempt,
        claim: None,
        delivery: None,
        content: Arc::new(Content::One(Entry { event: Some(recording), status: None })),
        metered: false,
        render: Arc::new(Silent),
    }
}

/// The same under an idempotency key, which stands for what it says.
pub fn keyed(mut submission: Submission, key: &str) -> Submission {
    let Content::One(Entry { event: Some(event), status }) = submission.content.as_ref() else { panic!() };
    let key = IdempotencyKey::parse(key).unwrap();
    let event = Recording { idempotency_key: Some(key.clone()), ..event.clone() };
    let fingerprint = Fingerprint::of_event(&event.callback);
    submission.claim = Some(Claim { key, fingerprint, id: submission.attempt.id.to_string(), bound: true });
    submission.content = Arc::new(Content::One(Entry { event: Some(event), status: status.clone() }));
    submission
}

/// The circumstances of every batch here.
pub fn context() -> WriteContext {
    WriteContext {
        received_at: now(),
        begun_at: SystemClock.now(),
        monotonic: Duration::ZERO,
        key_ttl: TimeDelta::hours(24),
    }
}

/// What became of a request that reports one event.
pub fn event_outcome(outcome: &SubmissionOutcome) -> &Outcome {
    match outcome {
        SubmissionOutcome::Done(ContentOutcome::One(EntryOutcome { event: Some(event), .. }), _) => event,
        other => panic!("{other:?}"),
    }
}
