//! PostgreSQL with a synchronous standby: the first server is lost, or the standby is.

use std::sync::Arc;

use serde_json::json;

use crate::load::{Crowd, Promises, caller};
use crate::support::caller::{Answer, unix_now};
use crate::support::cluster::Cluster;
use crate::support::process::{ServeProcess, command};
use crate::support::service::Setup;
use crate::support::wire::Wire;
use crate::support::{Caller, TestDatabase, eventually};
use crate::trial::{Trial, times};

/// Connections that have committed and wait for the standby to have it, too.
const WAITING: &str = "pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'";

/// Nobody listens there.
const NOWHERE: u16 = 1;

/// A server and its standby, with a wire before the one and between the two.
struct Pair {
    first: Cluster,
    standby: Cluster,
    /// The service's way to the first.
    wire: Wire,
    /// The standby's.
    link: Wire,
    database: TestDatabase,
    name: String,
}

impl Pair {
    async fn start() -> Option<Self> {
        let first = Cluster::start(&[])?;
        let name = first.create_database();
        let database = TestDatabase::at(first.url(&name));
        let (wire, link) = (Wire::start(first.port()).await, Wire::start(first.port()).await);
        let standby = tokio::task::block_in_place(|| first.standby(link.port()));
        tokio::task::block_in_place(|| first.require_standby());
        Some(Self { first, standby, wire, link, database, name })
    }

    /// Cuts the standby off.
    fn cut_link(&self) {
        self.link.lead_to(NOWHERE);
        self.link.cut_all();
    }

    /// Lets it follow again.
    fn mend_link(&self) {
        self.link.lead_to(self.first.port());
    }

    /// The standby takes the first server's place, which is gone.
    fn fail_over(&mut self) {
        self.standby.promote();
        self.wire.lead_to(self.standby.port());
        self.database = self.database.at_url(self.standby.url(&self.name));
    }

    /// A new standby for what was the last one.
    async fn renew(self) -> Self {
        let Self { standby: first, wire, database, name, .. } = self;
        let link = Wire::start(first.port()).await;
        let standby = tokio::task::block_in_place(|| first.standby(link.port()));
        tokio::task::block_in_place(|| first.require_standby());
        Self { first, standby, wire, link, database, name }
    }
}

fn serve(pair: &Pair) -> ServeProcess {
    let mut command = command(&pair.wire.way_to(&pair.database), &["serve"]);
    command.env("CONVERSIOND__INGEST__ANSWER_TIMEOUT_S", "3");
    command.env("CONVERSIOND__IDEMPOTENCY__WAIT_MS", "300");
    ServeProcess::start_command(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fail_over_the_standby_has_every_event_that_was_acknowledged() {
    let Some(mut pair) = Pair::start().await else { return };
    let mut trial = Trial::new("postgres-fail-over");
    let mut caller = caller(&pair.database);
    let service = serve(&pair);
    caller.base = service.base.clone();
    let promises = Arc::new(Promises::default());
    let rounds = times(2);
    for round in 0..rounds {
        let crowd = Crowd::start(8, &caller, &promises);
        let wanted = promises.acknowledged() + trial.random.usize(30..150);
        eventually("load is on", async || promises.acknowledged() >= wanted).await;
        if round % 2 == 0 {
            // What the first has and the standby has not is lost; nobody may have been told of it.
            let mut setup = Setup::new(&pair.database, "");
            pair.cut_link();
            eventually("somebody waits for the standby", async || setup.count(WAITING) > 0).await;
        }
        let away = promises.refused("storage_unavailable");
        tokio::task::block_in_place(|| pair.first.kill());
        trial.fault_done();
        eventually("callers are told", async || promises.refused("storage_unavailable") > away).await;
        tokio::task::block_in_place(|| pair.fail_over());
        trial.answers_again(&caller).await;
        crowd.stop().await;
        trial.check(&pair.database, &promises);
        if round + 1 < rounds {
            pair = pair.renew().await;
        }
    }
    promises.expect_only("storage_unavailable");
    trial.ends(service, &caller, &pair.database, &promises).await;
}

fn send(caller: &Caller, order: &str) -> tokio::task::JoinHandle<Answer> {
    let (caller, order) = (caller.clone(), order.to_owned());
    tokio::spawn(async move {
        let (key, event) = (Promises::idempotency_key(&order).unwrap(), Promises::event(&order));
        caller.post_to("/api/v1/conversions", &key, &event, unix_now()).await
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_standby_nothing_is_acknowledged_whatever_is_done_to_the_waiting_commit() {
    let Some(mut pair) = Pair::start().await else { return };
    let mut trial = Trial::new("postgres-standby-gone");
    let mut caller = caller(&pair.database);
    let service = serve(&pair);
    caller.base = service.base.clone();
    let mut setup = Setup::new(&pair.database, "");
    let promises = Promises::default();
    let waits = async |setup: &mut Setup| {
        eventually("a COMMIT waits for the standby", async || setup.count(WAITING) == 1).await;
    };
    for (order, end) in [("S-1", "pg_terminate_backend"), ("S-3", "pg_cancel_backend")] {
        pair.cut_link();
        let call = send(&caller, order);
        waits(&mut setup).await;
        // Longer than any COMMIT takes whose standby is there.
        tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
        setup.execute(&format!("SELECT {end}(pid) FROM {WAITING}"));
        trial.fault_done();
        // PostgreSQL has ended that wait; the service waits anew.
        let answer = call.await.unwrap();
        answer.expect_problem(503, "storage_unavailable");
        assert_eq!(answer.at("/retryable"), json!(true), "{end}");
        waits(&mut setup).await;
        pair.mend_link();
        trial.answers_again(&caller).await;
        let repeat = send(&caller, order).await.unwrap();
        assert_eq!((repeat.word().as_str(), repeat.is_replayed()), ("ACCEPTED", true), "{end}");
        let id = repeat.at("/event_id").as_str().unwrap().to_owned();
        promises.acknowledged.lock().unwrap().insert(order.to_owned(), id);
    }
    tokio::task::block_in_place(|| pair.first.kill());
    tokio::task::block_in_place(|| pair.fail_over());
    trial.answers_again(&caller).await;
    trial.ends(service, &caller, &pair.database, &promises).await;
}
