//! Secrets are rotated and keys revoked by the command line, beside a service under load.

use std::sync::Arc;

use conversiond::domain::ids::KeyKind;
use conversiond::domain::secret::SigningSecret;

use crate::load::{Crowd, Promises};
use crate::support::process::{ServeProcess, run_json};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, eventually, on_both_databases};
use crate::trial::{Trial, times};

/// How many keys are rotated and then revoked in CI, and how often each is rotated.
const KEYS: usize = 1;
const ROTATIONS: usize = 2;

/// Until when a change is in force: 5 s are promised, in steps of 100 ms.
async fn within_5_s(what: &str, caller: &Caller, status: u16) {
    for _ in 0..50 {
        let event = Promises::event(&format!("PROBE-{}", uuid::Uuid::new_v4().simple()));
        if caller.post_text(&event).await.status == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("not within 5 s: {what}");
}

fn on_cli(database: &TestDatabase, arguments: &[&str]) -> serde_json::Value {
    tokio::task::block_in_place(|| run_json(database, arguments))
}

on_both_databases! {
    async fn rotating_costs_nobody_a_401_who_switches_in_time_and_nothing_gets_in_by_a_revoked_key(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let merchant = setup.merchant();
        let mut trial = Trial::new(&format!("{backend:?}-key-rotation").to_lowercase());
        let service = ServeProcess::start(&database);
        let promises = Arc::new(Promises::default());
        let new_key = |setup: &mut Setup| {
            Caller { base: service.base.clone(), ..setup.key(KeyKind::Live, Some(merchant)) }
        };
        for _ in 0..times(KEYS) {
            let mut caller = new_key(&mut setup);
            within_5_s("a new key", &caller, 202).await;
            let mut crowd = Crowd::start(8, &caller, &promises);
            for rotation in 0..ROTATIONS {
                let mut arguments = vec!["key", "rotate", &caller.key_id, "--overlap", "1h"];
                if rotation > 0 {
                    // The last rotation's older secret is nobody's any more.
                    arguments.push("--drop-oldest");
                }
                let rotated = on_cli(&database, &arguments);
                let secret = SigningSecret::parse(rotated["secret"].as_str().unwrap()).unwrap();
                trial.fault_done();
                let switched = Caller { secret, ..caller.clone() };
                within_5_s("the new secret", &switched, 202).await;
                // Both are in use for a while.
                let next = Crowd::start(8, &switched, &promises);
                let wanted = promises.acknowledged() + trial.random.usize(20..200);
                eventually("both sign", async || promises.acknowledged() >= wanted).await;
                crowd.stop().await;
                (crowd, caller) = (next, switched);
            }
            assert!(promises.refused.lock().unwrap().is_empty(), "{:?}", promises.refused.lock().unwrap());
            on_cli(&database, &["key", "revoke", &caller.key_id]);
            trial.fault_done();
            within_5_s("the revocation", &caller, 401).await;
            // What was on its way then has its answer.
            crowd.stop().await;
            let kept = promises.acknowledged();
            let late = Crowd::start(8, &caller, &promises);
            let told = promises.refused("unauthorized");
            eventually("callers are told", async || promises.refused("unauthorized") > told + 50).await;
            late.stop().await;
            assert_eq!(promises.acknowledged(), kept, "a revoked key was good for something");
            let refused = std::mem::take(&mut *promises.refused.lock().unwrap());
            assert!(refused.keys().all(|(status, code)| (*status, code.as_str()) == (401, "unauthorized")), "{refused:?}");
        }
        let caller = new_key(&mut setup);
        within_5_s("a new key", &caller, 202).await;
        trial.answers_again(&caller).await;
        trial.check(&database, &promises);
        trial.replays(&caller, &promises).await;
        trial.passed();
    }
}
