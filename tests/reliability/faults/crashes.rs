//! PostgreSQL crashes under load, and recovers by its log.
//!
//! Its processes die, the machine does not: what is lost is its shared memory. That what it has written
//! is on the disk is its own promise, of which nothing is tried here.

use std::sync::Arc;

use crate::load::{Crowd, Promises, caller};
use crate::support::cluster::Cluster;
use crate::support::process::ServeProcess;
use crate::support::service::Setup;
use crate::support::{TestDatabase, eventually};
use crate::trial::{Trial, times};

/// As it is set by default, and as the service demands.
const DURABLE: &str = "pg_settings WHERE setting = 'on' \
     AND name IN ('fsync', 'synchronous_commit', 'full_page_writes')";

/// Words of its log when it starts after a crash.
const RECOVERED: &str = "was not properly shut down; automatic recovery in progress";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_that_crashes_under_load_recovers_every_event_that_was_acknowledged() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = TestDatabase::at(cluster.url(&cluster.create_database()));
    let mut trial = Trial::new("postgres-crash");
    let mut caller = caller(&database);
    let service = ServeProcess::start(&database);
    caller.base = service.base.clone();
    let promises = Arc::new(Promises::default());
    let crashes = times(4);
    for crash in 0..crashes {
        assert_eq!(Setup::new(&database, "").count(DURABLE), 3);
        let (before, away) = (promises.acknowledged(), promises.refused("storage_unavailable"));
        let wanted = before + trial.random.usize(20..120);
        let crowd = Crowd::start(8, &caller, &promises);
        eventually("load is on", async || promises.acknowledged() >= wanted).await;
        tokio::task::block_in_place(|| match crash % 2 {
            0 => cluster.kill(),
            _ => cluster.stop(),
        });
        trial.fault_done();
        eventually("callers are told", async || promises.refused("storage_unavailable") > away + 20).await;
        if crash == 0 {
            let readiness = caller.http.get(format!("{}/readyz", service.admin)).send().await.unwrap();
            assert_eq!(readiness.status(), 503);
            assert!(readiness.text().await.unwrap().contains("database"));
        }
        tokio::task::block_in_place(|| cluster.start_again());
        trial.answers_again(&caller).await;
        crowd.stop().await;
        trial.check(&database, &promises);
    }
    assert_eq!(cluster.log().matches(RECOVERED).count(), crashes, "{}", cluster.log());
    promises.expect_only("storage_unavailable");
    trial.ends(service, &caller, &database, &promises).await;
}
