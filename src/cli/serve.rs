//! `conversiond serve`

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Context, Failure, demo, signals};
use crate::config::{Config, DEFAULTS};
use crate::server::{self, Dependencies};
use crate::system::{SystemClock, SystemEntropy, raise_open_files};
use crate::telemetry;

#[derive(Debug, Args)]
pub struct Serve {
    /// A fresh service in a temporary folder, with a merchant, a key and a click; prints a curl
    /// line that works as pasted.
    #[arg(long)]
    demo: bool,
    /// Print every setting with its default and explanation, and end.
    #[arg(long, conflicts_with = "demo")]
    print_config: bool,
}

impl Serve {
    pub fn run(self, mut context: Context) -> Result<(), Failure> {
        if self.print_config {
            return context.output.show(&DEFAULTS, || DEFAULTS.trim_end().to_owned());
        }
        let demo = if self.demo { Some(demo::Demo::prepare(&mut context)?) } else { None };
        telemetry::init_logging(&context.config.telemetry)?;
        open_files(&context.config);
        let dependencies = Dependencies {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            master_key: context.master_key(&mut context.database()?)?,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(64)
            .enable_all()
            .build()?;
        let served = runtime.block_on(async {
            // The handlers stand before the first connection is taken.
            let shutdown = signals::shutdown()?;
            let bound = server::build(&context.config, dependencies).await?;
            if let Some(demo) = &demo {
                demo.show(&context, bound.api_address)?;
            }
            Ok(bound.run(shutdown).await?)
        });
        // A query that hangs in the database must not hang the process.
        runtime.shutdown_timeout(Duration::from_millis(500));
        served
    }
}

/// A connection takes two descriptors: its own, and the one that it is closed by when there are too many.
fn open_files(config: &Config) {
    const OTHERS: usize = 256;
    let wanted = u64::try_from(2 * config.server.max_connections + OTHERS).unwrap_or(u64::MAX);
    match raise_open_files(wanted) {
        Ok(limit) if limit >= wanted => {}
        Ok(limit) => tracing::warn!(
            limit,
            wanted,
            "the limit on open files (ulimit -n) is lower than server.max_connections needs: callers may be turned away"
        ),
        Err(error) => tracing::warn!(%error, "the limit on open files cannot be read"),
    }
}
