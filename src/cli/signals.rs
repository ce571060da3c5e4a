//! Being asked to end.

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;

/// Completes on SIGTERM or SIGINT. The handlers stand when this returns.
pub fn shutdown() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Unheard it would end the process where a file has grown as large as may be (ulimit -f); a writer
    // is told anyway.
    drop(signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
