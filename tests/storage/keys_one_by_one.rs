//! Whatever comes under whatever keys in whatever batches: the answers are those of a simple model that
//! takes one request at a time.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::event::{EventName, Outcome, Recording};
use conversiond::domain::merchant::Mode;
use conversiond::domain::submission::{
    Conflict, Content, ContentOutcome, Entry, EntryOutcome, Render, Row, RowOutcome, StoredAnswer,
    Submission, SubmissionOutcome,
};
use conversiond::storage::submissions::WriteContext;
use conversiond::storage::writer::{BatchStore, DatabaseStore};
use conversiond::storage::{Connector, Purpose};
use conversiond::system::SystemClock;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::events::{context, keyed, merchant, now, recording, submission};
use crate::support::service::Setup;
use crate::support::{Backend, on_both_databases};

/// Words that name the event.
struct Naming;

impl Render for Naming {
    fn entry(&self, _: &Entry, outcome: &EntryOutcome) -> Option<StoredAnswer> {
        let body = match outcome.event.as_ref().unwrap() {
            Outcome::Accepted(event) => format!("accepted {}", event.event_id),
            Outcome::Duplicate { original, .. } => format!("duplicate of {}", original.event_id),
            Outcome::RefundIdRequired => return None,
        };
        Some(StoredAnswer { status: 202, body })
    }

    fn bulk(&self, _: &str, _: &[Row], _: &[RowOutcome]) -> StoredAnswer {
        panic!("nothing here is sent in bulk")
    }
}

/// One request.
#[derive(Debug, Clone)]
struct Request {
    merchant: u128,
    mode: Mode,
    key: Option<u8>,
    kind: EventName,
    order: u8,
    amount: u8,
}

/// Some that come together.
#[derive(Debug, Clone)]
struct Batch {
    requests: Vec<Request>,
    /// How long after those before.
    hours_later: i64,
    /// Whether the answer to its COMMIT is lost.
    lost: bool,
}

fn request() -> impl Strategy<Value = Request> {
    let kinds = [EventName::Lead, EventName::Sale, EventName::Refund, EventName::Refund];
    let modes = [Mode::Live, Mode::Live, Mode::Live, Mode::Test];
    (1..=2u128, prop::sample::select(modes.to_vec()), prop::option::weighted(0.8, 0..3u8))
        .prop_flat_map(move |(merchant, mode, key)| {
            (Just((merchant, mode, key)), prop::sample::select(kinds.to_vec()), 0..2u8, 1..3u8)
        })
        .prop_map(|((merchant, mode, key), kind, order, amount)| Request {
            merchant,
            mode,
            key,
            kind,
            order,
            amount,
        })
}

fn history() -> impl Strategy<Value = Vec<Batch>> {
    let hours = prop::sample::select(vec![0, 0, 1, 9, 25]);
    let batch = (prop::collection::vec(request(), 1..10), hours, any::<bool>());
    let batch = batch.prop_map(|(requests, hours_later, lost)| Batch { requests, hours_later, lost });
    prop::collection::vec(batch, 1..8)
}

impl Request {
    fn submission(&self) -> Submission {
        let money = json!({"value": self.amount.to_string(), "currency": "USD"});
        let order = format!("O-{}", self.order);
        let event = match self.kind {
            EventName::Lead => json!({"event_name": "lead", "external_id": order, "custom_data": money}),
            EventName::Sale => json!({"externalOrderId": order, "amount": self.amount}),
            _ => json!({"event_name": "refund", "custom_data":
                {"related_order_id": order, "value": money["value"], "currency": "USD"}}),
        };
        let recording = Recording { mode: self.mode, ..recording(&merchant(self.merchant), &event) };
        let submission = Submission { render: Arc::new(Naming), ..submission(recording) };
        match self.key {
            Some(key) => keyed(submission, &format!("k-{key}")),
            None => submission,
        }
    }
}

/// What lies under a key.
struct Kept {
    says: (EventName, u8, u8),
    answer: String,
    until: DateTime<Utc>,
}

/// What lies under an identity.
struct Event {
    id: String,
    amount: u8,
    key: Option<u8>,
}

/// What the contract says, one request at a time.
#[derive(Default)]
struct Model {
    keys: HashMap<(u128, Mode, u8), Kept>,
    events: HashMap<(u128, Mode, EventName, u8), Event>,
}

impl Model {
    fn answer(&mut self, request: &Request, proposed: String, now: DateTime<Utc>) -> String {
        let Request { merchant, mode, key, kind, order, amount } = request.clone();
        let says = (kind, order, amount);
        self.keys.retain(|_, kept| kept.until > now);
        if let Some(kept) = key.and_then(|key| self.keys.get(&(merchant, mode, key))) {
            return if kept.says == says {
                format!("replayed: {}", kept.answer)
            } else {
                "mismatch".to_owned()
            };
        }
        let answer = match self.events.get(&(merchant, mode, kind, order)) {
            Some(event) => {
                let other_key = key.is_some() && key != event.key;
                if kind == EventName::Refund && (event.amount != amount || other_key) {
                    return "refund id required".to_owned();
                }
                format!("duplicate of {}", event.id)
            }
            None => {
                let answer = format!("accepted {proposed}");
                self.events.insert((merchant, mode, kind, order), Event { id: proposed, amount, key });
                answer
            }
        };
        if let Some(key) = key {
            let until = now + TimeDelta::hours(24);
            self.keys.insert((merchant, mode, key), Kept { says, answer: answer.clone(), until });
        }
        answer
    }
}

/// What a caller is told; `None` = it has another turn.
fn told(submission: &Submission, outcome: &SubmissionOutcome) -> Option<String> {
    Some(match outcome {
        SubmissionOutcome::Replayed(answer) => format!("replayed: {}", answer.body),
        SubmissionOutcome::Refused(Conflict::KeyMismatch) => "mismatch".to_owned(),
        SubmissionOutcome::Refused(Conflict::KeyInUse) => return None,
        SubmissionOutcome::Done(ContentOutcome::One(outcome), stored) => {
            let Content::One(entry) = submission.content.as_ref() else { panic!() };
            let answer = Naming.entry(entry, outcome);
            assert_eq!(stored, &answer.clone().filter(|_| submission.claim.is_some()));
            answer.map_or_else(|| "refund id required".to_owned(), |answer| answer.body)
        }
        other => panic!("{other:?}"),
    })
}

fn event_id(submission: &Submission) -> String {
    submission.entries().flat_map(Entry::events).next().unwrap().event_id.to_string()
}

fn compare(backend: Backend, history: &[Batch]) -> Result<(), TestCaseError> {
    let database = backend.database();
    let mut setup = Setup::new(&database, "");
    let connector = Connector::new(database.config("").database);
    let mut store = DatabaseStore::connect(connector, Purpose::Write, Arc::new(SystemClock)).unwrap();
    let mut model = Model::default();
    let mut received_at = now();
    for batch in history {
        received_at += TimeDelta::hours(batch.hours_later);
        let context = WriteContext { received_at, ..context() };
        let mut turn: Vec<(&Request, Submission)> =
            batch.requests.iter().map(|request| (request, request.submission())).collect();
        while !turn.is_empty() {
            let submissions: Vec<Submission> =
                turn.iter().map(|(_, submission)| submission.clone()).collect();
            let mut outcomes = store.commit(&submissions, &context).unwrap();
            let tell = |outcomes: &[SubmissionOutcome]| -> Vec<Option<String>> {
                submissions
                    .iter()
                    .zip(outcomes)
                    .map(|(submission, outcome)| told(submission, outcome))
                    .collect()
            };
            let answers = tell(&outcomes);
            if batch.lost {
                outcomes = store.commit(&submissions, &context).unwrap();
                prop_assert_eq!(&tell(&outcomes), &answers, "run again after a lost answer to COMMIT");
            }
            let mut next_turn = Vec::new();
            for ((request, submission), answer) in turn.into_iter().zip(answers) {
                match answer {
                    None => next_turn.push((request, submission)),
                    Some(answer) => {
                        let expected = model.answer(request, event_id(&submission), received_at);
                        prop_assert_eq!(answer, expected, "{:?}", request);
                    }
                }
            }
            prop_assert!(next_turn.len() < submissions.len(), "nobody had a turn");
            turn = next_turn;
        }
    }
    prop_assert_eq!(setup.count("events"), i64::try_from(model.events.len()).unwrap());
    let live = format!("idempotency_keys WHERE expires_at > '{}'", received_at.format("%F %T"));
    prop_assert_eq!(setup.count(&live), i64::try_from(model.keys.len()).unwrap());
    Ok(())
}

on_both_databases! {
    async fn any_batches_under_any_keys_are_answered_as_one_by_one(backend: Backend) {
        let cases = if backend == Backend::Sqlite { 96 } else { 24 };
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        if let Err(error) = runner.run(&history(), |history| compare(backend, &history)) {
            panic!("{error}");
        }
    }
}
