//! What is looked at every few seconds while the service runs: keys, clock, durability.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::access::KeyDirectory;
use crate::domain::time::Clock;
use crate::keyring::{Keyring, Loader};
use crate::storage::writer::Writer;
use crate::storage::{AnyConnection, Reader, StoreError, check_durability, database_now};
use crate::system::ClockWatch;

/// Reads the keys again and again, and asks whether the database keeps what it confirms.
pub async fn refresh_keys(
    reader: Reader,
    loader: Loader,
    writer: Writer,
    keyring: Arc<Keyring>,
    clock_watch: Arc<ClockWatch>,
    clock: Arc<dyn Clock>,
    every: Duration,
) {
    let loader = Arc::new(Mutex::new(loader));
    loop {
        tokio::time::sleep(every).await;
        let (loader, watch, clock) = (loader.clone(), clock_watch.clone(), clock.clone());
        let loaded = reader.run(move |connection| {
            // No writer goes in here: a query that hangs must not keep the writer's queue open at the end.
            let durable = check_durability(connection).inspect_err(|error| tracing::error!(%error)).is_ok();
            Ok((durable, load_keys(connection, &loader, &watch, clock.as_ref())))
        });
        let loaded = loaded.await.and_then(|(durable, directory)| {
            writer.set_durable(durable);
            directory
        });
        match loaded {
            Ok(directory) => keyring.replace(directory),
            // Somebody has changed a row without the master key, or the clock is off.
            Err(error @ StoreError::Unusable(_)) => {
                tracing::error!(%error, age_s = keyring.age().as_secs(), "keys could not be read");
            }
            Err(error) => tracing::warn!(%error, age_s = keyring.age().as_secs(), "keys could not be read"),
        }
    }
}

fn load_keys(
    connection: &mut AnyConnection,
    loader: &Mutex<Loader>,
    watch: &ClockWatch,
    clock: &dyn Clock,
) -> Result<KeyDirectory, StoreError> {
    match database_now(connection)? {
        Some(now) => watch.believe(now, clock.monotonic()),
        None => watch.settle(),
    }
    // By a clock that has jumped, secrets would be left out that are still in force.
    let now = watch.reliable_now().ok_or(StoreError::Unusable("the clock is off".to_owned()))?;
    let mut loader = loader.lock().unwrap_or_else(PoisonError::into_inner);
    loader.load(connection, now)
}
