//! Clicks on the commit path, among everything else.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use conversiond::domain::attempt::{Attempt, AttemptOutcome};
use conversiond::domain::fingerprint::Fingerprint;
use conversiond::domain::ids::{AttemptId, ClickId, KeyId, KeyKind};
use conversiond::domain::merchant::Mode;
use conversiond::domain::signature::IdempotencyKey;
use conversiond::domain::submission::{
    Claim, ClickRecording, Conflict, Content, ContentOutcome, StoredAnswer, Submission, SubmissionOutcome,
};
use conversiond::storage::submissions::WriteContext;
use conversiond::storage::writer::{BatchStore as _, DatabaseStore};
use conversiond::storage::{Connector, Purpose};
use conversiond::system::{SystemClock, SystemEntropy};
use serde_json::json;
use uuid::Uuid;

use crate::events::{Silent, context, keyed, merchant, now, recording, submission};
use crate::support::service::Setup;
use crate::support::{Backend, TestDatabase, on_both_databases};

fn open(backend: Backend) -> (TestDatabase, DatabaseStore, Setup) {
    let database = backend.database();
    let setup = Setup::new(&database, "");
    let connector = Connector::new(database.config("").database);
    let store = DatabaseStore::connect(connector, Purpose::Write, Arc::new(SystemClock)).unwrap();
    (database, store, setup)
}

/// A click on a link of this merchant.
fn click(number: u128, clicked_at: DateTime<Utc>) -> Submission {
    let (merchant, click_id) = (merchant(number).id, ClickId::generate(clicked_at, &SystemEntropy));
    Submission {
        merchant,
        mode: Mode::Live,
        attempt: Attempt {
            id: AttemptId::generate(now(), &SystemEntropy),
            started_at: now(),
            started: Duration::ZERO,
            endpoint: "clicks",
            request_id: "r".to_owned(),
            peer: None,
            key_id: None,
            merchant: Some(merchant),
            mode: None,
            body_sha256: None,
            body_bytes: 0,
            authenticated: true,
        },
        claim: None,
        delivery: None,
        content: Arc::new(Content::Click(ClickRecording {
            click_id,
            domain_id: Uuid::from_u128(1),
            url_id: Uuid::from_u128(2),
            clicked_at: click_id.clicked_at().unwrap(),
            key_id: KeyId::generate(KeyKind::Operator, &SystemEntropy),
            answer: StoredAnswer { status: 201, body: format!("{{\"click_id\":\"{click_id}\"}}") },
        })),
        metered: false,
        render: Arc::new(Silent),
    }
}

/// The same under a key that stands for these words.
fn under(mut submission: Submission, key: &str, words: &str) -> Submission {
    let key = IdempotencyKey::parse(key).unwrap().of_click();
    let fingerprint = Fingerprint::of_request("clicks", "application/json", None, words.as_bytes());
    submission.claim = Some(Claim { key, fingerprint, id: submission.attempt.id.to_string(), bound: true });
    submission
}

fn answer(submission: &Submission) -> StoredAnswer {
    let Content::Click(click) = submission.content.as_ref() else { panic!("{submission:?}") };
    click.answer.clone()
}

on_both_databases! {
    async fn a_batch_of_clicks_and_events_that_is_run_again_says_the_same_and_writes_nothing_twice(backend: Backend) {
        let (_database, mut store, mut setup) = open(backend);
        let sale = json!({"externalOrderId": "O-1", "amount": "1"});
        let first = under(click(1, now()), "k", "a");
        let batch = [
            click(2, now()),
            first.clone(),
            keyed(submission(recording(&merchant(1), &sale)), "k"),
            under(click(1, now()), "k", "a"),
            under(click(1, now()), "k", "b"),
            click(1, now() - TimeDelta::days(400)),
        ];
        let outcomes = store.commit(&batch, &context()).unwrap();
        assert_eq!(outcomes[0], SubmissionOutcome::Done(ContentOutcome::Click, None));
        assert_eq!(outcomes[1], SubmissionOutcome::Done(ContentOutcome::Click, Some(answer(&first))));
        let SubmissionOutcome::Done(sale, Some(_)) = &outcomes[2] else { panic!("{:?}", outcomes[2]) };
        assert_eq!(sale.word(), AttemptOutcome::Accepted);
        // One key, one click: the second gets the first one's answer, another request gets nothing.
        assert_eq!(outcomes[3], SubmissionOutcome::Replayed(answer(&first)));
        assert_eq!(outcomes[4], SubmissionOutcome::Refused(Conflict::KeyMismatch));
        for _ in 0..2 {
            let later = WriteContext { received_at: now() + TimeDelta::seconds(1), ..context() };
            assert_eq!(store.commit(&batch, &later).unwrap()[..2], outcomes[..2]);
        }
        assert_eq!((setup.count("clicks"), setup.count_events()), (3, 1));
        assert_eq!(setup.count("clicks WHERE recorded_at = '2026-06-01 12:00:00'"), 3);
        assert_eq!(setup.count("attempts WHERE endpoint = 'clicks' AND mode = ''"), 4);
    }

    async fn a_merchants_clicks_of_a_period_are_one_range_of_the_key(backend: Backend) {
        let (_database, mut store, mut setup) = open(backend);
        let at = |days| now() + TimeDelta::days(days);
        let batch: Vec<Submission> = (-5..5).flat_map(|days| [click(1, at(days)), click(2, at(days))]).collect();
        store.commit(&batch, &context()).unwrap();
        for (from, to, expected) in [(-5, 5, 10), (-2, 3, 5), (0, 1, 1), (5, 9, 0)] {
            let (first, end) = (ClickId::first_at(at(from)), ClickId::first_at(at(to)));
            let range = format!("merchant_id = '{}' AND click_id >= '{first}' AND click_id < '{end}'", merchant(1).id);
            assert_eq!(setup.count(&format!("clicks WHERE {range}")), expected, "{from} to {to}");
        }
    }

    async fn a_batch_with_a_click_that_the_database_refuses_leaves_nothing(backend: Backend) {
        let (_database, mut store, mut setup) = open(backend);
        let poison = click(1, now());
        let Content::Click(poisoned) = poison.content.as_ref() else { panic!() };
        let condition = format!("click_id <> '{}'", poisoned.click_id);
        match backend {
            Backend::Postgres => setup.execute(&format!("ALTER TABLE clicks ADD CHECK ({condition})")),
            Backend::Sqlite => setup.execute(&format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON clicks WHEN NOT (NEW.{condition}) \
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )),
        };
        assert!(store.commit(&[click(1, now()), poison], &context()).is_err());
        assert_eq!((setup.count("clicks"), setup.count("attempts")), (0, 0));
        assert!(store.commit(&[click(1, now())], &context()).is_ok());
        assert_eq!(setup.count("clicks"), 1);
    }
}
