//! PostgreSQL's process behind a connection is terminated around its COMMIT.

use std::sync::Arc;

use diesel::connection::SimpleConnection as _;

use crate::load::{Crowd, Promises, caller};
use crate::support::cluster::Cluster;
use crate::support::process::ServeProcess;
use crate::support::service::Setup;
use crate::support::wire::{At, How, Wire};
use crate::support::{Backend, eventually};
use crate::trial::{Trial, times};

/// While there is a row in `slow`, a COMMIT is slow.
const SLOW_COMMITS: &str = "
    CREATE TABLE slow (since TIMESTAMP);
    CREATE FUNCTION while_slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        WHILE EXISTS (SELECT FROM slow) LOOP
            PERFORM pg_sleep(0.01);
        END LOOP;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION while_slow();";

const COMMITTING: &str = "pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' \
     AND state = 'active'";

/// Ends a process, and returns when it is gone.
async fn terminate(setup: &mut Setup, process: i32) {
    setup.execute(&format!("SELECT pg_terminate_backend({process})"));
    let there = format!("pg_stat_activity WHERE pid = {process}");
    eventually("the process is gone", async || setup.count(&there) == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_terminated_before_in_or_after_its_commit_is_noticed_by_nobody() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut trial = Trial::new("postgres-backend-terminated");
    let mut caller = caller(&database);
    let mut wire = Wire::start(Cluster::shared().unwrap().port()).await;
    let service = ServeProcess::start(&wire.way_to(&database));
    caller.base = service.base.clone();
    let mut setup = Setup::new(&database, "");
    setup.connection.batch_execute(SLOW_COMMITS).unwrap();
    let promises = Arc::new(Promises::default());
    let crowd = Crowd::start(8, &caller, &promises);
    for round in 0..times(24) {
        let before = promises.acknowledged();
        eventually("load is on", async || promises.acknowledged() > before).await;
        match round % 4 {
            // It waits for its COMMIT.
            0 => {
                wire.plan([(At::Message("Query COMMIT"), How::Hold)]);
                let held = wire.held().await;
                terminate(&mut setup, held.process).await;
                held.go();
            }
            // It is at it.
            1 => {
                setup.execute("INSERT INTO slow DEFAULT VALUES");
                eventually("it commits", async || setup.count(COMMITTING) > 0).await;
                setup.execute(&format!("SELECT pg_terminate_backend(pid) FROM {COMMITTING}"));
                eventually("it is gone", async || {
                    setup.execute("DELETE FROM slow");
                    setup.count(COMMITTING) == 0
                })
                .await;
            }
            // It has done it: its answer arrives, or does not.
            told => {
                wire.plan([(At::Message("CommandComplete COMMIT"), How::Hold)]);
                let held = wire.held().await;
                terminate(&mut setup, held.process).await;
                if told == 2 {
                    held.go();
                }
            }
        }
        trial.fault_done();
        trial.answers_again(&caller).await;
    }
    for _ in 0..times(6) {
        let before = promises.acknowledged();
        eventually("load is on", async || promises.acknowledged() > before + 10).await;
        setup.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid()",
        );
        trial.fault_done();
        trial.answers_again(&caller).await;
    }
    crowd.stop().await;
    assert!(promises.refused.lock().unwrap().is_empty(), "{:?}", promises.refused);
    trial.ends(service, &caller, &database, &promises).await;
}
