//! What the service judges by may go bad: its clock, and its snapshot of the keys.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::clock::TestClock;
use crate::support::{Backend, Service, eventually, on_both_databases};

const PATH: &str = "/api/v1/conversions";

/// Which checks of `/readyz` say no, and what they say.
async fn down(service: &Service) -> (u16, Vec<(String, String)>) {
    let (status, text) = service.admin("/readyz").await;
    let json: Value = serde_json::from_str(&text).unwrap();
    let checks = json["checks"].as_object().unwrap().iter();
    let down = checks
        .map(|(name, verdict)| (name.clone(), verdict.as_str().unwrap().to_owned()))
        .filter(|(_, verdict)| verdict != "ok");
    (status, down.collect())
}

fn lead(id: &str) -> Value {
    json!({"event_name": "lead", "external_id": id})
}

on_both_databases! {
    async fn a_clock_that_jumped_is_503_until_it_is_right_again(backend: Backend) {
        let service = Service::start(backend).await;
        for (number, jump) in [TimeDelta::seconds(31), -TimeDelta::seconds(31), TimeDelta::days(400)].into_iter().enumerate() {
            service.clock.jump(jump);
            let answer = service.caller.post(&lead("refused")).await;
            answer.expect_problem(503, "clock_unreliable");
            // Nobody is told 401, not even a forger.
            let mut stranger = service.caller.clone();
            stranger.key_id = "ak_live_000000000000000000000000".to_owned();
            stranger.get(PATH).await.expect_problem(503, "clock_unreliable");
            let (status, checks) = down(&service).await;
            assert_eq!(status, 503);
            let [(name, verdict)] = checks.as_slice() else { panic!("{checks:?}") };
            assert_eq!(name, "clock");
            let off_by: i64 = verdict.split(' ').find_map(|word| word.parse().ok()).unwrap();
            assert!((off_by - jump.num_seconds()).abs() <= 1, "{verdict}");
            service.clock.jump(-jump);
            assert_eq!(down(&service).await, (200, Vec::new()));
            assert_eq!(service.caller.post(&lead(&format!("L-{number}"))).await.word(), "ACCEPTED");
        }
        assert_eq!(service.count_events(), 3);
    }

    async fn a_clock_that_is_off_by_less_than_thirty_seconds_is_believed(backend: Backend) {
        let service = Service::start(backend).await;
        service.clock.jump(TimeDelta::seconds(29));
        assert_eq!(service.caller.post(&lead("L-1")).await.word(), "ACCEPTED");
        service.clock.jump(-TimeDelta::seconds(58));
        assert_eq!(service.caller.post(&lead("L-2")).await.word(), "ACCEPTED");
        assert_eq!(down(&service).await, (200, Vec::new()));
    }

    async fn keys_that_cannot_be_refreshed_are_not_judged_by_for_long(backend: Backend) {
        let service = Service::start_with(backend.database(), "[keys]\nstale_s = 5\n").await;
        let mut setup = service.setup();
        // No ring has this master key.
        assert_eq!(setup.execute("UPDATE key_secrets SET master_key = 9"), 1);
        assert_eq!(service.caller.get(PATH).await.status, 200);
        eventually("the snapshot is stale", async || {
            service.clock.advance(TimeDelta::seconds(6));
            service.caller.get(PATH).await.status == 503
        }).await;
        service.caller.get(PATH).await.expect_problem(503, "storage_unavailable");
        service.caller.post(&lead("L-1")).await.expect_problem(503, "storage_unavailable");
        let mut stranger = service.caller.clone();
        stranger.key_id = "ak_live_000000000000000000000000".to_owned();
        stranger.get(PATH).await.expect_problem(503, "storage_unavailable");
        let (status, checks) = down(&service).await;
        let names: Vec<&str> = checks.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((status, names), (503, vec!["keys"]));
        assert_eq!(setup.count_events(), 0);
        assert_eq!(setup.execute("UPDATE key_secrets SET master_key = 1"), 1);
        eventually("the keys are read again", async || service.caller.get(PATH).await.status == 200).await;
        assert_eq!(down(&service).await, (200, Vec::new()));
        assert_eq!(service.caller.post(&lead("L-1")).await.word(), "ACCEPTED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_wrong_from_the_start_is_noticed_by_the_databases() {
    let Some(backend) = Backend::postgres() else { return };
    let clock = TestClock::default();
    clock.jump(TimeDelta::hours(1));
    let service = Service::start_at(backend.database(), "[keys]\nrefresh_s = 4\n", Arc::new(clock)).await;
    // From the first request on: a 401 would be taken as final.
    service.caller.post(&lead("L-1")).await.expect_problem(503, "clock_unreliable");
    service.clock.jump(-TimeDelta::hours(1));
    eventually("the right clock is believed", async || service.caller.get(PATH).await.status == 200).await;
    assert_eq!(service.count_events(), 0);
}
