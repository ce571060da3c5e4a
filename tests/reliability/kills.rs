//! kill -9 in the middle of load.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use conversiond::domain::ids::KeyKind;

use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::load::{Crowd, Promises, caller};
use crate::support::caller::unix_now;
use crate::support::process::ServeProcess;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, eventually, on_both_databases};
use crate::trial::{Trial, times};

/// How often the service is killed in CI.
fn kills(backend: Backend) -> usize {
    times(match backend {
        Backend::Sqlite => 100,
        Backend::Postgres => 50,
    })
}

const CLICKS: &str = "/api/v1/clicks";

on_both_databases! {
    async fn a_killed_service_keeps_every_acknowledged_event_exactly_once(backend: Backend) {
        let database = backend.database();
        let mut caller = caller(&database);
        let promises = Arc::new(Promises::default());
        let mut trial = Trial::new(&format!("{backend:?}-kill-9").to_lowercase());
        for _ in 0..kills(backend) {
            let service = ServeProcess::start(&database);
            caller.base = service.base.clone();
            let before = promises.acknowledged();
            let crowd = Crowd::start(16, &caller, &promises);
            // Not always as late, so that the kills fall on different phases of a commit.
            let wanted = before + trial.random.usize(50..250);
            eventually("some are acknowledged", async || promises.acknowledged() >= wanted).await;
            service.kill();
            trial.fault_done();
            crowd.stop().await;
        }
        let service = ServeProcess::start(&database);
        caller.base = service.base.clone();
        trial.answers_again(&caller).await;
        trial.check(&database, &promises);
        trial.replays(&caller, &promises).await;
        trial.passed();
    }

    async fn a_killed_service_keeps_every_click_that_it_has_answered(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let body = json!({"merchant_id": setup.merchant().to_string(), "url_id": Uuid::new_v4().to_string(),
            "domain_id": Uuid::new_v4().to_string()}).to_string();
        let operator = setup.key(KeyKind::Operator, None);
        let answered = Mutex::new(BTreeSet::new());
        for kill in 1..=4 {
            let service = ServeProcess::start(&database);
            let operator = Caller { base: service.base.clone(), ..operator.clone() };
            let clicking = join_all((0..8).map(|_| async {
                // Until the connection breaks.
                loop {
                    let key = Uuid::new_v4().to_string();
                    match operator.try_post_to(CLICKS, &key, &body, unix_now()).await {
                        // It broke in the middle of the answer.
                        Ok(answer) if answer.status == 201 && answer.text.is_empty() => break,
                        Ok(answer) if answer.status == 201 => {
                            let id = answer.at("/click_id").as_str().unwrap().to_owned();
                            assert!(answered.lock().unwrap().insert(id), "an id twice");
                        }
                        Ok(answer) => panic!("{} {}", answer.status, answer.text),
                        Err(_) => break,
                    }
                }
            }));
            let killing = async {
                let wanted = kill * (60 + 17 * kill);
                eventually("some are answered", async || answered.lock().unwrap().len() >= wanted).await;
                service.kill();
            };
            tokio::join!(clicking, killing);
            let answered = answered.lock().unwrap();
            let ids: Vec<String> = answered.iter().map(|id| format!("'{id}'")).collect();
            let kept = setup.count(&format!("clicks WHERE click_id IN ({})", ids.join(",")));
            assert_eq!(kept, i64::try_from(ids.len()).unwrap());
        }
    }
}
