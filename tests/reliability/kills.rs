//! kill -9 in the middle of load.

use std::sync::Arc;

use crate::load::{Crowd, Promises, caller, check};
use crate::support::process::ServeProcess;
use crate::support::{Backend, eventually, on_both_databases};

const KILLS: usize = 20;

on_both_databases! {
    async fn a_killed_service_keeps_every_acknowledged_event_exactly_once(backend: Backend) {
        let database = backend.database();
        let mut caller = caller(&database);
        let promises = Arc::new(Promises::default());
        for kill in 0..KILLS {
            let service = ServeProcess::start(&database);
            caller.base = service.base.clone();
            let before = promises.acknowledged();
            let crowd = Crowd::start(16, &caller, &promises);
            // Later each time, so that the kills fall on different phases of a commit.
            let wanted = before + 100 + 137 * kill % 400;
            eventually("some are acknowledged", async || promises.acknowledged() >= wanted).await;
            service.kill();
            crowd.stop().await;
            check(&database, &promises);
        }
        assert!(promises.acknowledged() >= 100 * KILLS);
        let service = ServeProcess::start(&database);
        caller.base = service.base.clone();
        let order = promises.acknowledged.lock().unwrap().keys().next().unwrap().clone();
        let again = caller.post(&serde_json::json!({"externalOrderId": order, "amount": "12.34", "currency": "EUR"})).await;
        assert_eq!(again.word(), "DUPLICATE");
    }
}
