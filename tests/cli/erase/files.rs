//! What is erased goes from the database's files, too, as far as that is ours.

use serde_json::json;

use super::shop::{ADA, PLAIN, SINGLE, Shop, sale};
use crate::support::process::{ServeProcess, run_json};
use crate::support::{Backend, eventually};

/// SQLite leaves deleted text on free pages, unless it is told to overwrite it, and in its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_files_do_not_hold_it_any_more_either() {
    let shop = Shop::open(Backend::Sqlite);
    let long = |order: &str| {
        let mut long = sale(order, ADA);
        long["note"] = json!(ADA.repeat(2_000));
        long
    };
    assert_eq!(shop.send(SINGLE, &long("O-1"), PLAIN).await.status, 202);
    let folder = shop.database.folder();
    let holds = |file: &str| {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        bytes.windows(ADA.len()).any(|window| window == ADA.as_bytes())
    };
    // A service that has nothing to do leaves a moment to empty the log.
    assert!(holds("test.db-wal"));
    assert_eq!(shop.erase("O-1")["log_left"], false);
    assert!(!holds("test.db") && !holds("test.db-wal"), "a file still has it");

    // What is forgotten by its age cannot be found by an erasure later: it must be overwritten, too.
    assert_eq!(shop.send(SINGLE, &long("O-2"), PLAIN).await.status, 202);
    let mut setup = shop.setup();
    let old = "event_id = 'evt_01k00000000000000000000000', received_at = '2025-07-01 00:00:00'";
    assert_eq!(setup.execute(&format!("UPDATE events SET {old} WHERE order_id = 'O-2'")), 1);
    setup.execute("DELETE FROM retention_progress");
    let Shop { database, service, merchant, .. } = shop;
    assert_eq!(service.terminate().0, Some(0));
    let service = ServeProcess::start(&database);
    eventually("the body is forgotten", async || setup.count("events WHERE body IS NULL") == 2).await;
    let erase = ["erase", "--merchant", &merchant, "--order", "O-2"];
    assert_eq!(run_json(&database, &erase)["log_left"], false);
    assert!(!holds("test.db") && !holds("test.db-wal"), "a file still has it");
    drop(service);
}

/// PostgreSQL leaves the rows of before in the table's file: so says the command, and so does the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_files_do_not_hold_it_any_more_after_vacuum_full_as_the_command_says() {
    let Some(backend) = Backend::postgres() else { return };
    let shop = Shop::open(backend);
    assert_eq!(shop.send(SINGLE, &sale("O-1", ADA), PLAIN).await.status, 202);
    let erase = ["erase", "--merchant", &shop.merchant, "--order", "O-1"];
    let told = shop.run(&erase).done().out;
    assert!(told.contains("VACUUM FULL"), "{told}");
    let mut setup = shop.setup();
    let mut holds = |vacuum: &str| {
        setup.execute(vacuum);
        setup.execute("CHECKPOINT");
        let files = "SELECT current_setting('data_directory') || '/' || pg_relation_filepath(oid) AS line FROM pg_class \
                     WHERE relkind IN ('r', 't', 'i') AND pg_relation_filepath(oid) LIKE 'base/%'";
        setup.lines(files).iter().any(|file| {
            let bytes = std::fs::read(file).unwrap();
            bytes.windows(ADA.len()).any(|window| window == ADA.as_bytes())
        })
    };
    assert!(holds("CHECKPOINT"), "the test looks where the rows are");
    assert!(!holds("VACUUM FULL"), "a file still has it");
}
