//! SQLite's files are taken away under load: what was acknowledged by then is there after a restart, once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::load::{Crowd, Promises, caller};
use crate::support::process::ServeProcess;
use crate::support::{Backend, eventually};
use crate::trial::{Trial, times};

/// Which files go; the rest stays.
const TAKEN: [&[&str]; 4] = [&[""], &["-wal"], &["-wal", "-shm"], &["", "-wal", "-shm"]];

fn named(database: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", database.display()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_while_the_files_were_taken_away_is_there_after_a_restart() {
    let mut trial = Trial::new("sqlite-files-taken-away");
    let database = Backend::Sqlite.database();
    let file = PathBuf::from(database.url.strip_prefix("sqlite:").unwrap());
    let mut caller = caller(&database);
    let promises = Arc::new(Promises::default());
    for round in 0..times(2 * TAKEN.len()) {
        let service = tokio::task::block_in_place(|| ServeProcess::start(&database));
        caller.base = service.base.clone();
        if round > 0 {
            trial.answers_again(&caller).await;
        }
        let wanted = promises.acknowledged() + trial.random.usize(100..400);
        let crowd = Crowd::start(16, &caller, &promises);
        eventually("load is on", async || promises.acknowledged() >= wanted).await;
        for suffix in TAKEN[round % TAKEN.len()] {
            let (from, to) = (named(&file, suffix), named(&file, &format!("{suffix}.taken")));
            // Every other time there is a way back to the files, which nobody goes.
            match round / TAKEN.len() % 2 {
                0 => std::fs::remove_file(from).unwrap(),
                _ => std::fs::rename(from, to).unwrap(),
            }
        }
        trial.fault_done();
        let (code, log) = if trial.random.bool() {
            // At once, before anybody has looked.
            tokio::task::block_in_place(|| service.terminate())
        } else {
            let ready =
                || async { caller.http.get(format!("{}/readyz", service.admin)).send().await.unwrap() };
            eventually("it is not ready", async || ready().await.status() == 503).await;
            tokio::task::block_in_place(|| service.terminate())
        };
        crowd.stop().await;
        assert_eq!(code, Some(1), "{}", log.join("\n"));
        assert!(!log.iter().any(|line| line.contains("everything taken is on disk")), "{log:?}");
    }
    let service = tokio::task::block_in_place(|| ServeProcess::start(&database));
    caller.base = service.base.clone();
    trial.answers_again(&caller).await;
    trial.ends(service, &caller, &database, &promises).await;
}
