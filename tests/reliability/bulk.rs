//! Bulk requests are whole or not there, whatever becomes of the service and its database.

use std::sync::Mutex;

use conversiond::domain::signature::Form;
use conversiond::storage::{AnyConnection, Connector, Purpose};
use diesel::connection::SimpleConnection as _;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query, sql_types};
use serde_json::{Value, json};

use crate::load::caller;
use crate::support::caller::Answer;
use crate::support::cluster::Cluster;
use crate::support::process::ServeProcess;
use crate::support::service::Service;
use crate::support::{Backend, Caller, TestDatabase, eventually, on_both_databases};

const PATH: &str = "/api/v1/conversions/bulk";
const ROWS: usize = 200;
const ROUNDS: usize = 5;
const CALLERS: usize = 4;

/// Requests that were sent, and the events that they were told of; `None` = no answer was read.
type Sent = Mutex<Vec<(String, Option<Vec<Value>>)>>;

/// A bulk request of new rows: every other one has a key, every tenth tells that its order is off.
fn import(name: &str) -> String {
    let rows: Vec<Value> = (0..ROWS)
        .map(|number| {
            let order = format!("O-{name}-{number}");
            let mut row = json!({"externalOrderId": order, "amount": "12.34", "currency": "EUR"});
            if number % 2 == 0 {
                row["idempotency_key"] = json!(format!("k-{order}"));
            }
            if number % 10 == 9 {
                row["orderStatus"] = json!("cancelled");
            }
            row
        })
        .collect();
    json!({ "rows": rows }).to_string()
}

async fn try_send(caller: &Caller, body: &str) -> Option<Answer> {
    let headers = caller.headers(Form::Plain, "POST", PATH, body.as_bytes());
    let answer = caller.try_send("POST", PATH, body.as_bytes(), &headers).await.ok()?;
    // The head arrived, the body did not: no promise was read.
    serde_json::from_str::<Value>(&answer.text).ok().map(|_| answer)
}

/// How often each word is said of a whole answer's rows, and their events.
fn read(answer: &Answer) -> (Value, Vec<Value>) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let json = answer.json();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), ROWS);
    let told = |word: &str| results.iter().filter(|result| result["status"] == word).count();
    assert_eq!(told("REJECTED"), 0, "{}", json["summary"]);
    assert_eq!(results.iter().filter(|result| result["order_status"].is_object()).count(), ROWS / 10);
    (json["summary"].clone(), results.iter().map(|result| result["event_id"].clone()).collect())
}

fn summary(accepted: usize, duplicate: usize, replayed: usize) -> Value {
    json!({"accepted": accepted, "duplicate": duplicate, "replayed": replayed, "rejected": 0})
}

/// Whether all rows are new; else all must have been there. Anything in between is a broken promise.
fn is_new(answer: &Answer) -> bool {
    let (told, _) = read(answer);
    let new = told == summary(ROWS, 0, 0);
    assert!(new || told == summary(0, ROWS / 2, ROWS / 2), "{told}");
    new
}

/// Sends one import after the other until no answer comes.
async fn work(caller: &Caller, round: usize, worker: usize, sent: &Sent) {
    for number in 0.. {
        let body = import(&format!("{round}-{worker}-{number}"));
        let answer = try_send(caller, &body).await;
        let events = answer.map(|answer| {
            let (told, events) = read(&answer);
            assert_eq!(told, summary(ROWS, 0, 0));
            events
        });
        let was_answered = events.is_some();
        sent.lock().unwrap().push((body, events));
        if !was_answered {
            return;
        }
    }
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = sql_types::BigInt)]
    rows: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    orders: i64,
}

/// Checks that the store holds this many imports, each row of them once.
fn check(database: &TestDatabase, imports: usize) {
    let mut connection = Connector::new(database.config("").database).connect(Purpose::Read).unwrap();
    for (table, per_import) in [
        ("events WHERE event_name = 'sale'", ROWS),
        ("events WHERE event_name = 'cancellation'", ROWS / 10),
        ("order_statuses", ROWS / 10),
    ] {
        let sql = format!("SELECT count(*) AS rows, count(DISTINCT order_id) AS orders FROM {table}");
        let stored: Stored = match &mut connection {
            AnyConnection::Postgres(c) => sql_query(sql).get_result(c).unwrap(),
            AnyConnection::Sqlite(c) => sql_query(sql).get_result(c).unwrap(),
        };
        let wanted = i64::try_from(imports * per_import).unwrap();
        assert_eq!((stored.rows, stored.orders), (wanted, wanted), "{table}");
    }
}

on_both_databases! {
    async fn a_bulk_request_killed_half_way_is_whole_or_not_there_and_sent_again_every_row_is_once(backend: Backend) {
        let database = backend.database();
        let mut caller = caller(&database);
        let sent = Sent::default();
        let (mut lost, mut kept, mut checked) = (0, 0, 0);
        for round in 0..ROUNDS {
            let service = ServeProcess::start(&database);
            caller.base = service.base.clone();
            let crowd = futures_util::future::join_all((0..CALLERS).map(|worker| work(&caller, round, worker, &sent)));
            // Later each time, so that the kills fall on different phases of a commit.
            let wanted = checked + 3 + round;
            let kill = async {
                eventually("some are acknowledged", async || sent.lock().unwrap().len() >= wanted).await;
                service.kill();
            };
            tokio::join!(crowd, kill);
            let again = ServeProcess::start(&database);
            caller.base = again.base.clone();
            let of_round = sent.lock().unwrap()[checked..].to_vec();
            assert_eq!(of_round.iter().filter(|(_, events)| events.is_none()).count(), CALLERS);
            checked += of_round.len();
            for (body, promised) in of_round {
                let answer = try_send(&caller, &body).await.expect("an answer");
                match promised {
                    Some(events) => assert_eq!(read(&answer), (summary(0, ROWS / 2, ROWS / 2), events)),
                    None if is_new(&answer) => lost += 1,
                    None => kept += 1,
                }
            }
            assert_eq!(again.terminate().0, Some(0));
            check(&database, checked);
        }
        assert_eq!(lost + kept, CALLERS * ROUNDS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_away_a_bulk_request_is_503_whole_and_goes_through_afterwards() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = TestDatabase::at(cluster.url(&cluster.create_database()));
    let service = Service::start_with(database.clone(), "").await;
    let mut imports = 0;
    for round in 0..3 {
        let bodies: Vec<String> = (0..8).map(|number| import(&format!("{round}-{number}"))).collect();
        imports += bodies.len();
        let before = service.count_events();
        let stop = async {
            // Later each time: before, in the middle of and after the first commits.
            eventually("some are written", async || service.count_events() >= before + 220 * round).await;
            tokio::task::block_in_place(|| cluster.stop());
        };
        let calls = futures_util::future::join_all(bodies.iter().map(|body| try_send(&service.caller, body)));
        let (answers, ()) = tokio::join!(calls, stop);
        for answer in answers {
            let answer = answer.expect("an answer");
            if answer.status == 200 {
                assert!(is_new(&answer));
            } else {
                answer.expect_problem(503, "storage_unavailable");
            }
        }
        for body in &bodies {
            let answer = try_send(&service.caller, body).await.expect("an answer");
            answer.expect_problem(503, "storage_unavailable");
        }
        tokio::task::block_in_place(|| cluster.start_again());
        for body in &bodies {
            eventually("it is taken", async || {
                let answer = try_send(&service.caller, body).await.expect("an answer");
                if answer.status != 200 {
                    answer.expect_problem(503, "storage_unavailable");
                    return false;
                }
                is_new(&answer);
                true
            })
            .await;
        }
        check(&database, imports);
    }
}

on_both_databases! {
    async fn a_bulk_request_that_meets_a_lock_is_503_whole_and_goes_through_afterwards(backend: Backend) {
        let service = Service::start(backend).await;
        let single = json!({"externalOrderId": "O-locked-77", "amount": "12.34", "currency": "EUR"});
        assert_eq!(service.caller.post(&single).await.word(), "ACCEPTED");
        let body = import("locked");
        let mut holder =
            Connector::new(service.database.config("").database).connect(Purpose::Write).unwrap();
        holder.batch_execute(match backend {
            Backend::Postgres => "BEGIN; SELECT event_id FROM events WHERE order_id = 'O-locked-77' FOR UPDATE",
            Backend::Sqlite => "BEGIN IMMEDIATE",
        }).unwrap();
        let refused = try_send(&service.caller, &body).await.expect("an answer");
        refused.expect_problem(503, "storage_unavailable");
        if backend == Backend::Postgres {
            // Nobody else waited for it.
            let other = json!({"externalOrderId": "O-other", "amount": "1", "currency": "EUR"});
            assert_eq!(service.caller.post(&other).await.word(), "ACCEPTED");
        }
        holder.batch_execute("ROLLBACK").unwrap();
        let mut summaries = Vec::new();
        for _ in 0..2 {
            summaries.push(read(&try_send(&service.caller, &body).await.expect("an answer")).0);
        }
        assert_eq!(summaries[1], summary(0, ROWS / 2, ROWS / 2));
        // SQLite's writer may have gone on after its caller was told that it was unknown.
        assert!([summary(ROWS - 1, 1, 0), summaries[1].clone()].contains(&summaries[0]), "{}", summaries[0]);
        let others = i64::from(backend == Backend::Postgres);
        assert_eq!(service.count_events(), i64::try_from(ROWS + ROWS / 10).unwrap() + others);
    }
}
