//! SIGTERM under load.

use std::path::Path;
use std::sync::Arc;

use crate::load::{Crowd, Promises, caller, check};
use crate::support::process::ServeProcess;
use crate::support::{Backend, eventually, on_both_databases};

on_both_databases! {
    async fn sigterm_under_load_answers_what_was_taken_and_exits_0(backend: Backend) {
        let database = backend.database();
        let mut caller = caller(&database);
        let promises = Arc::new(Promises::default());
        for _ in 0..5 {
            let service = ServeProcess::start(&database);
            caller.base = service.base.clone();
            let before = promises.acknowledged();
            let crowd = Crowd::start(32, &caller, &promises);
            eventually("load is on", async || promises.acknowledged() > before + 100).await;
            let (code, log) = tokio::task::block_in_place(|| service.terminate());
            crowd.stop().await;
            assert_eq!(code, Some(0), "{log:?}");
            assert!(log.iter().any(|line| line.contains("everything taken is on disk")), "{log:?}");
            if let Some(file) = database.url.strip_prefix("sqlite:") {
                assert!(!Path::new(&format!("{file}-wal")).exists(), "all of it is in the database's file");
            }
            check(&database, &promises);
        }
        let refused = promises.refused.lock().unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }
}
