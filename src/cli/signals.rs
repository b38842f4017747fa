//! When a long-running command is asked to stop: SIGTERM or SIGINT.

use std::io;
use tokio::signal::unix::{SignalKind, signal};

/// Returns once the process is asked to stop.
pub(super) async fn stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
