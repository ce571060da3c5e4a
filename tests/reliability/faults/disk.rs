//! SQLite's disk is full, or fails: callers are told 503 until it is not, and what they were told before
//! stays true.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::load::{Crowd, Promises, caller};
use crate::support::process::{ServeProcess, command};
use crate::support::programs::{missing_for_faults, runs_for_faults};
use crate::support::strace::{failing, may_trace};
use crate::support::{Backend, Caller, TestDatabase, eventually};
use crate::trial::{Trial, times};

/// How often the disk is full in CI, by either way.
const FULL: usize = 8;

/// Calls that fail now and then, from when on and how often by each thread.
const FAILING: [&[&str]; 4] = [
    &["fsync:error=EIO:when=20+9"],
    &["pwrite64:error=EIO:when=300+149"],
    &["pwrite64:error=ENOSPC:when=300+173"],
    // It may not even be opened again.
    &["fsync:error=EIO:when=20+13", "openat:error=EIO:when=5+7"],
];

async fn readiness(caller: &Caller, service: &ServeProcess) -> (u16, String) {
    let answer = caller.http.get(format!("{}/readyz", service.admin)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn only_told_to_come_back(promises: &Promises) {
    let refused = promises.refused.lock().unwrap();
    let retryable = |(status, code): &(u16, String)| (*status, code.as_str()) == (503, "storage_unavailable");
    assert!(refused.keys().all(retryable), "{refused:?}");
    assert_eq!(promises.without_retry_after.load(Ordering::Relaxed), 0);
}

/// Makes the disk full again and again, under load.
async fn fill(
    kind: &str,
    database: &TestDatabase,
    mut make_full: impl FnMut(&ServeProcess, &mut fastrand::Rng),
    mut make_room: impl FnMut(&ServeProcess),
) {
    let mut trial = Trial::new(kind);
    let mut caller = caller(database);
    let mut serve = command(database, &["serve"]);
    // The log must not need the small disk alone.
    serve.env("CONVERSIOND__DATABASE__CHECKPOINT_PAGES", "500");
    // What is tried here is a full disk; small ones never have as much room as is asked for by default.
    serve.env("CONVERSIOND__DATABASE__DISK_FREE_MIN_BYTES", "0");
    let service = ServeProcess::start_command(serve);
    caller.base = service.base.clone();
    let promises = Arc::new(Promises::default());
    for _ in 0..times(FULL) {
        let wanted = promises.acknowledged() + trial.random.usize(20..200);
        let crowd = Crowd::start(8, &caller, &promises);
        eventually("load is on", async || promises.acknowledged() >= wanted).await;
        tokio::task::block_in_place(|| make_full(&service, &mut trial.random));
        eventually("it is not ready, and says why", async || {
            let (status, text) = readiness(&caller, &service).await;
            status == 503 && text.contains("\"writer\":\"no connection")
        })
        .await;
        let told = promises.refused("storage_unavailable");
        eventually("callers are told", async || promises.refused("storage_unavailable") > told + 20).await;
        make_room(&service);
        trial.answers_again(&caller).await;
        trial.fault_done();
        eventually("it is ready", async || readiness(&caller, &service).await.0 == 200).await;
        crowd.stop().await;
    }
    only_told_to_come_back(&promises);
    trial.ends(service, &caller, database, &promises).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_its_files_may_not_grow_it_is_503_and_not_ready() {
    if !runs_for_faults("prlimit", &["--version"]) {
        return;
    }
    let limit = |service: &ServeProcess, bytes: &str| {
        let id = service.id().to_string();
        let output =
            Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}:")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let full = |service: &ServeProcess, random: &mut fastrand::Rng| {
        limit(service, &random.usize(1..100_000).to_string());
    };
    fill("sqlite-file-limit", &Backend::Sqlite.database(), full, |service| limit(service, "unlimited")).await;
}

/// A small file system, gone with it.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                missing_for_faults("a file system of its own cannot be mounted here");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_is_full_it_is_503_and_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::new(folder.path()) else { return };
    let database = TestDatabase::at(format!("sqlite:{}", mounted.0.join("test.db").display()));
    let filler = mounted.0.join("filler");
    let full = |_: &ServeProcess, _: &mut fastrand::Rng| {
        use std::io::Write as _;

        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    };
    fill("sqlite-disk-full", &database, full, |_| std::fs::remove_file(&filler).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_to_be_written_now_and_then_is_not_acknowledged() {
    if !may_trace() {
        return;
    }
    let mut trial = Trial::new("sqlite-failing-calls");
    let database = Backend::Sqlite.database();
    let mut caller = caller(&database);
    let promises = Arc::new(Promises::default());
    for round in 0..times(FAILING.len()) {
        let calls = FAILING[round % FAILING.len()];
        let trace = database.folder().join(format!("failed-{round}"));
        let command = failing(&database, calls, &trace, &["serve"]);
        let service = tokio::task::block_in_place(|| ServeProcess::start_command(command));
        caller.base = service.base.clone();
        let wanted = promises.acknowledged() + 100;
        let away = promises.refused("storage_unavailable");
        let crowd = Crowd::start(8, &caller, &promises);
        eventually("some are acknowledged, some refused", async || {
            promises.acknowledged() >= wanted && promises.refused("storage_unavailable") > away
        })
        .await;
        // Calls go on failing, and callbacks get through in between.
        trial.answers_again(&caller).await;
        crowd.stop().await;
        service.kill();
        let failed = std::fs::read_to_string(&trace).unwrap().matches("(INJECTED)").count();
        assert!(failed > 0, "{calls:?}: nothing failed");
        (0..failed).for_each(|_| trial.fault_done());
    }
    let service = ServeProcess::start(&database);
    caller.base = service.base.clone();
    only_told_to_come_back(&promises);
    trial.check(&database, &promises);
    trial.answers_again(&caller).await;
    trial.replays(&caller, &promises).await;
    trial.passed();
}
