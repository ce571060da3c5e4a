//! SQLite's files are taken away from a running service, or lie where they would be lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::shell::{caller, finish, key, merchant, run};
use crate::support::process::{BINARY, ServeProcess, command, command_by};
use crate::support::programs::runs_for_faults;
use crate::support::service::Setup;
use crate::support::{Backend, Caller, TestDatabase, eventually, on_both_databases};

/// A service with a database in a folder of its own, and some acknowledged sales.
struct Shop {
    database: TestDatabase,
    file: PathBuf,
    service: ServeProcess,
    caller: Caller,
}

const ACKNOWLEDGED: i64 = 5;

fn sale(order: &str) -> serde_json::Value {
    json!({"event_name": "sale", "custom_data": {"order_id": order, "value": "129.90", "currency": "USD"}})
}

/// A database in a folder below the test's own.
fn database() -> (TestDatabase, PathBuf) {
    let outer = Backend::Sqlite.database();
    let file = outer.folder().canonicalize().unwrap().join("data/test.db");
    (outer.at_url(format!("sqlite:{}", file.display())), file)
}

impl Shop {
    async fn open() -> Self {
        let (database, file) = database();
        Self::open_on(database, file).await
    }

    async fn open_on(database: TestDatabase, file: PathBuf) -> Self {
        let issued = key(&database, &["--merchant", &merchant(&database)]);
        let service = ServeProcess::start(&database);
        let caller = caller(&service.base, issued);
        for order in 0..ACKNOWLEDGED {
            assert_eq!(caller.post(&sale(&format!("BEFORE-{order}"))).await.word(), "ACCEPTED");
        }
        Self { database, file, service, caller }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}{suffix}", self.file.display()))
    }

    /// No callback is acknowledged, the service is not ready, and both say why.
    async fn is_out_of_service(&self, case: &str) {
        for order in 0..3 {
            let answer = self.caller.post(&sale(&format!("AFTER-{order}"))).await;
            assert_eq!((answer.status, answer.word().as_str()), (503, "storage_unavailable"), "{case}");
        }
        eventually(&format!("{case}: not ready"), async || {
            let (status, text) = self.readiness().await;
            status == 503 && text.contains("while it was in use")
        })
        .await;
    }

    async fn readiness(&self) -> (u16, String) {
        let asked = self.caller.http.get(format!("{}/readyz", self.service.admin)).send().await.unwrap();
        (asked.status().as_u16(), asked.text().await.unwrap())
    }

    async fn is_ready(&self) {
        eventually("it is ready", async || self.readiness().await.0 == 200).await;
        assert_eq!(self.caller.post(&sale("AGAIN")).await.status, 202);
    }

    /// Ends the service, which must not say that all is well.
    fn ends_in_error(self, case: &str) -> (TestDatabase, PathBuf) {
        let (code, log) = self.service.terminate();
        let log = log.join("\n");
        assert_eq!(code, Some(1), "{case}: {log}");
        assert!(log.contains("\"ERROR\"") && !log.contains("everything taken is on disk"), "{case}: {log}");
        assert!(log.contains("ends without its database's files"), "{case}: {log}");
        (self.database, self.file)
    }
}

/// What the next start finds.
fn finds_everything(database: &TestDatabase, case: &str) {
    let service = ServeProcess::start(database);
    assert_eq!(Setup::new(database, "").count("events"), ACKNOWLEDGED, "{case}");
    assert_eq!(service.terminate().0, Some(0), "{case}");
}

/// Something that is done to a service's files.
struct Case(&'static str, fn(&Shop));

fn remove(path: impl AsRef<Path>) {
    std::fs::remove_file(path).unwrap();
}

const CASES: [Case; 9] = [
    Case("the database is removed", |shop| remove(&shop.file)),
    Case("all of it is removed", |shop| ["", "-wal", "-shm"].iter().for_each(|one| remove(shop.beside(one)))),
    Case("the log is removed", |shop| remove(shop.beside("-wal"))),
    Case("the log and its index are removed", |shop| {
        remove(shop.beside("-wal"));
        remove(shop.beside("-shm"));
    }),
    Case("the index is removed", |shop| remove(shop.beside("-shm"))),
    Case("the log is replaced by a copy", |shop| {
        std::fs::copy(shop.beside("-wal"), shop.beside("-copy")).unwrap();
        std::fs::rename(shop.beside("-copy"), shop.beside("-wal")).unwrap();
    }),
    Case("the database is moved", |shop| std::fs::rename(&shop.file, shop.beside(".away")).unwrap()),
    Case("the folder is moved", |shop| {
        let folder = shop.file.parent().unwrap();
        std::fs::rename(folder, folder.with_extension("away")).unwrap();
    }),
    Case("the folder is removed", |shop| std::fs::remove_dir_all(shop.file.parent().unwrap()).unwrap()),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_its_files_are_taken_away_nothing_more_is_acknowledged_and_the_next_start_finds_the_rest() {
    for Case(name, act) in CASES {
        let shop = Shop::open().await;
        act(&shop);
        shop.is_out_of_service(name).await;
        let (database, _) = shop.ends_in_error(name);
        finds_everything(&database, name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_safe_before_the_process_ends_even_if_it_is_killed() {
    for Case(name, act) in CASES.into_iter().filter(|case| case.0 != "the log is replaced by a copy") {
        let shop = Shop::open().await;
        let Shop { file, database, .. } = &shop;
        act(&shop);
        shop.is_out_of_service(name).await;
        let empty_log = || std::fs::metadata(shop.beside("-wal")).map_or(0, |found| found.len()) == 0;
        // Of the index nothing is lost.
        let is_safe = || name == "the index is removed" || (file.exists() && empty_log());
        let whole =
            || name.starts_with("the log") || name.starts_with("the index") || file.metadata().is_ok();
        eventually(name, async || is_safe() && whole()).await;
        if name.starts_with("the log") {
            eventually(name, async || holds(file, "BEFORE-4")).await;
        }
        let database = database.clone();
        shop.service.kill();
        finds_everything(&database, name);
    }
}

/// By another process: whoever closes a database's file drops the locks that its process holds on it.
fn holds(file: &Path, text: &str) -> bool {
    Command::new("grep").args(["-q", "-a", text]).arg(file).status().unwrap().success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_comes_back_at_once_is_gone_on_with() {
    let shop = Shop::open().await;
    let away = shop.beside(".away");
    std::fs::rename(&shop.file, &away).unwrap();
    assert_eq!(shop.caller.post(&sale("AFTER")).await.status, 503);
    std::fs::rename(&away, &shop.file).unwrap();
    shop.is_ready().await;
    let other_name = shop.beside(".link");
    std::fs::hard_link(&shop.file, &other_name).unwrap();
    shop.is_out_of_service("another name").await;
    remove(&other_name);
    eventually("it is ready", async || shop.readiness().await.0 == 200).await;
    assert_eq!(shop.caller.post(&sale("AGAIN-2")).await.status, 202);
    let Shop { database, service, .. } = shop;
    let (code, log) = service.terminate();
    assert_eq!(code, Some(0), "{log:?}");
    assert_eq!(Setup::new(&database, "").count("events"), ACKNOWLEDGED + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database_in_its_place_is_not_written_and_what_was_acknowledged_lies_beside_it() {
    let shop = Shop::open().await;
    let other = shop.beside(".other");
    std::fs::write(&other, "another file").unwrap();
    std::fs::rename(&other, &shop.file).unwrap();
    shop.is_out_of_service("replaced").await;
    let rescued = shop.beside(".rescued-1");
    eventually("a copy is there", async || rescued.exists()).await;
    let (database, file) = shop.ends_in_error("replaced");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "another file");
    std::fs::rename(&rescued, &file).unwrap();
    finds_everything(&database, "replaced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_or_a_log_that_is_cut_short_is_noticed_before_anything_is_written_behind_the_gap() {
    for suffix in ["", "-wal"] {
        for length in [0, 5_000] {
            let shop = Shop::open().await;
            let cut = std::fs::OpenOptions::new().write(true).open(shop.beside(suffix)).unwrap();
            cut.set_len(length).unwrap();
            shop.is_out_of_service(suffix).await;
            shop.ends_in_error(suffix);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_beside_the_service_that_empty_its_log_are_no_trouble() {
    let shop = Shop::open().await;
    let merchants = crate::support::process::run_json(&shop.database, &["merchant", "list"]);
    let merchant = merchants["merchants"][0]["merchant_id"].as_str().unwrap().to_owned();
    for order in 0..ACKNOWLEDGED {
        let order = format!("BEFORE-{order}");
        let erased =
            run(&shop.database, &["erase", "--merchant", &merchant, "--order", &order, "--json"]).done();
        assert_eq!(erased.json()["log_left"], false);
        assert_eq!(shop.caller.post(&sale(&order)).await.word(), "DUPLICATE");
    }
    Setup::new(&shop.database, "").execute("VACUUM");
    let erase = ["erase", "--merchant", &merchant, "--order", "BEFORE-0", "--json"];
    run(&shop.database, &erase).done();
    shop.is_ready().await;
    assert_eq!(shop.service.terminate().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_a_second_name_is_not_opened_by_either() {
    let shop = Shop::open().await;
    let second = shop.beside(".second");
    std::fs::hard_link(&shop.file, &second).unwrap();
    let by_second = shop.database.at_url(format!("sqlite:{}", second.display()));
    for (database, arguments) in [
        (&by_second, ["serve"].as_slice()),
        (&by_second, &["merchant", "list"]),
        (&shop.database, &["migrate"]),
    ] {
        run(database, arguments).failed_saying(&["hard links", "remove all names but one"]);
    }
    let doctor = run(&by_second, &["doctor"]);
    assert!(doctor.code == Some(1) && doctor.out.contains("hard links"), "{doctor:?}");
    assert!(!shop.beside(".second-wal").exists());
}

#[test]
fn a_database_that_is_mounted_by_itself_is_refused_and_its_folder_is_not() {
    if !runs_for_faults("unshare", &["--mount", "true"]) {
        return;
    }
    let (database, file) = database();
    run(&database, &["migrate"]).done();
    let outer = database.folder();
    for (from, to) in
        [(file.clone(), outer.join("alone/test.db")), (outer.join("data"), outer.join("folder"))]
    {
        std::fs::create_dir_all(outer.join("alone")).unwrap();
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
        } else {
            std::fs::write(&to, "").unwrap();
        }
        let mounted = if from.is_dir() { to.join("test.db") } else { to.clone() };
        let there = database.at_url(format!("sqlite:{}", mounted.display()));
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"", "sh"]);
        unshare.arg(&from).arg(&to).arg(BINARY);
        let arguments: &[&str] = if from.is_dir() { &["doctor"] } else { &["serve"] };
        let ran = finish(command_by(unshare, &there, arguments));
        if from.is_dir() {
            assert!(ran.out.contains("MiB are free") && !ran.out.contains("mounted by itself"), "{ran:?}");
        } else {
            ran.failed_saying(&["is mounted by itself", "mount the folder"]);
        }
    }
}

#[test]
fn a_start_whose_database_is_missing_does_not_throw_its_log_away() {
    let (database, file) = database();
    run(&database, &["migrate"]).done();
    let (away, log) = (file.with_extension("away"), PathBuf::from(format!("{}-wal", file.display())));
    std::fs::rename(&file, &away).unwrap();
    std::fs::write(&log, "a log").unwrap();
    run(&database, &["serve"]).failed_saying(&["is missing or empty, but its log", "Put the file back"]);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "a log");
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_disk_fills_up_is_not_ready_before_it_is_full_and_still_takes_callbacks() {
    let (database, file) = database();
    let issued = key(&database, &["--merchant", &merchant(&database)]);
    let with_little_room = |arguments: &[&str]| {
        let mut command = command(&database, arguments);
        command.env("CONVERSIOND__DATABASE__DISK_FREE_MIN_BYTES", (1_u64 << 50).to_string());
        command
    };
    let service = ServeProcess::start_command(with_little_room(&["serve"]));
    let caller = caller(&service.base, issued);
    let shop = Shop { database: database.clone(), file, service, caller };
    let (status, text) = shop.readiness().await;
    assert!(status == 503 && text.contains("disk_free_min_bytes"), "{text}");
    assert_eq!(shop.caller.post(&sale("ORD-1")).await.word(), "ACCEPTED");
    let metrics = shop.caller.http.get(format!("{}/metrics", shop.service.admin)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let free = metrics.lines().find_map(|line| line.strip_prefix("conversiond_disk_free_bytes "));
    assert!(free.is_some_and(|free| free.parse::<u64>().unwrap() > 0), "{metrics}");
    let doctor = finish(with_little_room(&["doctor"]));
    assert!(doctor.code == Some(1) && doctor.out.contains("are free on the database's disk"), "{doctor:?}");
    let (code, log) = shop.service.terminate();
    assert_eq!(code, Some(0));
    assert!(log.iter().any(|line| line.contains("everything taken is on disk")), "{log:?}");
}

on_both_databases! {
    async fn the_room_on_the_disk_is_told_where_it_is_this_machines(backend: Backend) {
        let service = crate::support::Service::start(backend).await;
        let told = service.admin("/metrics").await.1.contains("conversiond_disk_free_bytes");
        assert_eq!(told, backend == Backend::Sqlite);
    }
}
