//! The signals of a long-running command: SIGTERM and SIGINT stop it, SIGHUP reloads its configuration.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns the requests to reload the configuration. From this call on, SIGHUP no longer ends the process.
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Returns when a signal asks the process to stop.
pub(super) async fn stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
