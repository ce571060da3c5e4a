//! A bulk import job that runs again what failed or was interrupted, and nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::ledger::{assert_recorded, events};
use super::program::{Ended, Program, tools};
use super::shop::Shop;
use crate::support::cluster::Cluster;
use crate::support::gate::Gate;
use crate::support::proxy::{At, Fault, Proxy};
use crate::support::{Backend, on_both_databases};

/// A job with its source rows and its log.
struct Job {
    rows: Vec<Value>,
    folder: PathBuf,
    /// Its batches' size and what else is set.
    settings: Vec<(&'static str, &'static str)>,
}

impl Job {
    /// Of so many sales, in batches of five.
    fn new(shop: &Shop, count: usize) -> Self {
        let row = |number: usize| {
            let sale = json!({"order_id": format!("O-{number:03}"), "value": "12.50", "currency": "EUR"});
            json!({"id": format!("row-{number:03}"), "event": {"event_name": "sale", "custom_data": sale}})
        };
        let settings = vec![("BATCH", "5"), ("SCALE", "0.01")];
        Self { rows: (0..count).map(row).collect(), folder: shop.database.folder(), settings }
    }

    fn program(&self, shop: &Shop) -> Program {
        let (rows, log) = (self.folder.join("rows.json"), self.folder.join("job.json"));
        std::fs::write(&rows, Value::from(self.rows.clone()).to_string()).unwrap();
        let program = Program::new("import.mjs", shop);
        let program = program.set("ROWS", rows.to_str().unwrap()).set("JOB_LOG", log.to_str().unwrap());
        self.settings.iter().fold(program, |program, (name, value)| program.set(name, value))
    }

    async fn run(&self, shop: &Shop) -> Ended {
        self.program(shop).run().await
    }

    /// What the log says of each row.
    fn log(&self) -> BTreeMap<String, Value> {
        serde_json::from_slice(&std::fs::read(self.folder.join("job.json")).unwrap()).unwrap()
    }

    /// Everything is logged as done, with the ids that are in the database, and nothing is there twice.
    #[track_caller]
    fn assert_done(&self, shop: &Shop) {
        let (log, events) = (self.log(), events(&shop.database));
        assert_eq!((log.len(), events.len()), (self.rows.len(), self.rows.len()), "{log:?}");
        for row in &self.rows {
            let order = row["event"]["custom_data"]["order_id"].as_str().unwrap();
            let logged = &log[row["id"].as_str().unwrap()];
            assert_eq!(
                logged["event_id"].as_str(),
                events.get(order).map(String::as_str),
                "{order}: {logged}"
            );
        }
    }
}

fn rows_that(log: &BTreeMap<String, Value>, is: impl Fn(&Value) -> bool) -> Vec<&str> {
    log.iter().filter(|(_, row)| is(row)).map(|(id, _)| id.as_str()).collect()
}

on_both_databases! {
    async fn an_import_gets_through_lost_answers_gateways_and_a_killed_service(backend: Backend) {
        if !tools() { return; }
        for keyless in [false, true] {
            let mut shop = Shop::open(backend).await;
            let mut job = Job::new(&shop, 30);
            job.settings.push(("SCALE", "0.3"));
            if keyless {
                job.settings.push(("KEYLESS", "1"));
            }
            shop.proxy.plan([
                Fault::Cut(At::Answer),
                Fault::Cut(At::Body),
                Fault::GatewayInstead(504),
                Fault::Cut(At::AnswerBody),
                Fault::Stop(At::Request),
            ]);
            let running = job.program(&shop).start();
            let stopped = shop.proxy.stopped().await;
            shop.kill();
            stopped.cut();
            shop.start();
            let ended = running.end().await;
            assert!(ended.success, "{ended:?}");
            job.assert_done(&shop);
            // The answers of the first and the third batch were lost, and their rows were told again.
            let log = job.log();
            let word = if keyless { "DUPLICATE" } else { "ACCEPTED" };
            for row in (0..5).chain(10..15).map(|number| &log[&format!("row-{number:03}")]) {
                assert_eq!((&row["status"], &row["idempotent"]), (&json!(word), &json!(!keyless)), "{row}");
            }
            // Those of the second had never arrived.
            for row in (5..10).map(|number| &log[&format!("row-{number:03}")]) {
                assert_eq!((&row["status"], &row["idempotent"]), (&json!("ACCEPTED"), &json!(false)), "{row}");
            }
            assert_eq!(shop.manners().len(), 0);
        }
    }

    async fn valid_rows_go_on_and_mended_rows_are_run_again_under_their_keys(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open(backend).await;
        let mut job = Job::new(&shop, 12);
        job.rows[3]["event"]["custom_data"]["currency"] = json!("XXX");
        job.rows[7]["event"]["custom_data"].as_object_mut().unwrap().remove("value");
        let ended = job.run(&shop).await;
        assert!(!ended.success && ended.statuses() == [200, 200, 200], "{ended:?}");
        let log = job.log();
        let rejected = rows_that(&log, |row| row["status"] == "REJECTED");
        assert_eq!(rejected, ["row-003", "row-007"], "{log:?}");
        for row in &rejected {
            assert_eq!((&log[*row]["code"], &log[*row]["retryable"]), (&json!("validation_failed"), &json!(false)));
        }
        assert_eq!(events(&shop.database).len(), 10);
        job.rows[3]["event"]["custom_data"]["currency"] = json!("EUR");
        job.rows[7]["event"]["custom_data"]["value"] = json!("9.90");
        let ended = job.run(&shop).await;
        assert!(ended.success && ended.statuses() == [200], "{ended:?}");
        job.assert_done(&shop);
        let log = job.log();
        assert_eq!(rows_that(&log, |row| row["runs"] == 2), ["row-003", "row-007"], "nothing else was run again");
        assert!(log.values().all(|row| row["status"] == "ACCEPTED" && row["idempotent"] == false), "{log:?}");
    }

    async fn a_job_that_dies_before_it_has_logged_an_answer_is_told_it_again(backend: Backend) {
        if !tools() { return; }
        let mut shop = Shop::open(backend).await;
        let job = Job::new(&shop, 15);
        shop.proxy.plan([Fault::GatewayInstead(504), Fault::Stop(At::Answer)]);
        let running = job.program(&shop).start();
        let stopped = shop.proxy.stopped().await;
        running.kill().await;
        stopped.cut();
        assert_eq!(events(&shop.database).len(), 5);
        let log = job.log();
        assert_eq!(rows_that(&log, |row| row["status"] == "interrupted").len(), 5, "{log:?}");
        let ended = job.run(&shop).await;
        assert!(ended.success && ended.statuses() == [200, 200, 200], "{ended:?}");
        job.assert_done(&shop);
        let log = job.log();
        assert_eq!(rows_that(&log, |row| row["idempotent"] == true).len(), 5, "{log:?}");
        assert!(log.values().all(|row| row["status"] == "ACCEPTED"), "{log:?}");
    }

    async fn a_batch_costs_one_token_and_waits_for_it(backend: Backend) {
        if !tools() { return; }
        let mut shop = Shop::closed(backend.database(), Proxy::start().await);
        shop.set_merchant(&["--rate", "2", "--burst", "2"]);
        shop.start();
        let mut job = Job::new(&shop, 50);
        job.settings = vec![("BATCH", "10")];
        let ended = job.run(&shop).await;
        assert!(ended.success, "{ended:?}");
        job.assert_done(&shop);
        assert_eq!(ended.statuses().iter().filter(|status| **status == 200).count(), 5, "{ended:?}");
        let codes = shop.manners();
        assert!(codes.keys().all(|code| code == "rate_limited"), "{codes:?}");
        assert!(codes.contains_key("rate_limited"), "five at once are three too many: {codes:?}");
    }

    async fn a_batch_that_is_refused_to_the_last_attempt_is_left_to_the_next_pass(backend: Backend) {
        if !tools() { return; }
        let shop = Shop::open_behind_gateway(backend).await;
        let job = Job::new(&shop, 10);
        // Three of a gateway's, and the fourth attempt comes through: nothing was interrupted.
        shop.proxy.plan([Fault::Gateway(503), Fault::Gateway(503), Fault::Gateway(503)]);
        let ended = job.run(&shop).await;
        assert!(ended.success && ended.statuses() == [503, 503, 503, 200, 200], "{ended:?}");
        job.assert_done(&shop);
        // Four, and the batch is interrupted: the next pass has it.
        std::fs::remove_file(job.folder.join("job.json")).unwrap();
        shop.proxy.plan([Fault::GatewayInstead(503); 4]);
        let ended = job.run(&shop).await;
        assert!(ended.success && ended.statuses() == [503, 503, 503, 503, 200, 200], "{ended:?}");
        job.assert_done(&shop);
        assert!(job.log().values().all(|row| row["idempotent"] == true));
        let orders: Vec<String> = (0..10).map(|number| format!("O-{number:03}")).collect();
        assert_recorded(&shop.database, orders.iter().map(String::as_str));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_commit_was_confirmed_to_nobody_are_told_as_new_once() {
    let Some(backend) = Backend::postgres().filter(|_| tools()) else { return };
    let mut shop = Shop::closed(backend.database(), Proxy::start().await);
    let gate = Gate::start(Cluster::shared().unwrap().port()).await;
    shop.way = gate.way_to(&shop.database);
    shop.start();
    let job = Job::new(&shop, 15);
    gate.lose_answers(2);
    let ended = job.run(&shop).await;
    assert_eq!((ended.success, ended.statuses(), gate.to_lose()), (true, vec![200; 3], 0), "{ended:?}");
    job.assert_done(&shop);
    let log = job.log();
    assert!(log.values().all(|row| row["status"] == "ACCEPTED" && row["idempotent"] == false), "{log:?}");
}
