//! The control protocol between host and keeper: one connection to the control socket, one command, one answer. Every process
//! that can connect to the socket may send commands.

use super::layout::{SlotDir, SocketPath};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longest command or answer.
const MAX_BYTES: u64 = 64;
/// Time for the host to send its command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// The answer when a command was carried out.
pub(super) const DONE: &str = "done";
/// The answer when a command does not apply now.
pub(super) const REFUSED: &str = "refused";

/// A command to a keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// Let the job at the gate begin.
    Open,
    /// Kill everything. The connection closes when nothing is left.
    End,
    /// Do nothing. The connection closes when the keeper ends, however that happens.
    Watch,
}

impl Command {
    const ALL: [Self; 3] = [Self::Open, Self::End, Self::Watch];

    fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::End => "end",
            Self::Watch => "watch",
        }
    }
}

/// Sends a command to the keeper of a slot and returns its answer, which is empty if the keeper ended instead.
pub(super) async fn send(slot: &SlotDir, command: Command) -> io::Result<String> {
    let socket = SocketPath::of(&slot.control())?;
    let mut stream = UnixStream::connect(&socket.path).await?;
    stream.write_all(command.text().as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.take(MAX_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A command that a keeper received, and the connection for the answer.
pub(super) struct Request {
    pub(super) command: Command,
    stream: UnixStream,
}

impl Request {
    pub(super) async fn answer(mut self, answer: &str) {
        // The host may have stopped waiting.
        self.stream.write_all(answer.as_bytes()).await.unwrap_or_default();
    }
}

/// Receives commands, one connection after the other.
pub(super) async fn receive(listener: UnixListener, requests: mpsc::Sender<Request>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut text = String::new();
        let mut bounded = (&mut stream).take(MAX_BYTES);
        let read = timeout(COMMAND_TIMEOUT, bounded.read_to_string(&mut text)).await;
        let command = Command::ALL.into_iter().find(|command| command.text() == text);
        if let (Ok(Ok(_)), Some(command)) = (read, command)
            && requests.send(Request { command, stream }).await.is_err()
        {
            return;
        }
    }
}
