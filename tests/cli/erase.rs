//! `erase`: an order's personal data goes, its figures stay, and a repeat is still a repeat.

mod files;
mod shop;

use chrono::TimeDelta;
use conversiond::domain::ids::AttemptId;
use conversiond::domain::time::Clock as _;
use conversiond::system::{SystemClock, SystemEntropy};
use serde_json::{Value, json};

use crate::shell::{self, caller, key, merchant};
use crate::support::process::{command, run_json};
use crate::support::service::Setup;
use crate::support::{Backend, Caller, eventually, on_both_databases};
use shop::{
    ADA, ADAS_ADDRESS, BULK, By, GRACE, NOBODYS_KEY, OTHER_ADDRESS, PLAIN, SINGLE, STATUS, Shop, holding,
    known, refund, sale, send, status, tell_all,
};

/// What must not change.
fn figures(setup: &mut Setup) -> Vec<String> {
    let mut figures = setup.lines(
        "SELECT event_id || event_name || order_id || own_id || coalesce(external_id, '-') \
         || coalesce(CAST(value_minor AS TEXT), '-') || coalesce(currency, '-') || attribution \
         || CAST(times_received AS TEXT) || '/' || CAST(times_differed AS TEXT) \
         || coalesce(idempotency_key, '-') || CAST(occurred_at AS TEXT) || CAST(received_at AS TEXT) AS line \
         FROM events ORDER BY event_id",
    );
    figures.extend(setup.lines(
        "SELECT order_id || status || status_updated_at || coalesce(event_id, '-') \
         || CAST(times_received AS TEXT) || CAST(received_at AS TEXT) AS line FROM order_statuses \
         ORDER BY order_id, status",
    ));
    figures.extend(setup.lines(
        "SELECT attempt_id || CAST(bulk_row AS TEXT) || outcome || reason || coalesce(order_id, '-') AS line \
         FROM attempts ORDER BY attempt_id, bulk_row",
    ));
    figures.extend(setup.lines("SELECT external_event_id || fingerprint AS line FROM external_events"));
    figures
}

/// Refused requests about O-1, of some days ago.
fn insert_refused(setup: &mut Setup, merchant: &str, count: i64) {
    let rows: Vec<String> = (0..count)
        .map(|number| {
            let at = SystemClock.now() - TimeDelta::days(3) + TimeDelta::seconds(number);
            let (id, at) = (AttemptId::generate(at, &SystemEntropy), at.format("%Y-%m-%d %H:%M:%S"));
            format!(
                "('{merchant}', '{id}', -1, 'live', '{at}', 'conversions', '{ADAS_ADDRESS}', 'r', 1, 'refused', \
                 422, 'validation_failed', 'O-1', 1)"
            )
        })
        .collect();
    let inserted = setup.execute(&format!(
        "INSERT INTO attempts (merchant_id, attempt_id, bulk_row, mode, started_at, endpoint, peer, request_id, \
         body_bytes, outcome, status, reason, order_id, elapsed_us) VALUES {}",
        rows.join(", ")
    ));
    assert_eq!(inserted, rows.len());
}

on_both_databases! {
    async fn after_it_no_table_holds_what_was_sent_and_the_figures_are_the_same(backend: Backend) {
        let shop = Shop::open(backend);
        tell_all(&shop).await;
        // Another merchant has an order of this id, too.
        let stranger = merchant(&shop.database);
        let issued = key(&shop.database, &["--merchant", &stranger]);
        let theirs = By { address: OTHER_ADDRESS, request_id: GRACE, key: "key-of-O-1", delivery: "" };
        let caller = caller(&shop.service.base, issued);
        known(&caller).await;
        assert_eq!(send(&caller, SINGLE, &sale("O-1", GRACE), theirs).await.word(), "ACCEPTED");
        // It had been sent before its key was known, and under a key that nobody knows yet; and what is the
        // same by chance, before.
        let early = "ak_live_000000000000000000000001";
        for (key_id, name) in [(NOBODYS_KEY, GRACE), (NOBODYS_KEY, ADA), (early, GRACE)] {
            let nobody = Caller { key_id: key_id.to_owned(), ..caller.clone() };
            assert_eq!(send(&nobody, SINGLE, &sale("O-1", name), theirs).await.status, 401);
        }
        shop.refusals("O-1", 3).await;
        let mut setup = shop.setup();
        let nobodys = "attempts WHERE merchant_id = '' AND body_sha256 IS NULL AND order_id IS NULL";
        eventually("they are journaled without a trace of the body", async || setup.count(nobodys) == 3).await;
        let key_id = &caller.key_id;
        let named = format!("UPDATE attempts SET key_id = '{key_id}' WHERE key_id = '{NOBODYS_KEY}'");
        assert_eq!(setup.execute(&named), 2);
        let (before, figures_before) = (setup.dump(), figures(&mut setup));
        for table in ["events", "order_statuses", "attempts", "idempotency_keys"] {
            let held = before.iter().any(|line| line.starts_with(table) && line.contains(ADA));
            assert!(held, "{table} holds nothing to erase");
        }

        let receipt = shop.erase("O-1");
        assert_eq!(receipt["order_id"], "O-1");
        // A sale, four refunds, a cancellation and a status refund; four statuses; the keys of the refund,
        // the status, the bulk request and its row.
        assert_eq!(receipt["known"], json!({"events": 7, "order_statuses": 4}));
        let erased = &receipt["erased"];
        assert_eq!((&erased["events"], &erased["order_statuses"]), (&json!(7), &json!(4)));
        assert_eq!(erased["idempotency_keys"], 4);

        let after = setup.dump();
        for gone in [ADA, ADAS_ADDRESS] {
            assert_eq!(holding(&after, gone), 0, "{:?}", after.iter().find(|line| line.contains(gone)));
        }
        for kept in [GRACE, OTHER_ADDRESS] {
            assert_eq!(holding(&after, kept), holding(&before, kept), "{kept}");
        }
        assert_eq!(figures(&mut setup), figures_before);
        assert_eq!(setup.count("attempts WHERE order_id = 'O-1' AND body_sha256 IS NOT NULL"), 1, "the stranger's");
        let keys = setup.lines("SELECT idempotency_key AS line FROM idempotency_keys ORDER BY idempotency_key");
        assert_eq!(keys, ["key-of-O-1", "key-of-O-3", "row-of-O-2"], "the first is the stranger's");

        // A second time there is nothing to do.
        let dump = setup.dump();
        let again = shop.erase("O-1");
        assert_eq!(again["known"], receipt["known"]);
        assert_eq!(again["erased"], json!({"events": 0, "order_statuses": 0, "attempts": 0, "idempotency_keys": 0}));
        assert_eq!(setup.dump(), dump);
        let told = shop.run(&["erase", "--merchant", &shop.merchant, "--order", "O-1"]).done().out;
        assert!(told.contains("Nothing is left to erase of order O-1"), "{told}");
    }

    async fn a_late_repeat_of_an_erased_event_is_a_duplicate_that_differs_in_nothing(backend: Backend) {
        let shop = Shop::open(backend);
        tell_all(&shop).await;
        let told = shop.run(&["erase", "--merchant", &shop.merchant, "--order", "O-1"]).done();
        for word in ["7 of 7", "4 of 4", "journal lines", "DUPLICATE", "Backups"] {
            assert!(told.out.contains(word), "{word}: {}", told.out);
        }
        let log: Value = serde_json::from_str(told.err.trim()).unwrap();
        assert_eq!((&log["level"], &log["events"]), (&json!("INFO"), &json!(7)));
        assert!(!told.err.contains("O-1") && !told.err.contains(ADA), "{}", told.err);

        let by = By { request_id: "late", address: OTHER_ADDRESS, ..PLAIN };
        for (target, body, by) in [
            (SINGLE, sale("O-1", ADA), by),
            (SINGLE, refund("O-1", "r-1", ADA), By { key: "key-of-O-1", ..by }),
            (SINGLE, refund("O-1", "b-2", ADA), By { key: "row-of-O-1", ..by }),
            (STATUS, status("O-1", "returned", ADA), By { key: "status-of-O-1", ..by }),
            ("/api/v1/webhooks/order-cancelled", status("O-1", "cancelled", ADA), By { delivery: "d-1", ..by }),
        ] {
            let answer = shop.send(target, &body, by).await;
            assert_eq!((answer.status, answer.word().as_str()), (202, "DUPLICATE"), "{}", answer.text);
            assert_eq!((answer.at("/differs"), answer.is_replayed()), (Value::Null, false), "{}", answer.text);
        }
        // What is kept is still compared.
        let mut other = sale("O-1", ADA);
        other["custom_data"]["value"] = json!("13");
        let answer = shop.send(SINGLE, &other, by).await;
        assert_eq!(answer.at("/differs"), json!(["/custom_data/value"]));
        let mut setup = shop.setup();
        assert_eq!(holding(&setup.dump(), ADA), 0);
        // New facts are recorded as ever.
        assert_eq!(shop.send(STATUS, &status("O-1", "paid", GRACE), by).await.word(), "ACCEPTED");
        assert_eq!(setup.count("order_statuses WHERE body IS NOT NULL AND order_id = 'O-1'"), 1);
    }

    async fn what_is_erased_is_read_back_without_it_and_explained(backend: Backend) {
        let shop = Shop::open(backend);
        let id = shop.send(SINGLE, &sale("O-1", ADA), PLAIN).await.at("/event_id");
        assert_eq!(shop.send(STATUS, &status("O-1", "paid", ADA), PLAIN).await.status, 202);
        shop.erase("O-1");
        let path = format!("{SINGLE}/{}", id.as_str().unwrap());
        let read = shop.caller.get(&path).await;
        assert_eq!((read.at("/metadata"), read.at("/value")), (Value::Null, json!("12.50")));
        assert_eq!(shop.caller.get(&format!("{SINGLE}?order_id=O-1")).await.at("/data/0/metadata"), Value::Null);
        let lines = shop.caller.get("/api/v1/attempts?order_id=O-1").await;
        assert_eq!((lines.at("/data/0/peer"), lines.at("/data/0/request_id")), (Value::Null, json!("")));
        for id in ["O-1", id.as_str().unwrap()] {
            let told = shop.run(&["explain", id]).done().out;
            for word in ["  erased ", "metadata are gone", ", erased 20", "request (erased)", "recorded once"] {
                assert!(told.contains(word), "{word}: {told}");
            }
            assert!(!told.contains(ADA) && !told.contains(ADAS_ADDRESS), "{told}");
            let told = run_json(&shop.database, &["explain", id]);
            assert!(told["events"][0]["erased_at"].is_string() && told["order_statuses"][0]["erased_at"].is_string());
            assert_eq!(told["order_statuses"][0]["reason"], Value::Null);
        }
        let attempt = shop.setup().lines("SELECT attempt_id AS line FROM events").remove(0);
        let told = shop.run(&["explain", &attempt]).done().out;
        assert!(told.contains("digest erased") && told.contains("request id (erased)"), "{told}");
    }

    async fn an_order_that_was_only_refused_loses_its_journal_copies(backend: Backend) {
        let shop = Shop::open(backend);
        let mut bad = sale("O-1", ADA);
        bad["custom_data"]["value"] = json!("x");
        assert_eq!(shop.send(SINGLE, &bad, PLAIN).await.status, 422);
        shop.refusals("O-1", 1).await;
        assert_eq!(shop.erase("O-1")["erased"]["attempts"], 1);
        let dump = shop.setup().dump();
        assert_eq!((holding(&dump, ADA), holding(&dump, ADAS_ADDRESS)), (0, 0), "{dump:?}");
        assert_eq!(shop.erase("O-1")["erased"]["attempts"], 0);
    }

    async fn only_the_mode_asked_for_is_erased(backend: Backend) {
        let shop = Shop::open(backend);
        let issued = key(&shop.database, &["--merchant", &shop.merchant, "--mode", "test"]);
        let test = caller(&shop.service.base, issued);
        assert_eq!(shop.send(SINGLE, &sale("O-1", ADA), PLAIN).await.status, 202);
        known(&test).await;
        assert_eq!(send(&test, SINGLE, &sale("O-1", ADA), By { key: "k", ..PLAIN }).await.status, 202);
        let mut setup = shop.setup();
        let mut left = |mode: &str| {
            ["events", "attempts", "idempotency_keys"].map(|table| {
                let kept = match table {
                    "events" => "body IS NOT NULL",
                    "attempts" => "peer IS NOT NULL",
                    _ => "1 = 1",
                };
                setup.count(&format!("{table} WHERE mode = '{mode}' AND {kept}"))
            })
        };
        let live = left("live");
        assert!(left("test").iter().all(|count| *count > 0));
        let erase = ["erase", "--merchant", &shop.merchant, "--order", "O-1", "--mode"];
        let receipt = run_json(&shop.database, &[&erase[..], &["test"]].concat());
        assert_eq!((&receipt["modes"], &receipt["erased"]["events"]), (&json!(["test"]), &json!(1)));
        assert_eq!((left("test"), left("live")), ([0, 0, 0], live));
        assert_eq!(run_json(&shop.database, &[&erase[..], &["live"]].concat())["erased"]["events"], 1);
        assert_eq!(left("live"), [0, 0, 0]);
    }

    async fn what_is_not_known_is_an_error_and_nothing_is_done(backend: Backend) {
        let shop = Shop::open(backend);
        assert_eq!(shop.send(SINGLE, &sale("O-1", ADA), PLAIN).await.status, 202);
        let mut setup = shop.setup();
        let before = setup.dump();
        let erase = |merchant: &str, order: &str, mode: &[&str]| {
            shop.run(&[&["erase", "--json", "--merchant", merchant, "--order", order], mode].concat())
        };
        erase(&shop.merchant, "o-1", &[]).failed_saying(&["has no order o-1", "live and test", "nothing was erased"]);
        erase(&shop.merchant, "O-1", &["--mode", "test"]).failed_saying(&["has no order O-1 (test)"]);
        let stranger = "mer_01k86r3hkvfyh8z0rff08k4yyf";
        erase(stranger, "O-1", &[]).failed_saying(&["there is no merchant", stranger]);
        erase(&shop.merchant, "", &[]).misused_saying(&["--order"]);
        shop.run(&["erase", "--merchant", &shop.merchant]).misused_saying(&["--order"]);
        assert_eq!(setup.dump(), before);
    }

    async fn callbacks_about_the_order_go_on_beside_it(backend: Backend) {
        let shop = Shop::open(backend);
        assert_eq!(shop.send(SINGLE, &sale("O-1", ADA), PLAIN).await.word(), "ACCEPTED");
        let repeats = async {
            for number in 0..60 {
                let key = format!("key-{}", number % 3);
                let answer = shop.send(SINGLE, &sale("O-1", ADA), By { key: &key, ..PLAIN }).await;
                assert_eq!(answer.status, 202, "{}", answer.text);
                assert_eq!(answer.at("/differs"), Value::Null);
                let rows = json!({"rows": [sale("O-1", ADA), sale("O-2", GRACE)]});
                let answer = shop.send(BULK, &rows, PLAIN).await;
                assert_eq!((answer.status, answer.at("/summary/rejected")), (200, json!(0)), "{}", answer.text);
            }
        };
        let (database, merchant) = (shop.database.clone(), shop.merchant.clone());
        let erasures = tokio::task::spawn_blocking(move || {
            let erase = ["erase", "--merchant", &merchant, "--order", "O-1"];
            (0..8).map(|_| run_json(&database, &erase)["erased"]["events"].as_u64().unwrap()).sum::<u64>()
        });
        let ((), erased) = tokio::join!(repeats, erasures);
        assert_eq!(erased.unwrap(), 1);
        let mut setup = shop.setup();
        assert_eq!(setup.lines("SELECT order_id AS line FROM events WHERE body IS NOT NULL"), ["O-2"]);
        assert_eq!(setup.count("events WHERE order_id = 'O-1' AND metadata IS NULL AND times_differed = 0"), 1);
        // What came meanwhile goes with another one.
        shop.erase("O-1");
        let dump = setup.dump();
        assert_eq!(holding(&dump, "key-0"), 0, "{dump:?}");
        assert_eq!(setup.count("attempts WHERE order_id = 'O-1' AND peer IS NOT NULL"), 0);
    }

    async fn however_much_there_is_of_others_all_of_the_order_is_found(backend: Backend) {
        let shop = Shop::open(backend);
        assert_eq!(shop.send(SINGLE, &sale("O-1", ADA), PLAIN).await.word(), "ACCEPTED");
        let (mut setup, merchant) = (shop.setup(), &shop.merchant);
        // Between the first request and its repeat, and before its key: pages of others'.
        let many = |count: u32| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
        let copied = "SELECT merchant_id, attempt_id || CAST(i AS TEXT), bulk_row, mode, started_at, endpoint, \
            '198.51.100.8', request_id || CAST(i AS TEXT), body_bytes";
        let columns = "merchant_id, attempt_id, bulk_row, mode, started_at, endpoint, peer, request_id, body_bytes, \
            outcome, status, reason, order_id, elapsed_us";
        let lines = format!(
            "{} INSERT INTO attempts ({columns}) {copied}, 'accepted', 202, 'accepted', 'O-2', 1 FROM n, attempts",
            many(5_100)
        );
        assert_eq!(setup.execute(&lines), 5_100);
        let later = if backend == Backend::Sqlite { "'2999-01-01'" } else { "TIMESTAMP '2999-01-01'" };
        let keys = format!(
            "{} INSERT INTO idempotency_keys (merchant_id, mode, idempotency_key, claimed_by, fingerprint, status, \
             body, created_at, expires_at, times_seen) SELECT '{merchant}', 'live', 'key-' || CAST(i AS TEXT), 'x', \
             'x', 202, '{{\"order_id\":\"O-11\"}}', received_at, {later}, 1 FROM n, events",
            many(2_100)
        );
        assert_eq!(setup.execute(&keys), 2_100);
        let by = By { key: "key-z", ..PLAIN };
        assert_eq!(shop.send(SINGLE, &sale("O-1", ADA), by).await.word(), "DUPLICATE");
        insert_refused(&mut setup, merchant, 510);
        let erased = shop.erase("O-1")["erased"].clone();
        assert_eq!(erased, json!({"events": 1, "order_statuses": 0, "attempts": 512, "idempotency_keys": 1}));
        assert_eq!(holding(&setup.dump(), ADAS_ADDRESS), 0);
        assert_eq!(setup.count("attempts WHERE peer = '198.51.100.8'"), 5_100);
        assert_eq!(setup.count("idempotency_keys"), 2_100);
    }

    async fn a_row_that_somebody_has_locked_is_waited_for(backend: Backend) {
        let shop = Shop::open(backend);
        assert_eq!(shop.send(SINGLE, &sale("O-1", ADA), PLAIN).await.status, 202);
        let mut other = shop.setup();
        other.execute(if backend == Backend::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" });
        other.execute("UPDATE events SET times_received = times_received + 1");
        let mut erase = command(&shop.database, &["erase", "--merchant", &shop.merchant, "--order", "O-1"]);
        erase.env("CONVERSIOND__TELEMETRY__LOG_LEVEL", "debug").env("CONVERSIOND__DATABASE__MIGRATE", "false");
        let running = tokio::task::spawn_blocking(move || shell::finish(erase));
        // On PostgreSQL it is seen waiting; SQLite waits inside of itself.
        if backend == Backend::Postgres {
            let mut watcher = shop.setup();
            let waiting = "pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%erased_at%'";
            eventually("it waits", async || watcher.count(waiting) > 0).await;
        }
        other.execute("COMMIT");
        running.await.unwrap().done();
        assert_eq!(shop.setup().lines("SELECT CAST(times_received AS TEXT) AS line FROM events WHERE body IS NULL"), ["2"]);
    }
}
