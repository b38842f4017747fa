//! The keeper's end of a channel, from its opening to the start of the runner program.

use super::carrier::Carrier;
use super::idle::Idle;
use super::session::{Event, Session};
use super::timeouts::Timeouts;
use crate::domain::slot::Ending;
use chrono::{DateTime, Utc};
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{self, Receiver};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Random bytes for a guest.
const ENTROPY_BYTES: usize = 64;
const NONCE_BYTES: usize = 16;

/// The keeper's end of the channel to one guest.
///
/// The guest is hostile: whatever it sends, this end holds a bounded number of bytes and reports an ending. After any abuse,
/// [`Channel::broken`] returns [`Ending::GateAbused`], and every other method returns an error.
pub struct Channel {
    state: State,
    timeouts: Timeouts,
}

enum State {
    /// No runner program was started.
    Idle(Box<Idle>),
    /// The carrier has the stream. It reports an ending, or drops the sender when the guest is gone.
    Carried {
        ending: oneshot::Receiver<Ending>,
        carrier: JoinHandle<()>,
    },
    Broken(Ending),
    /// The guest is gone.
    Gone,
}

impl Channel {
    /// Returns the channel over `stream`, whose other end QEMU holds.
    ///
    /// # Errors
    /// When the stream is not usable.
    pub fn open(stream: UnixStream) -> io::Result<Self> {
        Self::with_timeouts(stream, Timeouts::default())
    }

    pub(super) fn with_timeouts(stream: UnixStream, timeouts: Timeouts) -> io::Result<Self> {
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        let (session, unread) = (Session::new(), Vec::new());
        let idle = Idle {
            stream,
            session,
            unread,
        };
        Ok(Self {
            state: State::Idle(Box::new(idle)),
            timeouts,
        })
    }

    /// Opens the conversation and waits for the guest's hello. Everything that it sends before is dropped. This can be called
    /// again, for a guest that was resumed for example, until a runner program was started.
    ///
    /// # Errors
    /// When the guest does not answer in time, sends too much, or is gone.
    pub async fn hello(&mut self) -> io::Result<()> {
        let line = self.idle()?.session.open(&hex::encode(random::<NONCE_BYTES>()?))?;
        let limit = self.timeouts.hello;
        self.converse(&line, &Event::Greeted, limit, "the guest does not answer")
            .await
    }

    /// Gives the guest random bytes and the time, and waits until it has taken them. No runner program starts before, because
    /// guests that were resumed from the same state have the same random numbers.
    ///
    /// # Errors
    /// When the guest is not greeted, breaks the protocol, does not answer in time, or is gone.
    pub async fn prepare(&mut self, now: DateTime<Utc>) -> io::Result<()> {
        let now = now.timestamp_nanos_opt().unwrap_or_default();
        let line = self.idle()?.session.prepare(&random::<ENTROPY_BYTES>()?, now)?;
        let limit = self.timeouts.prepare;
        self.converse(&line, &Event::Prepared, limit, "the guest does not get ready")
            .await
    }

    /// Starts the runner program in the guest and returns its output. From then on a task carries everything: the questions
    /// to the job gate at `gate_socket`, and the log files of the runner program to the folder `diag`.
    ///
    /// # Errors
    /// When the guest is not prepared, or broke the protocol.
    pub fn run(&mut self, jit_config: &str, gate_socket: &Path, diag: &Path) -> io::Result<Receiver> {
        let idle = self.idle()?;
        idle.hear_early()?;
        let line = idle.session.run(jit_config)?;
        let (output, receiver) = pipe::pipe()?;
        let State::Idle(idle) = mem::replace(&mut self.state, State::Gone) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (report, ending) = oneshot::channel();
        let carrier = Carrier::new(*idle, line, output, gate_socket, diag, self.timeouts);
        self.state = State::Carried {
            ending,
            carrier: tokio::spawn(carrier.carry(report)),
        };
        Ok(receiver)
    }

    /// Waits until the guest must be ended because of what it sent or did not send, and returns why. It waits forever while
    /// all is well and when the guest is gone, which its process shows. The call can be cancelled and repeated.
    pub async fn broken(&mut self) -> Ending {
        loop {
            match &mut self.state {
                State::Idle(idle) => match idle.event().await {
                    Ok(_) => {}
                    Err(error) => self.fail(&error),
                },
                State::Carried { ending, .. } => {
                    self.state = match ending.await {
                        Ok(ending) => State::Broken(ending),
                        Err(_) => State::Gone,
                    }
                }
                State::Broken(ending) => return ending.clone(),
                State::Gone => std::future::pending().await,
            }
        }
    }

    fn idle(&mut self) -> io::Result<&mut Idle> {
        match &mut self.state {
            State::Idle(idle) => Ok(idle),
            State::Carried { .. } => Err(io::Error::other("the guest runs a job already")),
            State::Broken(_) => Err(io::Error::other("the guest broke the protocol before")),
            State::Gone => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Sends a line and waits for the event that answers it.
    async fn converse(&mut self, line: &[u8], due: &Event, limit: Duration, late: &str) -> io::Result<()> {
        let idle = self.idle()?;
        let answered = timeout(limit, async {
            idle.stream.write_all(line).await?;
            // The state machine permits no other event.
            while idle.event().await? != *due {}
            Ok(())
        });
        let answered = match answered.await {
            Ok(answered) => answered,
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, late)),
        };
        answered.inspect_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: &io::Error) {
        self.state = match error.kind() {
            io::ErrorKind::InvalidData => State::Broken(Ending::GateAbused),
            _ => State::Gone,
        };
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let State::Carried { carrier, .. } = &self.state {
            carrier.abort();
        }
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
