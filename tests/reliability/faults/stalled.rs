//! PostgreSQL does not die: it says nothing any more, as on a machine that hangs, and then goes on.

use std::sync::Arc;
use std::time::Duration;

use crate::load::{Crowd, Promises, caller};
use crate::support::cluster::Cluster;
use crate::support::process::{ServeProcess, command};
use crate::support::{TestDatabase, eventually};
use crate::trial::{Trial, times};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_that_hangs_under_load_goes_on_with_every_event_that_was_acknowledged() {
    let Some(cluster) = Cluster::start(&[]) else { return };
    let database = TestDatabase::at(cluster.url(&cluster.create_database()));
    let mut trial = Trial::new("postgres-hangs");
    let mut caller = caller(&database);
    let mut command = command(&database, &["serve"]);
    command.env("CONVERSIOND__INGEST__ANSWER_TIMEOUT_S", "1");
    command.env("CONVERSIOND__IDEMPOTENCY__WAIT_MS", "300");
    command.env("CONVERSIOND__DATABASE__POOL_WAIT_MS", "200");
    command.env("CONVERSIOND__DATABASE__READ_TIMEOUT_S", "1");
    let service = ServeProcess::start_command(command);
    caller.base = service.base.clone();
    let promises = Arc::new(Promises::default());
    let crowd = Crowd::start(8, &caller, &promises);
    for _ in 0..times(2) {
        let wanted = promises.acknowledged() + trial.random.usize(20..120);
        eventually("load is on", async || promises.acknowledged() >= wanted).await;
        let away = promises.refused("storage_unavailable");
        let hung = cluster.hang();
        trial.fault_done();
        // Nobody is kept waiting for longer than he was told.
        eventually("callers are told", async || promises.refused("storage_unavailable") >= away + 16).await;
        // However often it is asked, and whoever else waits for a reading connection.
        let readiness =
            || async { caller.http.get(format!("{}/readyz", service.admin)).send().await.unwrap() };
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let caller = caller.clone();
                tokio::spawn(async move { caller.get("/api/v1/orders").await.status })
            })
            .collect();
        for answer in <[_; 3]>::from(tokio::join!(readiness(), readiness(), readiness())) {
            assert_eq!(answer.status(), 503, "{}", answer.text().await.unwrap());
        }
        // Who had a connection waited for the database, the others for a connection.
        for reader in readers {
            let told = tokio::time::timeout(Duration::from_secs(10), reader).await;
            assert_eq!(told.expect("a reader is told as well").unwrap(), 503);
        }
        drop(hung);
        trial.answers_again(&caller).await;
    }
    crowd.stop().await;
    promises.expect_only("storage_unavailable");
    trial.ends(service, &caller, &database, &promises).await;
}
