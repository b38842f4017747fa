//! The signals of a long-running command: SIGTERM and SIGINT stop it, SIGHUP reloads its configuration.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Returns the requests to reload the configuration. From this call on, SIGHUP no longer ends the process.
pub(super) fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// The signals that ask the process to stop.
pub(super) struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

/// Returns the signals that ask the process to stop. From this call on, they no longer end it.
pub(super) fn stops() -> io::Result<Stops> {
    Ok(Stops {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    })
}

impl Stops {
    /// Returns when a signal asks the process to stop.
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Returns when a signal asks the process to stop.
pub(super) async fn stop() -> io::Result<()> {
    stops()?.received().await;
    Ok(())
}
