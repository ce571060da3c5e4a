//! Work that would keep a worker from its other callers: done on threads of its own, little at a time.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::error::{Code, Problem};

/// A few places for such work, given in the order in which they are asked for.
pub struct Workbench {
    places: Arc<Semaphore>,
    runtime: Handle,
}

impl Workbench {
    /// So many places. The work runs on this runtime's threads for blocking work.
    pub fn new(places: usize, runtime: Handle) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), runtime }
    }

    /// Waits for a place and does the work there, whether or not its caller stays.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.places.clone().acquire_owned().await;
        let place = place.map_err(|_| Problem::new(Code::ShuttingDown, "The service is about to end."))?;
        let span = tracing::Span::current();
        let work = self.runtime.spawn_blocking(move || {
            let _place = place;
            let _span = span.enter();
            work()
        });
        work.await.map_err(|error| {
            tracing::error!(%error, "work beside the workers panicked");
            Problem::new(Code::InternalError, "It has been logged. Send it again later.")
        })
    }
}
