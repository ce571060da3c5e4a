//! A running service whose keys somebody changes without the master key, and token keys that are retired.

use conversiond::domain::ids::KeyKind;
use conversiond::domain::time::Clock as _;
use conversiond::keyring::{retire_token_key, rotate_token_key};
use conversiond::system::{SystemClock, SystemEntropy};
use serde_json::json;

use crate::support::service::Setup;
use crate::support::{Backend, Caller, Service, eventually, on_both_databases};

const PATH: &str = "/api/v1/conversions";

on_both_databases! {
    async fn a_secret_moved_under_anothers_key_signs_nothing_and_rightful_callers_are_told_503(backend: Backend) {
        let database = backend.database();
        let mut setup = Setup::new(&database, "");
        let attacker = setup.merchant();
        let attacker = setup.key(KeyKind::Live, Some(attacker));
        drop(setup);
        let service = Service::start_with(database, "[keys]\nstale_s = 5\n").await;
        let (victim, own) = (&service.caller.key_id, &attacker.key_id);
        let sql = format!("UPDATE key_secrets SET key_id = '{victim}' WHERE key_id = '{own}'");
        assert_eq!(service.setup().execute(&sql), 1);
        let forger = Caller { key_id: victim.clone(), base: service.caller.base.clone(), ..attacker };
        let mut stale = false;
        eventually("the last good snapshot is stale", async || {
            service.clock.advance(chrono::TimeDelta::seconds(1));
            let forged = forger.get(PATH).await.status;
            assert!(forged == 401 || forged == 503, "{forged}");
            let rightful = service.caller.get(PATH).await.status;
            assert!(rightful == 200 || rightful == 503, "{rightful}");
            stale |= rightful == 503;
            stale
        })
        .await;
        let sql = format!("UPDATE key_secrets SET key_id = '{own}' WHERE merchant_id <> '{}'", service.merchant);
        assert_eq!(service.setup().execute(&sql), 1);
        eventually("it heals", async || service.caller.get(PATH).await.status == 200).await;
        assert_eq!(service.count_events(), 0);
    }

    async fn a_token_of_a_retired_key_earns_no_link_and_its_sale_is_recorded(backend: Backend) {
        let service = Service::start(backend).await;
        let token = service.token(SystemClock.now());
        let lead = |id: &str| json!({"event_name": "lead", "external_id": id, "nim_ct": token});
        assert_eq!(service.caller.post(&lead("before")).await.at("/attribution/status"), "attributed");
        let mut setup = service.setup();
        let (ring, now) = (setup.master_key(), SystemClock.now());
        rotate_token_key(&mut setup.connection, &ring, now, &SystemEntropy).unwrap();
        retire_token_key(&mut setup.connection, &ring, 1, (now, now), &SystemEntropy).unwrap();
        let mut number = 0;
        let retired = eventually("the key is out of force", async || {
            number += 1;
            let answer = service.caller.post(&lead(&format!("L-{number}"))).await;
            assert_eq!(answer.word(), "ACCEPTED");
            answer.at("/attribution/reason") == "invalid_token"
        });
        tokio::time::timeout(std::time::Duration::from_secs(5), retired).await.expect("within five seconds");
        assert_eq!(service.count_events(), number + 1);
        // What was attributed stays so.
        assert_eq!(service.caller.post(&lead("before")).await.at("/attribution/status"), "attributed");
    }
}
