//! A batch means what its deliveries mean one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use conversiond::domain::event::{Outcome, Recorded, Recording};
use conversiond::domain::ids::EventId;
use conversiond::domain::merchant::Mode;
use conversiond::domain::submission::{Conflict, Submission, SubmissionOutcome};
use conversiond::storage::events::{Filter, Page, list};
use conversiond::storage::writer::{BatchStore, DatabaseStore};
use conversiond::storage::{AnyConnection, Connector, Purpose, check_durability};
use conversiond::system::SystemClock;
use diesel::connection::SimpleConnection as _;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use uuid::Uuid;

use crate::events::{click, context, event_outcome, keyed, merchant, recording, submission};
use crate::support::service::Setup;
use crate::support::{Backend, TestDatabase, on_both_databases};

fn open(backend: Backend) -> (TestDatabase, DatabaseStore) {
    let database = backend.database();
    drop(Setup::new(&database, ""));
    let store = DatabaseStore::connect(
        Connector::new(database.config("").database),
        Purpose::Write,
        Arc::new(SystemClock),
    )
    .unwrap();
    (database, store)
}

fn connect(database: &TestDatabase) -> AnyConnection {
    Connector::new(database.config("").database).connect(Purpose::Read).unwrap()
}

fn word(outcome: &SubmissionOutcome) -> String {
    match event_outcome(outcome) {
        Outcome::Accepted(_) => "accepted".to_owned(),
        Outcome::Duplicate { differs, original } => {
            format!("duplicate {differs:?} {:?}", original.attribution)
        }
        Outcome::RefundIdRequired => "refund id".to_owned(),
    }
}

fn submissions(recordings: &[Recording]) -> Vec<Submission> {
    recordings.iter().cloned().map(submission).collect()
}

/// What lies in the store, whatever the ids.
fn contents(database: &TestDatabase, merchants: u128) -> BTreeMap<String, Recorded> {
    let mut connection = connect(database);
    let page = Page { before: None, limit: 10_000 };
    let mut all = BTreeMap::new();
    for number in 1..=merchants {
        for event in
            list(&mut connection, merchant(number).id, Mode::Live, &Filter::default(), page).unwrap().found
        {
            let key = format!("{number} {:?} {:?} {:?}", event.name, event.order_id, event.external_id);
            let anonymous = Recorded { event_id: EventId::from_uuid(Uuid::nil()), ..event };
            let before = all.insert(key.clone(), anonymous);
            assert!(before.is_none(), "{key} is there twice");
        }
    }
    all
}

/// One delivery: merchant, order, kind, amount, token, refund id.
fn delivery() -> impl Strategy<Value = Recording> {
    (1..=2u128, 0..3u8, 0..4u8, 0..3u8, 0..3u8, 0..3u8).prop_map(|(number, order, kind, amount, token, id)| {
        let merchant = merchant(number);
        let money = json!({"value": format!("{amount}.00"), "currency": "USD"});
        let mut event = match kind {
            0 => json!({"event_name": "lead", "external_id": format!("O-{order}")}),
            1 => json!({"event_name": "sale", "custom_data": {"order_id": format!("O-{order}"),
                "value": money["value"], "currency": "USD"}}),
            2 => json!({"event_name": "refund", "custom_data": {"related_order_id": format!("O-{order}"),
                "value": money["value"], "currency": "USD"}}),
            _ => json!({"event_name": "cancellation", "custom_data": {"related_order_id": format!("O-{order}")}}),
        };
        event["event_time"] = json!("2026-06-01T12:00:00Z");
        if kind == 2 && id > 0 {
            event["external_id"] = json!(id.to_string());
        }
        let mut recording = recording(&merchant, &event);
        if token > 0 {
            recording.token = click(&merchant, token.into());
        }
        recording
    })
}

on_both_databases! {
    async fn a_batch_gives_what_its_deliveries_give_one_by_one(backend: Backend) {
        let mut runner = TestRunner::deterministic();
        for _ in 0..8 {
            let history = prop::collection::vec(delivery(), 1..60).new_tree(&mut runner).unwrap().current();
            let (single_db, mut single) = open(backend);
            let (batch_db, mut batch) = open(backend);
            let one_by_one: Vec<String> = history
                .iter()
                .map(|delivery| word(&single.commit(&[submission(delivery.clone())], &context()).unwrap()[0]))
                .collect();
            let together: Vec<String> = batch.commit(&submissions(&history), &context()).unwrap().iter().map(word).collect();
            assert_eq!(one_by_one, together);
            assert_eq!(contents(&single_db, 2), contents(&batch_db, 2));
        }
    }

    async fn the_same_order_twice_in_one_batch_is_one_event(backend: Backend) {
        let (database, mut store) = open(backend);
        let merchant = merchant(1);
        let sale = json!({"externalOrderId": "O-1", "amount": "1"});
        let batch: Vec<Recording> = (0..3).map(|_| recording(&merchant, &sale)).collect();
        let outcomes = store.commit(&submissions(&batch), &context()).unwrap();
        let Outcome::Accepted(first) = event_outcome(&outcomes[0]) else { panic!("{outcomes:?}") };
        for outcome in &outcomes[1..] {
            let Outcome::Duplicate { original, differs } = event_outcome(outcome) else { panic!("{outcome:?}") };
            assert_eq!((original.event_id, differs.len()), (first.event_id, 0));
        }
        let stored = contents(&database, 1);
        assert_eq!(stored.len(), 1);
        assert!(stored.values().all(|event| event.times_received == 3));
    }

    async fn a_batch_run_again_after_a_lost_commit_answer_says_accepted_again(backend: Backend) {
        let (database, mut store) = open(backend);
        let merchant = merchant(1);
        let batch: Vec<Recording> = (0..5)
            .map(|n| recording(&merchant, &json!({"externalOrderId": format!("O-{n}"), "amount": "1"})))
            .collect();
        let first = store.commit(&submissions(&batch), &context()).unwrap();
        let second = store.commit(&submissions(&batch), &context()).unwrap();
        assert_eq!(first, second);
        assert!(first.iter().all(|outcome| matches!(event_outcome(outcome), Outcome::Accepted(_))));
        let stored = contents(&database, 1);
        assert_eq!(stored.len(), 5);
        assert!(stored.values().all(|event| event.times_received == 1), "a replay is no further delivery");
    }

    async fn keys_in_a_batch_run_again_after_a_lost_commit_answer_are_no_repeats(backend: Backend) {
        let (database, mut store) = open(backend);
        let merchant = merchant(1);
        let sale = |n: usize, amount: &str| submission(recording(&merchant, &json!({"externalOrderId": format!("O-{n}"), "amount": amount})));
        let refund = || submission(recording(&merchant, &json!({"event_name": "refund", "custom_data": {"related_order_id": "O-1"}})));
        store.commit(&[keyed(refund(), "of-the-refund")], &context()).unwrap();
        let batch = [
            keyed(sale(1, "1"), "k1"), keyed(sale(1, "1"), "k1"), keyed(sale(2, "1"), "k1"),
            keyed(sale(3, "1"), "k2"), keyed(sale(3, "1"), "k3"), sale(4, "1"), keyed(refund(), "k4"),
        ];
        let first = store.commit(&batch, &context()).unwrap();
        let kinds: Vec<&str> = first
            .iter()
            .map(|outcome| match outcome {
                SubmissionOutcome::Replayed(_) => "replayed",
                SubmissionOutcome::Refused(Conflict::KeyMismatch) => "mismatch",
                done => match event_outcome(done) {
                    Outcome::Accepted(_) => "accepted",
                    Outcome::Duplicate { .. } => "duplicate",
                    Outcome::RefundIdRequired => "refund id",
                },
            })
            .collect();
        assert_eq!(kinds, ["accepted", "replayed", "mismatch", "accepted", "duplicate", "accepted", "refund id"]);
        assert_eq!(store.commit(&batch, &context()).unwrap(), first);
        // What was written together may be written one by one afterwards, as when a batch is halved.
        for (one, outcome) in batch.iter().zip(&first).take(4) {
            assert_eq!(&store.commit(std::slice::from_ref(one), &context()).unwrap()[0], outcome);
        }
        // Somebody else's request under one of the keys is a repeat.
        let repeat = store.commit(&[keyed(sale(1, "1"), "k1")], &context()).unwrap();
        let SubmissionOutcome::Replayed(answer) = &repeat[0] else { panic!("{repeat:?}") };
        assert!(matches!(&first[0], SubmissionOutcome::Done(_, Some(stored)) if stored == answer), "{first:?}");
        assert_eq!(contents(&database, 1).len(), 4);
    }

    async fn ten_thousand_characters_of_every_script_come_back_as_sent(backend: Backend) {
        let (database, mut store) = open(backend);
        let order: String = "日本語é\u{1F600}'\"\\%_--;{}[]\u{202E}".chars().cycle().take(160).collect();
        let metadata = json!({"t": "\u{10FFFF}\u{FFFD}\\ \" ' {} [] , null NULL".repeat(100)});
        let event = json!({"externalOrderId": order, "amount": "1", "metadata": metadata});
        store.commit(&[submission(recording(&merchant(1), &event))], &context()).unwrap();
        let stored = contents(&database, 1);
        let event = stored.values().next().unwrap();
        assert_eq!(event.order_id.as_str(), order);
        let read: serde_json::Value = serde_json::from_str(event.metadata.as_deref().unwrap()).unwrap();
        assert_eq!(read, metadata);
    }

    async fn a_connection_that_would_not_keep_what_it_confirms_is_refused(backend: Backend) {
        let (database, _store) = open(backend);
        let mut connection = Connector::new(database.config("").database).connect(Purpose::Write).unwrap();
        check_durability(&mut connection).unwrap();
        match backend {
            Backend::Sqlite => connection.batch_execute("PRAGMA synchronous = NORMAL").unwrap(),
            Backend::Postgres => connection.batch_execute("SET synchronous_commit = off").unwrap(),
        }
        let error = check_durability(&mut connection).unwrap_err().to_string();
        assert!(error.contains("synchronous"), "{error}");
    }
}
