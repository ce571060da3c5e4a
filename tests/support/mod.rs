//! The harness: real servers on real databases, and callers that sign.
#![allow(dead_code, reason = "each test binary uses its part of the harness")]

pub mod backend;
pub mod caller;
pub mod clock;
pub mod cluster;
pub mod contract;
pub mod disk;
mod dump;
pub mod exports;
pub mod gate;
mod journal;
pub mod pooler;
mod problem;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod raw;
pub mod service;
pub mod standby;
pub mod strace;
pub mod wire;

pub use backend::{Backend, TestDatabase};
#[allow(unused_imports, reason = "as above")]
pub use caller::Caller;
#[allow(unused_imports, reason = "as above")]
pub use service::Service;

/// Declares tests that run on SQLite and on PostgreSQL: `async fn name(backend: Backend) { … }`.
macro_rules! on_both_databases {
    ($($(#[$attribute:meta])* async fn $name:ident($backend:ident: Backend) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn run($backend: Backend) $body

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                run(Backend::Sqlite).await;
            }

            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                if let Some(backend) = Backend::postgres() {
                    run(backend).await;
                }
            }
        }
    )*};
}

pub(crate) use on_both_databases;

/// Waits until something holds, for at most ten seconds.
pub async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("did not come about within ten seconds: {what}");
}
