//! Being asked to end.

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;

/// Completes on SIGTERM, SIGINT, SIGQUIT, or SIGHUP, which a terminal sends that is closed. The handlers stand
/// when this returns.
pub fn shutdown() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // Unheard it would end the process where a file has grown as large as may be (ulimit -f); a writer
    // is told anyway.
    drop(signal(SignalKind::from_raw(nix::libc::SIGXFSZ))?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
