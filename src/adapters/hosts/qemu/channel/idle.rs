//! A channel over which no runner program was ordered yet, and what has arrived on it.

use super::session::{Event, Session};
use rustix::net::{RecvFlags, recv};
use std::io;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// Bytes that are read at once.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

/// A stream, and what was read from it and not yet judged.
pub(super) struct Idle {
    pub(super) stream: UnixStream,
    pub(super) session: Session,
    pub(super) unread: Vec<u8>,
}

impl Idle {
    /// Waits for the next event of the guest. It can be cancelled.
    pub(super) async fn event(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.judge()? {
                return Ok(event);
            }
            let mut chunk = [0; CHUNK_BYTES];
            match self.stream.read(&mut chunk).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.unread.extend_from_slice(&chunk[..read]),
            }
        }
    }

    /// Judges what has arrived before the runner program was ordered: a guest that waits has nothing to say.
    pub(super) fn hear_early(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            self.judge()?;
            // Asks the kernel, not the runtime, which may not know yet.
            match recv(&self.stream, &mut chunk, RecvFlags::DONTWAIT) {
                Ok((read, _)) if read > 0 => self.unread.extend_from_slice(&chunk[..read]),
                // Nothing has arrived, or the guest is gone.
                _ => return Ok(()),
            }
        }
    }

    fn judge(&mut self) -> io::Result<Option<Event>> {
        let mut rest = &self.unread[..];
        let event = self.session.receive(&mut rest);
        let taken = self.unread.len() - rest.len();
        self.unread.drain(..taken);
        Ok(event?)
    }
}
