//! The connection to PostgreSQL is cut at every step of the commit path.

use std::sync::Arc;

use serde_json::json;

use crate::load::{Crowd, Promises, caller};
use crate::support::caller::unix_now;
use crate::support::cluster::Cluster;
use crate::support::process::ServeProcess;
use crate::support::wire::{At, How, Step, Wire};
use crate::support::{Backend, Caller, TestDatabase, eventually};
use crate::trial::{Trial, times};

const CUTS: [How; 3] = [How::CutBefore, How::CutHalf, How::CutAfter];

/// A service whose way to PostgreSQL is a wire, and what it was sent.
struct Scene {
    wire: Wire,
    caller: Caller,
    promises: Arc<Promises>,
    database: TestDatabase,
    next_order: usize,
    _service: ServeProcess,
}

impl Scene {
    async fn start() -> Option<Self> {
        let database = Backend::postgres()?.database();
        let mut caller = caller(&database);
        let wire = Wire::start(Cluster::shared()?.port()).await;
        let service = ServeProcess::start(&wire.way_to(&database));
        caller.base = service.base.clone();
        let promises = Arc::default();
        Some(Self { wire, caller, promises, database, next_order: 0, _service: service })
    }

    /// The next order that is sent under an idempotency key.
    fn order(&mut self) -> String {
        self.next_order += 2;
        format!("S-{}", self.next_order + 1)
    }

    /// Sends a new order, which must be accepted, and told so, whatever happens on the wire.
    async fn accepted(&mut self, why: &dyn std::fmt::Debug) {
        let order = self.order();
        let (key, event) = (Promises::idempotency_key(&order).unwrap(), Promises::event(&order));
        let answer = self.caller.post_to("/api/v1/conversions", &key, &event, unix_now()).await;
        assert_eq!((answer.status, answer.word().as_str()), (202, "ACCEPTED"), "{why:?}: {}", answer.text);
        assert!(!answer.is_replayed(), "{why:?}");
        self.promise(order, &answer);
    }

    fn promise(&self, order: String, answer: &crate::support::caller::Answer) {
        let id = answer.at("/event_id").as_str().unwrap().to_owned();
        self.promises.acknowledged.lock().unwrap().insert(order, id);
    }

    /// The steps of an undisturbed batch, on a connection that has written one already, and before
    /// that on a new one.
    async fn record(&mut self) -> [Vec<Step>; 2] {
        self.accepted(&"the first").await;
        // Its connection is cut with the transaction's first message: it runs again on a new one.
        self.wire.plan([(At::Step(0), How::CutBefore)]);
        self.accepted(&"on a new connection").await;
        let cold = self.wire.last_transaction();
        self.accepted(&"on the same connection").await;
        [self.wire.last_transaction(), cold]
    }
}

/// These steps are the whole of a batch.
fn expect_whole(steps: &[Step]) {
    let named = |what: &str| steps.iter().filter(|step| step.what.starts_with(what)).count();
    assert!(steps[0].sent && steps[0].what.starts_with("Query BEGIN"), "{steps:#?}");
    assert_eq!((named("Query COMMIT"), named("CommandComplete COMMIT")), (1, 1), "{steps:#?}");
    // Of the key, of the event, of the journal.
    assert_eq!(named("CommandComplete INSERT 0 1"), 3, "{steps:#?}");
    assert_eq!(steps.last().unwrap().what, "ReadyForQuery I", "{steps:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_at_any_step_of_a_batch_costs_no_event_and_counts_none_twice() {
    let Some(mut scene) = Scene::start().await else { return };
    let mut trial = Trial::new("postgres-wire-cut");
    let [warm, cold] = scene.record().await;
    expect_whole(&warm);
    expect_whole(&cold);
    assert!(cold.len() > warm.len(), "nothing was prepared on the new connection: {cold:#?}");
    for (steps, new_connection) in [(&warm, false), (&cold, true)] {
        let mut cuts: Vec<_> = (0..steps.len()).flat_map(|number| CUTS.map(|how| (number, how))).collect();
        if !new_connection {
            // The new connection's batch has the same steps, and more.
            trial.random.shuffle(&mut cuts);
            cuts.truncate(times(steps.len()));
        }
        for (number, how) in cuts {
            let done = scene.wire.done();
            if new_connection {
                scene.wire.plan([(At::Step(0), How::CutBefore)]);
            } else {
                // Whatever the last cut left, this connection is whole and has written before.
                scene.accepted(&"undisturbed").await;
            }
            scene.wire.plan([(At::Step(number), how)]);
            let why = (&steps[number], how, if new_connection { "new connection" } else { "old connection" });
            scene.accepted(&why).await;
            assert_eq!(scene.wire.done() - done, 1 + usize::from(new_connection), "{why:?}");
            trial.fault_done();
        }
    }
    cut_until_it_is_told(&mut scene, &mut trial).await;
    cut_under_load(&mut scene, &mut trial, &cold).await;
    trial.answers_again(&scene.caller).await;
    trial.check(&scene.database, &scene.promises);
    trial.replays(&scene.caller, &scene.promises).await;
    trial.passed();
}

/// A batch that cannot be written is 503, and its repeat tells what had become of it.
async fn cut_until_it_is_told(scene: &mut Scene, trial: &mut Trial) {
    for (what, how, committed) in [
        ("Query COMMIT", How::CutBefore, false),
        ("Query COMMIT", How::CutHalf, false),
        ("Query COMMIT", How::CutAfter, true),
        ("CommandComplete COMMIT", How::CutHalf, true),
    ] {
        scene.accepted(&"undisturbed").await;
        // The first attempt and all that the writer makes of itself.
        scene.wire.plan(vec![(At::Message(what), how); 4]);
        let order = scene.order();
        let (key, event) = (Promises::idempotency_key(&order).unwrap(), Promises::event(&order));
        let send = async || scene.caller.post_to("/api/v1/conversions", &key, &event, unix_now()).await;
        let answer = send().await;
        answer.expect_problem(503, "storage_unavailable");
        assert_eq!(answer.at("/retryable"), json!(true));
        (0..4).for_each(|_| trial.fault_done());
        let mut repeat = send().await;
        while repeat.status == 503 {
            repeat = send().await;
        }
        assert_eq!(repeat.word(), "ACCEPTED", "{what} {how:?}: {}", repeat.text);
        assert_eq!(repeat.is_replayed(), committed, "{what} {how:?}");
        scene.promise(order, &repeat);
    }
}

/// Cuts at random steps while many callers are at work.
async fn cut_under_load(scene: &mut Scene, trial: &mut Trial, steps: &[Step]) {
    let crowd = Crowd::start(16, &scene.caller, &scene.promises);
    for _ in 0..times(40) {
        let done = scene.wire.done();
        let (step, how) = (trial.random.usize(..steps.len()), CUTS[trial.random.usize(..CUTS.len())]);
        scene.wire.plan([(At::Step(step), how)]);
        eventually("the cut is done", async || scene.wire.done() > done).await;
        trial.fault_done();
        let before = scene.promises.acknowledged();
        eventually("it goes on", async || scene.promises.acknowledged() > before).await;
    }
    crowd.stop().await;
    scene.promises.expect_only("storage_unavailable");
}
