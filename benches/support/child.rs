//! The benchmark's executable as a service: the same service, with something else behind the writer.

use std::process::Command;
use std::sync::Arc;

use conversiond::config;
use conversiond::domain::submission::{Submission, SubmissionOutcome};
use conversiond::server::{self, Dependencies};
use conversiond::storage::StoreError;
use conversiond::storage::submissions::WriteContext;
use conversiond::storage::writer::{BatchFailure, BatchStore, Stores};
use conversiond::system::{SystemClock, SystemEntropy};
use conversiond::telemetry;
use tokio::signal::unix::{SignalKind, signal};

use super::cast::MASTER_KEY;
use super::one_insert::OneInsert;

/// What stands behind the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// A store that answers at once: what is left is the ceiling.
    Nothing,
    /// A pool of connections, and one INSERT per event: the way that this is usually written.
    OneInsert,
}

const ROLE: &str = "CONVERSIOND_BENCH_ROLE";

/// Starts this executable as such a service.
pub fn command(stand: Stand) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    let role = match stand {
        Stand::Nothing => "nothing",
        Stand::OneInsert => "one-insert",
    };
    command.env_clear().env(ROLE, role);
    command
}

/// Runs the service if this process was started for that; whether it was.
pub fn served() -> bool {
    match std::env::var(ROLE).as_deref() {
        Ok("nothing") => serve(|_| Ok(Stores { lanes: vec![Nothing, Nothing], rescue: None })),
        Ok("one-insert") => serve(OneInsert::stores),
        Ok(other) => panic!("{ROLE}={other}"),
        Err(_) => return false,
    }
    true
}

/// As `conversiond serve` does it.
fn serve<S: BatchStore>(stores: impl FnOnce(&str) -> Result<Stores<S>, StoreError>) {
    let url = std::env::var("CONVERSIOND__DATABASE__URL").expect("a database");
    let config = config::load(None).expect("a valid configuration");
    telemetry::init_logging(&config.telemetry).expect("a log");
    let dependencies = Dependencies {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        master_key: MASTER_KEY.parse().expect("a master key"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut shutdown = signal(SignalKind::terminate()).expect("a handler");
        let bound = server::build_with(&config, dependencies, |_| stores(&url)).await;
        let bound = bound.expect("the service starts");
        let told = async move {
            let _ = shutdown.recv().await;
        };
        bound.run(told).await.expect("the service ends well");
    });
}

struct Nothing;

impl BatchStore for Nothing {
    fn commit(
        &mut self,
        batch: &[Submission],
        context: &WriteContext,
    ) -> Result<Vec<SubmissionOutcome>, BatchFailure> {
        Ok(batch.iter().map(|one| one.if_new(context.received_at)).collect())
    }

    fn reconnect(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
