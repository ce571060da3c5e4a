//! How long an idempotency key is remembered (contract 6.1), by the service's clock.

use chrono::TimeDelta;
use conversiond::domain::time::Clock as _;
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::support::caller::Answer;
use crate::support::service::Setup;
use crate::support::{Backend, Service, TestDatabase, eventually, on_both_databases};

const CONVERSIONS: &str = "/api/v1/conversions";

/// A service whose time passes as the test says, and its database's with it.
struct Passing {
    service: Service,
    backend: Backend,
}

impl Passing {
    async fn start(backend: Backend, settings: &str) -> Self {
        let database = backend.database();
        if backend == Backend::Postgres {
            movable_clock(&database);
        }
        Self { service: Service::start_with(database, settings).await, backend }
    }

    /// Lets time pass, and waits until the service judges requests again.
    async fn pass(&self, by: TimeDelta) {
        if self.backend == Backend::Postgres {
            let seconds = by.num_seconds();
            let sql = format!("UPDATE clock_moved SET by = by + interval '{seconds} seconds'");
            assert_eq!(self.service.setup().execute(&sql), 1);
        }
        self.service.clock.advance(by);
        eventually("keys were read and clocks compared anew", async || self.get().await.status == 200).await;
    }

    fn unix_now(&self) -> i64 {
        self.service.clock.now().timestamp()
    }

    async fn post(&self, key: &str, event: &Value) -> Answer {
        self.service.caller.post_to(CONVERSIONS, key, &event.to_string(), self.unix_now()).await
    }

    async fn get(&self) -> Answer {
        let caller = &self.service.caller;
        let form = conversiond::domain::signature::Form::Bound;
        let headers = caller.headers_at(form, "GET", CONVERSIONS, b"", self.unix_now(), "");
        caller.send("GET", CONVERSIONS, b"", &headers).await
    }
}

/// Has the database's clock, which the service compares its own with, follow a table.
fn movable_clock(database: &TestDatabase) {
    let name = database.url.rsplit('/').next().unwrap();
    let mut setup = Setup::new(database, "");
    setup
        .connection
        .batch_execute(&format!(
            "CREATE TABLE clock_moved (by interval NOT NULL);
             INSERT INTO clock_moved VALUES ('0');
             CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql
                 AS 'SELECT pg_catalog.clock_timestamp() + by FROM public.clock_moved';
             ALTER DATABASE {name} SET search_path = public, pg_catalog"
        ))
        .unwrap();
}

fn lead(id: &str) -> Value {
    json!({"event_name": "lead", "external_id": id})
}

#[track_caller]
fn expect_replay(first: &Answer, second: &Answer) {
    assert_eq!((second.status, &second.text, second.is_replayed()), (first.status, &first.text, true));
}

/// Keys that expired long ago, or will long after this test: as many rows as numbers.
fn insert_keys(setup: &mut Setup, numbers: std::ops::Range<usize>, expires_at: &str) {
    let rows: Vec<String> = numbers
        .map(|n| {
            format!(
                "('mer_x', 'live', 'k-{n}', 'att_{n}', 'f', 202, '{{}}', '2020-01-01 00:00:00', '{expires_at}', 1)"
            )
        })
        .collect();
    let sql = format!(
        "INSERT INTO idempotency_keys (merchant_id, mode, idempotency_key, claimed_by, fingerprint, status, body, \
         created_at, expires_at, times_seen) VALUES {}",
        rows.join(", ")
    );
    assert_eq!(setup.execute(&sql), rows.len());
}

on_both_databases! {
    async fn an_answer_is_replayed_for_twenty_four_hours_and_then_the_request_runs_again(backend: Backend) {
        let passing = Passing::start(backend, "[idempotency]\nsweep_s = 3600\n").await;
        let first = passing.post("k", &lead("L-1")).await;
        assert_eq!(first.word(), "ACCEPTED");
        assert_eq!(passing.post("other", &lead("L-2")).await.word(), "ACCEPTED");
        passing.pass(TimeDelta::seconds(10)).await;
        expect_replay(&first, &passing.post("k", &lead("L-1")).await);
        passing.pass(TimeDelta::hours(24) - TimeDelta::seconds(70)).await;
        expect_replay(&first, &passing.post("k", &lead("L-1")).await);
        passing.post("k", &lead("L-3")).await.expect_problem(422, "idempotency_key_mismatch");
        passing.pass(TimeDelta::minutes(2)).await;
        // There is no second event even so.
        let again = passing.post("k", &lead("L-1")).await;
        assert_eq!((again.status, again.word().as_str(), again.is_replayed()), (202, "DUPLICATE", false));
        assert_eq!(again.at("/event_id"), first.at("/event_id"));
        // It was a first answer, good for another day.
        expect_replay(&again, &passing.post("k", &lead("L-1")).await);
        // An expired key may stand for anything.
        let another = passing.post("other", &lead("L-3")).await;
        assert_eq!((another.word().as_str(), another.is_replayed()), ("ACCEPTED", false));
        passing.pass(TimeDelta::hours(23)).await;
        expect_replay(&again, &passing.post("k", &lead("L-1")).await);
        expect_replay(&another, &passing.post("other", &lead("L-3")).await);
        assert_eq!((passing.service.count_events(), passing.service.count("idempotency_keys")), (3, 2));
    }

    async fn how_long_answers_are_kept_is_a_setting(backend: Backend) {
        let passing = Passing::start(backend, "[idempotency]\nttl_hours = 1\nsweep_s = 3600\n").await;
        let first = passing.post("k", &lead("L-1")).await;
        passing.pass(TimeDelta::minutes(59)).await;
        expect_replay(&first, &passing.post("k", &lead("L-1")).await);
        passing.pass(TimeDelta::minutes(2)).await;
        assert_eq!(passing.post("k", &lead("L-1")).await.word(), "DUPLICATE");
    }

    async fn a_refused_request_frees_an_expired_key_too(backend: Backend) {
        let passing = Passing::start(backend, "[idempotency]\nsweep_s = 3600\n").await;
        let refund = json!({"event_name": "refund", "custom_data": {"related_order_id": "O-1"}});
        assert_eq!(passing.post("first", &refund).await.word(), "ACCEPTED");
        assert_eq!(passing.post("k", &lead("L-1")).await.word(), "ACCEPTED");
        passing.pass(TimeDelta::hours(25)).await;
        passing.post("k", &refund).await.expect_problem(422, "refund_id_required");
        assert_eq!(passing.service.count("idempotency_keys WHERE idempotency_key = 'k'"), 0);
        assert_eq!(passing.post("k", &lead("L-2")).await.word(), "ACCEPTED");
    }

    async fn expired_keys_are_deleted_and_live_ones_are_not(backend: Backend) {
        let passing = Passing::start(backend, "[idempotency]\nsweep_s = 1\n").await;
        let service = &passing.service;
        let first = passing.post("old", &lead("L-1")).await;
        assert_eq!(first.word(), "ACCEPTED");
        let mut setup = service.setup();
        insert_keys(&mut setup, 0..1_201, "2020-01-02 00:00:00");
        insert_keys(&mut setup, 2_000..2_700, "2099-01-01 00:00:00");
        eventually("the expired ones are gone", async || service.count("idempotency_keys") == 701).await;
        assert_eq!(setup.count("idempotency_keys WHERE expires_at > '2098-01-01 00:00:00'"), 700);
        expect_replay(&first, &passing.post("old", &lead("L-1")).await);
        passing.pass(TimeDelta::hours(25)).await;
        let new = passing.post("new", &lead("L-2")).await;
        eventually("it is gone, too", async || setup.count("idempotency_keys") == 701).await;
        expect_replay(&new, &passing.post("new", &lead("L-2")).await);
        assert_eq!((service.count_events(), setup.count("idempotency_keys WHERE idempotency_key = 'old'")), (2, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_keys_are_deleted_few_at_a_time_and_past_those_that_somebody_has_locked() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut setup = Setup::new(&database, "");
    // Notes how many rows each statement deletes.
    setup
        .connection
        .batch_execute(
            "CREATE TABLE deletions (keys bigint NOT NULL);
             CREATE FUNCTION note_deletion() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO deletions SELECT count(*) FROM gone; RETURN NULL; END';
             CREATE TRIGGER note_deletion AFTER DELETE ON idempotency_keys
                 REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note_deletion()",
        )
        .unwrap();
    insert_keys(&mut setup, 0..1_800, "2020-01-02 00:00:00");
    let mut holder = Setup::new(&database, "");
    holder.connection.batch_execute("BEGIN").unwrap();
    let lock = "SELECT 1 FROM idempotency_keys WHERE idempotency_key = 'k-7' FOR UPDATE";
    holder.connection.batch_execute(lock).unwrap();
    let service = Service::start_with(database, "[idempotency]\nsweep_s = 1\n").await;
    eventually("the others are gone", async || setup.count("idempotency_keys") == 1).await;
    assert_eq!(setup.count("deletions WHERE keys > 500"), 0);
    assert_eq!(setup.count("deletions, generate_series(1, keys)"), 1_799);
    holder.connection.batch_execute("ROLLBACK").unwrap();
    eventually("the last one goes the next time", async || setup.count("idempotency_keys") == 0).await;
    assert_eq!(service.caller.post(&lead("L-1")).await.word(), "ACCEPTED");
}
