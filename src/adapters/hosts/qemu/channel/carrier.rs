//! Carries everything between a guest that runs a job and its keeper: output, questions at the job gate, log files, the end.

use super::diagnosis;
use super::idle::{CHUNK_BYTES, Idle};
use super::questions::{Questions, Word};
use super::session::{Abuse, Event, MAX_QUESTIONS, Session};
use super::timeouts::Timeouts;
use crate::domain::slot::Ending;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Sender;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes for the guest that it has not read, beside the order to start. A guest that asks and never reads is abuse.
const MAX_UNREAD_BYTES: usize = 64 * 1024;

/// Time for the reader of the output to make room for the reason of an abuse.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The carrier of one guest.
pub(super) struct Carrier {
    stream: UnixStream,
    session: Session,
    /// Bytes from the guest that are not judged yet.
    unread: Vec<u8>,
    /// Bytes for the guest.
    unsent: Vec<u8>,
    /// Those of them that belong to the order to start.
    order: usize,
    output: Option<Sender>,
    questions: Questions,
    words: mpsc::Receiver<Word>,
    diag: PathBuf,
    deadline: Option<(Instant, Ending)>,
    timeouts: Timeouts,
}

impl Carrier {
    /// Returns the carrier that begins with `line`, the order to start the runner program.
    pub(super) fn new(
        idle: Idle,
        line: Vec<u8>,
        output: Sender,
        gate_socket: &Path,
        diag: &Path,
        timeouts: Timeouts,
    ) -> Self {
        let (words, heard) = mpsc::channel(MAX_QUESTIONS);
        let late = "the guest did not report the start of the runner program in time";
        Self {
            stream: idle.stream,
            session: idle.session,
            unread: idle.unread,
            order: line.len(),
            unsent: line,
            output: Some(output),
            questions: Questions::new(gate_socket, words),
            words: heard,
            diag: diag.to_owned(),
            deadline: Some((Instant::now() + timeouts.start, Ending::BootFailed(late.to_owned()))),
            timeouts,
        }
    }

    /// Carries until the guest is gone, or must be ended for a reason that is reported.
    pub(super) async fn carry(mut self, report: oneshot::Sender<Ending>) {
        let ending = loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(ending)) => break ending,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.explain(&error).await;
                    break Ending::GateAbused;
                }
                // The process of the guest shows that it is gone.
                Err(_) => return,
            }
        };
        // The channel may be dropped meanwhile.
        report.send(ending).unwrap_or_default();
    }

    /// Waits for one thing and handles it. Returns an ending if its time has come.
    async fn step(&mut self) -> io::Result<Option<Ending>> {
        let mut chunk = [0; CHUNK_BYTES];
        let (mut reader, mut writer) = self.stream.split();
        let is_pending = !self.unsent.is_empty();
        let deadline = self.deadline.clone();
        tokio::select! {
            Some(word) = self.words.recv() => self.pass_on(word)?,
            written = writer.write(&self.unsent), if is_pending => {
                // A guest that is gone hears no more, but its last words may not be read yet.
                let written = written.unwrap_or(self.unsent.len());
                self.unsent.drain(..written);
                self.order = self.order.saturating_sub(written);
            }
            read = reader.read(&mut chunk) => {
                let read = read?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.unread.extend_from_slice(&chunk[..read]);
                self.hear().await?;
            }
            ending = expiry(deadline) => return Ok(Some(ending)),
        }
        Ok(None)
    }

    /// Handles everything that has arrived.
    async fn hear(&mut self) -> io::Result<()> {
        let unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        while let Some(event) = self.session.receive(&mut rest)? {
            self.handle(event).await;
        }
        Ok(())
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Started => self.deadline = None,
            Event::Output(text) => {
                if let Some(output) = &mut self.output
                    && output.write_all(text.as_bytes()).await.is_err()
                {
                    // The keeper reads no more of it.
                    self.output = None;
                }
            }
            Event::Asked { id, text } => self.questions.ask(id, text),
            Event::Left { id } => self.questions.leave(id),
            Event::Log { name, text } => {
                if let Err(error) = diagnosis::append(&self.diag, &name, &text) {
                    tracing::debug!(%error, "cannot keep a log file of the runner program");
                }
            }
            Event::Ended { .. } => {
                self.output = None;
                self.deadline = Some((Instant::now() + self.timeouts.power_off, Ending::Exited));
            }
            // These come before a runner program only.
            Event::Greeted | Event::Prepared => {}
        }
    }

    /// Ends the output with the reason, which contains no text of the guest.
    async fn explain(&mut self, error: &io::Error) {
        if let Some(mut output) = self.output.take() {
            let text = format!("\njitgate: {error}\n");
            let written = timeout(EXPLAIN_TIMEOUT, output.write_all(text.as_bytes())).await;
            // Without a reader there is no one to explain it to.
            written.map(Result::unwrap_or_default).unwrap_or_default();
        }
    }

    /// Passes a word of the gate to the guest, if the guest still waits for it.
    fn pass_on(&mut self, word: Word) -> Result<(), Abuse> {
        let line = match word {
            Word::Answer { id, text } => self.session.answer(id, &text),
            Word::Closed { id } => self.session.close(id),
        };
        self.unsent.extend(line.unwrap_or_default());
        if self.unsent.len() - self.order > MAX_UNREAD_BYTES {
            self.session.condemn(Abuse::Unread);
            return Err(Abuse::Unread);
        }
        Ok(())
    }
}

async fn expiry(deadline: Option<(Instant, Ending)>) -> Ending {
    match deadline {
        Some((at, ending)) => {
            sleep_until(at).await;
            ending
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::hosts::qemu::channel::idle::Idle;
    use tokio::net::unix::pipe;

    #[tokio::test]
    async fn a_guest_that_runs_its_job_may_be_silent() {
        let (stream, _guest) = UnixStream::pair().expect("a pair of sockets");
        let (session, unread) = (Session::new(), Vec::new());
        let idle = Idle {
            stream,
            session,
            unread,
        };
        let (output, _receiver) = pipe::pipe().expect("a pipe");
        let nowhere = Path::new("/nowhere");
        let mut carrier = Carrier::new(idle, Vec::new(), output, nowhere, nowhere, Timeouts::default());
        assert!(matches!(carrier.deadline, Some((_, Ending::BootFailed(_)))));
        carrier.handle(Event::Started).await;
        assert!(carrier.deadline.is_none());
        carrier.handle(Event::Ended { code: 0 }).await;
        assert!(matches!(carrier.deadline, Some((_, Ending::Exited))));
    }
}
