//! When a long-running command is asked to stop, by SIGTERM or SIGINT, or to read its configuration again, by SIGHUP.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Requests to read the configuration again. From this call on they end the process no more.
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

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
