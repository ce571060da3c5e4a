//! Four instances start at once on a database that has no schema, or an older one.

use std::path::Path;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;

use crate::load::{Crowd, Promises, caller};
use crate::support::process::ServeProcess;
use crate::support::service::Setup;
use crate::support::{Backend, TestDatabase, eventually};
use crate::trial::{Trial, times};

/// How often in CI.
const STARTS: usize = 2;

const INSTANCES: usize = 4;

/// The last migration of the version that took events but told nothing of orders.
const LAST: &str = "2026-11-22-010500_status_refunds";

fn migrations() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Takes back what later versions did to the schema.
fn to_earlier_schema(database: &TestDatabase) {
    let mut setup = Setup::new(database, "");
    let later = migrations().into_iter().filter(|name| name.as_str() > LAST);
    for name in later.collect::<Vec<_>>().iter().rev() {
        let path = format!("{}/migrations/postgres/{name}/down.sql", env!("CARGO_MANIFEST_DIR"));
        setup.connection.batch_execute(&std::fs::read_to_string(path).unwrap()).unwrap();
        let version: String = name.split('_').next().unwrap().replace('-', "");
        let forgotten =
            setup.execute(&format!("DELETE FROM __diesel_schema_migrations WHERE version = '{version}'"));
        assert_eq!(forgotten, 1, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_instances_that_migrate_at_once_all_start_and_serve() {
    let Some(backend) = Backend::postgres() else { return };
    let mut trial = Trial::new("postgres-migrating-at-once");
    for start in 0..times(STARTS) {
        let database = backend.database();
        let is_older = start % 2 > 0;
        if is_older {
            // Without keys: what an earlier version sealed has no tag, and does not verify.
            to_earlier_schema(&database);
        }
        let starting: Vec<_> = (0..INSTANCES)
            .map(|_| {
                let database = database.clone();
                tokio::task::spawn_blocking(move || ServeProcess::start(&database))
            })
            .collect();
        let mut instances = Vec::new();
        for instance in starting {
            instances.push(instance.await.unwrap());
        }
        trial.fault_done();
        let mut setup = Setup::new(&database, "");
        let applied = i64::try_from(migrations().len()).unwrap();
        assert_eq!(setup.count("__diesel_schema_migrations"), applied);
        let mut caller = caller(&database);
        let promises = Arc::new(Promises::default());
        let mut crowds = Vec::new();
        for instance in &instances {
            caller.base = instance.base.clone();
            eventually("the key is known", async || caller.get("/api/v1/conversions").await.status == 200)
                .await;
            trial.answers_again(&caller).await;
            crowds.push(Crowd::start(4, &caller, &promises));
        }
        eventually("they serve", async || promises.acknowledged() > 300).await;
        for crowd in crowds {
            crowd.stop().await;
        }
        assert!(promises.refused.lock().unwrap().is_empty(), "{:?}", promises.refused.lock().unwrap());
        trial.check(&database, &promises);
        trial.replays(&caller, &promises).await;
    }
    trial.passed();
}
