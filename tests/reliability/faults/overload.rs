//! Five times as many callers as there is room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use conversiond::domain::ids::KeyKind;
use conversiond::domain::rate_limit::RateLimit;
use conversiond::storage::merchants::Changes;
use serde_json::json;

use crate::load::{Crowd, Promises, caller};
use crate::support::process::{ServeProcess, command};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, eventually, on_both_databases};
use crate::trial::{Trial, times};

/// How often in CI.
const WAVES: usize = 2;

/// Events that may wait, and in one transaction: so few that the store is what holds everybody up, and not
/// the processors that callers and service share.
const QUEUE: usize = 64;
const BATCH: usize = 1;

/// What the service's memory may come to, in KiB.
const MEMORY_MAX: u64 = 150 * 1024;

/// The most memory that a process ever had, in KiB.
fn peak_memory(service: &ServeProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Posts large events of a merchant that may send one a second, and looks at each answer.
async fn press(caller: Caller, number: usize, over: Arc<AtomicBool>, limited: Arc<AtomicUsize>) {
    let padding = "x".repeat(7_000);
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let event = json!({"externalOrderId": format!("L-{number}-{n}"), "amount": "1", "currency": "EUR",
            "metadata": {"padding": padding}});
        let answer = caller.try_post(&event.to_string()).await.expect("an answer");
        let told_when = answer.header("retry-after").is_some_and(|text| text.parse::<u32>().unwrap() >= 1);
        match (answer.status, answer.word().as_str()) {
            (202, "ACCEPTED") => {}
            (429, "rate_limited") if told_when => {
                limited.fetch_add(1, Ordering::Relaxed);
            }
            (503, "overloaded") if told_when => {}
            _ => panic!("{} {}", answer.status, answer.text),
        }
    }
}

on_both_databases! {
    async fn five_times_as_many_callers_as_there_is_room_for_are_told_so_in_bounded_memory(backend: Backend) {
        let database = backend.database();
        let mut caller = caller(&database);
        let mut limited = {
            let mut setup = Setup::new(&database, "");
            let merchant = setup.merchant();
            setup.change(merchant, &Changes { own_limit: Some(RateLimit::of(1, 1)), ..Changes::default() });
            setup.key(KeyKind::Live, Some(merchant))
        };
        let mut command = command(&database, &["serve"]);
        command.env("CONVERSIOND__INGEST__QUEUE_EVENTS", QUEUE.to_string());
        command.env("CONVERSIOND__INGEST__BATCH_EVENTS", BATCH.to_string());
        let service = ServeProcess::start_command(command);
        (caller.base, limited.base) = (service.base.clone(), service.base.clone());
        let promises = Arc::new(Promises::default());
        let mut trial = Trial::new(&format!("{backend:?}-overload").to_lowercase());
        for wave in 0..times(WAVES) {
            let (refused, kept) = (promises.refused("overloaded"), promises.acknowledged());
            let crowd = Crowd::start(5 * (QUEUE + BATCH), &caller, &promises);
            let (over, too_fast) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let pressing: Vec<_> = (0..8)
                .map(|n| tokio::spawn(press(limited.clone(), 8 * wave + n, over.clone(), too_fast.clone())))
                .collect();
            eventually("many are refused, and many get through", async || {
                too_fast.load(Ordering::Relaxed) > 0
                    && promises.refused("overloaded") > refused + 200 && promises.acknowledged() > kept + 100
            })
            .await;
            // The operator's endpoints answer as ever.
            let ready = caller.http.get(format!("{}/readyz", service.admin)).send().await.unwrap();
            assert_eq!(ready.status(), 200);
            over.store(true, Ordering::Relaxed);
            crowd.stop().await;
            for task in pressing {
                task.await.unwrap();
            }
            trial.fault_done();
            trial.answers_again(&caller).await;
        }
        let memory = peak_memory(&service);
        assert!(memory <= MEMORY_MAX, "{memory} KiB");
        {
            let refused = promises.refused.lock().unwrap();
            let expected = |(status, code): &(u16, String)| (*status, code.as_str()) == (503, "overloaded");
            assert!(refused.keys().all(expected), "{refused:?}");
        }
        let (broken, untold) =
            (promises.broken.load(Ordering::Relaxed), promises.without_retry_after.load(Ordering::Relaxed));
        assert_eq!((broken, untold), (0, 0));
        trial.check(&database, &promises);
        trial.replays(&caller, &promises).await;
        trial.passed();
    }
}
