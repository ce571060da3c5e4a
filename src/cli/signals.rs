//! Being asked to end.

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;

/// Completes on SIGTERM or SIGINT. The handlers stand when this returns.
pub fn shutdown() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
