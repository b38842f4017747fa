//! How the gate speaks to a keeper: one connection, one word, one line of answer. Who can reach the socket may speak.

use super::layout::{SlotDir, SocketPath};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longest word or answer.
const LONGEST_BYTES: u64 = 64;
/// Time for the gate to say its word.
const PATIENCE: Duration = Duration::from_secs(5);
/// It was done.
pub(super) const DONE: &str = "done";
/// It makes no sense now.
pub(super) const REFUSED: &str = "refused";

/// What a keeper can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Let the job at the gate begin.
    Open,
    /// Kill everything. The connection closes when nothing is left.
    End,
    /// Say nothing. The connection closes when the keeper ends, however that happens.
    Watch,
}

impl Word {
    const ALL: [Self; 3] = [Self::Open, Self::End, Self::Watch];

    fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::End => "end",
            Self::Watch => "watch",
        }
    }
}

/// Tells a slot's keeper something and returns its answer: nothing when it ended over it.
pub(super) async fn tell(slot: &SlotDir, word: Word) -> io::Result<String> {
    let socket = SocketPath::of(&slot.control())?;
    let mut stream = UnixStream::connect(&socket.path).await?;
    stream.write_all(word.text().as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.take(LONGEST_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A word that was said, and where to answer it.
pub(super) struct Said {
    pub(super) word: Word,
    stream: UnixStream,
}

impl Said {
    pub(super) async fn answer(mut self, answer: &str) {
        // Nobody has to wait for it.
        self.stream.write_all(answer.as_bytes()).await.unwrap_or_default();
    }
}

/// Hears what the gate says, one connection after the other.
pub(super) async fn hear(listener: UnixListener, heard: mpsc::Sender<Said>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut text = String::new();
        let mut word = (&mut stream).take(LONGEST_BYTES);
        let read = timeout(PATIENCE, word.read_to_string(&mut text)).await;
        let word = Word::ALL.into_iter().find(|word| word.text() == text);
        if let (Ok(Ok(_)), Some(word)) = (read, word)
            && heard.send(Said { word, stream }).await.is_err()
        {
            return;
        }
    }
}
