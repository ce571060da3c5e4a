//! How far exports go, and what must not be recorded behind them.

use chrono::TimeDelta;
use conversiond::domain::ids::EventId;
use conversiond::domain::time::Clock as _;
use conversiond::storage::error::Failure;
use conversiond::storage::exports::{Horizon, ID_AGE_MAX, horizon};
use conversiond::storage::{AnyConnection, Connector, Purpose, StoreError, submissions};
use conversiond::system::{SystemClock, SystemEntropy};
use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::events::{context, merchant, recording, submission};
use crate::support::service::Setup;
use crate::support::{Backend, TestDatabase, on_both_databases};

fn write(connection: &mut AnyConnection, order: &str, age: TimeDelta) -> Result<(), StoreError> {
    let mut recording = recording(&merchant(1), &json!({"externalOrderId": order, "amount": "1"}));
    recording.event_id = EventId::generate(SystemClock.now() - age, &SystemEntropy);
    submissions::write(connection, &[submission(recording)], &context()).map(|_| ())
}

fn horizon_now(connection: &mut AnyConnection) -> Result<Horizon, StoreError> {
    horizon(connection, TimeDelta::zero(), std::time::Duration::from_secs(5))
}

fn connection(database: &TestDatabase) -> AnyConnection {
    Connector::new(database.config("").database).connect(Purpose::Write).unwrap()
}

on_both_databases! {
    async fn an_event_whose_id_is_too_old_is_not_recorded(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let second = TimeDelta::seconds(1);
        let late = setup.connection.write(|c| write(c, "O-1", ID_AGE_MAX + second));
        assert!(matches!(late, Err(StoreError::Failed(Failure::Late, _))), "{late:?}");
        assert_eq!(setup.count_events(), 0);
        // Young enough when the transaction begins, and with a clock that is ahead.
        for (order, age) in [("O-1", ID_AGE_MAX - second * 30), ("O-2", -second * 30)] {
            setup.connection.write(|c| write(c, order, age)).unwrap();
        }
        assert_eq!(setup.count_events(), 2);
        // Also where it is a repeat: what was recorded before stays as it is.
        let late = setup.connection.write(|c| write(c, "O-1", ID_AGE_MAX + second));
        assert!(matches!(late, Err(StoreError::Failed(Failure::Late, _))), "{late:?}");
        assert_eq!(setup.count("events WHERE times_received = 1"), 2);
    }

    async fn the_horizon_is_now_where_nothing_is_under_way(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        setup.connection.write(|c| write(c, "O-1", TimeDelta::zero())).unwrap();
        let before = EventId::first_at(SystemClock.now());
        let found = horizon_now(&mut setup.connection).unwrap();
        let after = EventId::first_at(SystemClock.now());
        assert!((before..=after).contains(&found.id()), "{found:?}");
    }
}

#[test]
fn the_horizon_stays_before_every_transaction_that_records_events_and_before_no_other() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut setup = Setup::new(&database, "");
    let mut others = [connection(&database), connection(&database), connection(&database)];
    let [reader, idle, recorder] = &mut others;
    reader.batch_execute("BEGIN; SELECT count(*) FROM events").unwrap();
    idle.batch_execute("BEGIN; INSERT INTO merchants SELECT * FROM merchants").unwrap();
    let before = EventId::first_at(SystemClock.now());
    assert!(horizon_now(&mut setup.connection).unwrap().id() >= before, "others keep exports back");
    recorder.batch_execute("BEGIN").unwrap();
    write(recorder, "O-1", TimeDelta::zero()).unwrap();
    let begun = EventId::first_at(SystemClock.now() + TimeDelta::milliseconds(1));
    let first = horizon_now(&mut setup.connection).unwrap();
    assert!((before..begun).contains(&first.id()), "{first:?}");
    // However much is recorded meanwhile.
    setup.connection.write(|c| write(c, "O-2", TimeDelta::zero())).unwrap();
    assert_eq!(horizon_now(&mut setup.connection).unwrap(), first);
    recorder.batch_execute("COMMIT").unwrap();
    assert!(horizon_now(&mut setup.connection).unwrap().id() >= begun);
}

#[test]
fn there_is_no_horizon_where_postgresql_does_not_say_since_when_a_transaction_runs() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut setup = Setup::new(&database, "");
    let role = format!("plain_{}", uuid::Uuid::new_v4().simple());
    setup.execute(&format!("CREATE ROLE {role} LOGIN"));
    setup.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"));
    let (user, rest) = database.url.strip_prefix("postgres://").unwrap().split_once('@').unwrap();
    let mut plain = connection(&TestDatabase::at(format!("postgres://{role}@{rest}")));
    assert!(horizon_now(&mut plain).is_ok());
    let mut other = connection(&database);
    other.batch_execute("BEGIN").unwrap();
    write(&mut other, "O-1", TimeDelta::zero()).unwrap();
    let hidden = horizon_now(&mut plain);
    assert!(
        matches!(&hidden, Err(StoreError::Unusable(why)) if why.contains("pg_read_all_stats")),
        "{user} {hidden:?}"
    );
    setup.execute(&format!("GRANT pg_read_all_stats TO {role}"));
    assert!(horizon_now(&mut plain).is_ok());
    other.batch_execute("ROLLBACK; BEGIN; SET LOCAL track_activities = off").unwrap();
    write(&mut other, "O-1", TimeDelta::zero()).unwrap();
    assert!(horizon_now(&mut plain).is_err());
    other.batch_execute("ROLLBACK").unwrap();
    assert!(horizon_now(&mut plain).is_ok());
    setup.execute(&format!("DROP OWNED BY {role}"));
}
