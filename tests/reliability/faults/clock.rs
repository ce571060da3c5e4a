//! The service's clock jumps under load.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chrono::TimeDelta;

use crate::load::{Crowd, Promises};
use crate::support::{Backend, Service, eventually, on_both_databases};
use crate::trial::{Trial, times};

/// How often in CI.
const JUMPS: usize = 12;

on_both_databases! {
    async fn a_clock_that_jumps_under_load_costs_a_503_and_never_a_final_answer(backend: Backend) {
        let mut trial = Trial::new(&format!("{backend:?}-clock-jump").to_lowercase());
        let mut service = Service::start(backend).await;
        let promises = Arc::new(Promises::default());
        let crowd = Crowd::start(16, &service.caller, &promises);
        for round in 0..times(JUMPS) {
            let wanted = promises.acknowledged() + trial.random.usize(10..100);
            eventually("load is on", async || promises.acknowledged() >= wanted).await;
            // Far enough to be noticed, and every third time so little that it is borne.
            let seconds = match round % 3 {
                0 => trial.random.i64(31..600),
                1 => -trial.random.i64(31..600),
                _ => trial.random.i64(-25..25),
            };
            let jump = TimeDelta::seconds(seconds);
            let told = promises.refused("clock_unreliable");
            service.clock.jump(jump);
            if seconds.abs() > 30 {
                eventually("callers are told", async || promises.refused("clock_unreliable") > told + 20).await;
                let (status, text) = service.admin("/readyz").await;
                assert_eq!(status, 503);
                assert!(text.contains("off by"), "{text}");
            } else {
                let wanted = promises.acknowledged() + 20;
                eventually("it goes on", async || promises.acknowledged() >= wanted).await;
            }
            service.clock.jump(-jump);
            trial.fault_done();
            trial.answers_again(&service.caller).await;
        }
        crowd.stop().await;
        {
            let refused = promises.refused.lock().unwrap();
            // Where the writer's clock was ahead, an event that had waited was too old to be taken.
            let retryable = |(status, code): &(u16, String)| {
                *status == 503 && ["clock_unreliable", "storage_unavailable"].contains(&code.as_str())
            };
            assert!(refused.keys().all(retryable), "{refused:?}");
        }
        assert_eq!(promises.without_retry_after.load(Ordering::Relaxed), 0);
        trial.check(&service.database, &promises);
        trial.replays(&service.caller, &promises).await;
        // No two events have one id, and lists go through all of them.
        let (mut listed, mut cursor) = (0, String::new());
        loop {
            let page = service.caller.get(&format!("/api/v1/conversions?limit=500{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            listed += page.json()["data"].as_array().unwrap().len();
            match page.at("/next_cursor").as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(i64::try_from(listed).unwrap(), service.count_events());
        service.stop().await;
        trial.passed();
    }

    async fn an_older_secret_is_good_after_a_jump_beyond_its_end_was_undone(backend: Backend) {
        let service = Service::start(backend).await;
        let sql = "UPDATE key_secrets SET expires_at = '2999-01-01 00:00:00'";
        service.setup().change_key(&service.caller, sql);
        service.clock.jump(TimeDelta::days(365 * 1_000));
        let reads = async || service.caller.get("/api/v1/conversions").await.status;
        assert_eq!(reads().await, 503);
        // Its turn to be read has come, and the snapshot was left as it is.
        eventually("no keys are read by a wrong clock", async || {
            let (_, figures) = service.admin("/metrics").await;
            let age = figures.lines().find_map(|line| line.strip_prefix("conversiond_keys_age_seconds "));
            age.unwrap().parse::<f64>().unwrap() > 1.5
        })
        .await;
        service.clock.jump(-TimeDelta::days(365 * 1_000));
        assert_eq!(reads().await, 200);
    }
}
