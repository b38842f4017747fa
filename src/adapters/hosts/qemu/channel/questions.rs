//! The questions of a guest at the job gate of its slot. Each becomes a connection to the gate's socket, so that the gate
//! judges a virtual machine by the same rules as a sandbox.

use crate::adapters::hosts::slots::SocketPath;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

/// Longer than any answer of the gate.
const MAX_ANSWER_BYTES: usize = 64;

/// A word of the gate about a question.
#[derive(Debug)]
pub(super) enum Word {
    Answer { id: u64, text: String },
    Closed { id: u64 },
}

/// The open connections to a gate. Dropping this closes them.
pub(super) struct Questions {
    socket: PathBuf,
    /// Dropping a sender closes its connection.
    open: BTreeMap<u64, oneshot::Sender<()>>,
    words: mpsc::Sender<Word>,
}

impl Questions {
    /// Returns no questions yet, for the gate at `socket`, which reports on `words`.
    pub(super) fn new(socket: &Path, words: mpsc::Sender<Word>) -> Self {
        Self {
            socket: socket.to_owned(),
            open: BTreeMap::new(),
            words,
        }
    }

    /// Passes a question to the gate.
    pub(super) fn ask(&mut self, id: u64, text: String) {
        let (keep, left) = oneshot::channel();
        self.open.insert(id, keep);
        let (socket, words) = (self.socket.clone(), self.words.clone());
        tokio::spawn(async move {
            // Even if the guest has left meanwhile: the gate counts every question.
            let asked = deliver(&socket, &text).await;
            tokio::select! {
                () = converse(id, asked, &words) => {
                    words.send(Word::Closed { id }).await.unwrap_or_default();
                }
                // The guest has left.
                _ = left => {}
            }
        });
    }

    /// Closes the connection of a question.
    pub(super) fn leave(&mut self, id: u64) {
        self.open.remove(&id);
    }
}

async fn deliver(socket: &Path, text: &str) -> io::Result<UnixStream> {
    let path = SocketPath::of(socket)?;
    let mut gate = UnixStream::connect(&path.path).await?;
    gate.write_all(text.as_bytes()).await?;
    Ok(gate)
}

/// Returns once the gate has closed the connection. A gate that cannot be reached has closed it already.
async fn converse(id: u64, asked: io::Result<UnixStream>, words: &mpsc::Sender<Word>) {
    let Ok(mut gate) = asked else { return };
    let mut chunk = [0; MAX_ANSWER_BYTES];
    while let Ok(read) = gate.read(&mut chunk).await
        && read > 0
    {
        let text = String::from_utf8_lossy(&chunk[..read]).into_owned();
        if words.send(Word::Answer { id, text }).await.is_err() {
            return;
        }
    }
}
