//! A client of the job gate in the guest.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Time for a client to take its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection of a worker or a hook.
pub(super) struct Client(UnixStream);

impl Client {
    /// Returns the client of a connection that another thread reads.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self(stream.try_clone()?))
    }

    /// Passes the answer on. A client that does not take it has left.
    pub(super) fn answer(&self, text: &str) {
        (&self.0).write_all(text.as_bytes()).unwrap_or_default();
    }

    /// Closes the connection, which its thread reports.
    pub(super) fn close(&self) {
        self.0.shutdown(Shutdown::Both).unwrap_or_default();
    }
}
