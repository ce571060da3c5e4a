//! What operators see: logs and figures.

mod logging;
mod metrics;

pub use logging::init as init_logging;
pub use metrics::{
    ConnectionMetrics, DropLabels, FreeBytes, JournalMetrics, LaneLabels, Metrics, OutcomeLabels,
    RefusedLabels, WriterMetrics,
};
