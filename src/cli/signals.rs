//! The signals of a long-running command: SIGTERM and SIGINT stop it, SIGHUP reloads its configuration.

use futures::future::BoxFuture;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns the requests to reload the configuration. From this call on, SIGHUP no longer ends the process.
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Returns when a signal asks the process to stop.
pub(super) async fn stop() -> io::Result<()> {
    stopping()?.await;
    Ok(())
}

/// Returns a future that completes when a signal asks the process to stop. From this call on, such a signal no longer ends
/// the process.
pub(super) fn stopping() -> io::Result<BoxFuture<'static, ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }))
}
