//! An instance of the service: the real writer on a store of the stage.

use std::sync::{Arc, Mutex};

use conversiond::config::{Idempotency, Ingest};
use conversiond::domain::time::Clock;
use conversiond::storage::writer::{Idle, Stores, Writer, WriterThreads};
use conversiond::telemetry::Metrics;

use crate::stage::{Stage, StageClock, Turns};
use crate::store::{StageStore, World};

/// How many the rescue lane writes together at most.
const RESCUE_BATCH_MAX: usize = 512;

pub struct Instance {
    pub writer: Writer,
    pub metrics: Metrics,
    pub threads: WriterThreads,
}

impl Instance {
    /// Starts it, with so many lanes; `is_shared` = on a database that has other instances.
    pub fn start(
        stage: &Arc<Stage>,
        world: &Arc<Mutex<World>>,
        instance: usize,
        lanes: usize,
        is_shared: bool,
        (limits, idempotency): (&Ingest, &Idempotency),
    ) -> Instance {
        let store = |name: &str, batch_max| StageStore {
            stage: stage.clone(),
            world: world.clone(),
            who: stage.expect(instance, name),
            batch_max,
            is_shared,
            connected: true,
        };
        let stores = Stores {
            // Single events go along with a bulk request.
            lanes: (0..lanes).map(|lane| store(&format!("writer-{lane}"), 1 + limits.batch_events)).collect(),
            rescue: is_shared.then(|| store("rescue", RESCUE_BATCH_MAX)),
        };
        let clock: Arc<dyn Clock> = Arc::new(StageClock(stage.clone()));
        let idle: Arc<dyn Idle> = Arc::new(Turns { stage: stage.clone(), instance });
        let metrics = Metrics::new();
        let (writer, threads) =
            Writer::start_idling(stores, limits, idempotency, &clock, &metrics.writer, &idle).unwrap();
        Instance { writer, metrics, threads }
    }
}
