//! Two instances behind a proxy are replaced one after the other, under load.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::load::{Crowd, Promises, caller};
use crate::support::process::ServeProcess;
use crate::support::proxy::Proxy;
use crate::support::{Backend, eventually};
use crate::trial::{Trial, times};

/// How many instances are replaced in CI.
const RESTARTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_replaced_one_after_the_other_cost_no_caller_more_than_a_retry() {
    let Some(backend) = Backend::postgres() else { return };
    let database = backend.database();
    let mut caller = caller(&database);
    let mut trial = Trial::new("postgres-rolling-restart");
    let proxy = Proxy::start().await;
    caller.base = proxy.base();
    let start = || tokio::task::block_in_place(|| ServeProcess::start(&database));
    let mut instances = VecDeque::from([start(), start()]);
    let pass_on = |instances: &VecDeque<ServeProcess>| {
        let bases: Vec<&str> = instances.iter().map(|instance| instance.base.as_str()).collect();
        proxy.pass_on_to(&bases);
    };
    pass_on(&instances);
    let promises = Arc::new(Promises::default());
    let crowd = Crowd::start(16, &caller, &promises);
    for _ in 0..times(RESTARTS) {
        let wanted = promises.acknowledged() + trial.random.usize(20..200);
        eventually("load is on", async || promises.acknowledged() >= wanted).await;
        let old = instances.pop_front().unwrap();
        // The proxy may learn of it before or after the instance does.
        if trial.random.bool() {
            pass_on(&instances);
        }
        let ended = tokio::task::spawn_blocking(move || old.terminate());
        let kept = promises.acknowledged();
        eventually("the other one goes on", async || promises.acknowledged() > kept + 20).await;
        pass_on(&instances);
        let (code, log) = ended.await.unwrap();
        assert_eq!(code, Some(0), "{log:?}");
        assert!(log.iter().any(|line| line.contains("everything taken is on disk")), "{log:?}");
        instances.push_back(start());
        pass_on(&instances);
        trial.fault_done();
        trial.answers_again(&caller).await;
    }
    crowd.stop().await;
    {
        let refused = promises.refused.lock().unwrap();
        assert!(refused.keys().all(|(status, _)| *status == 503), "{refused:?}");
    }
    assert_eq!(promises.without_retry_after.load(Ordering::Relaxed), 0);
    trial.check(&database, &promises);
    trial.replays(&caller, &promises).await;
    trial.passed();
}
