//! The control protocol between host and keeper: one connection to the control socket, one command, one answer. Every process
//! that can connect to the socket may send commands. A JIT configuration takes this way, so that it does not appear on a
//! command line or on disk.

use super::layout::{SlotDir, SocketPath};
use crate::ports::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longest command: a claim with the longest JIT configuration.
const MAX_COMMAND_BYTES: u64 = 80 * 1024;
/// Longest answer.
const MAX_ANSWER_BYTES: u64 = 4096;
/// Time for the host to send its command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than GitHub allows the name of a runner to be.
const MAX_NAME_LENGTH: usize = 100;
/// Much longer than any JIT configuration.
const MAX_CONFIGURATION_LENGTH: usize = 60 * 1024;
/// The answer when a command was carried out.
pub(super) const DONE: &str = "done";
/// The answer when a command does not apply now.
pub(super) const REFUSED: &str = "refused";

/// A command to a keeper.
#[derive(Debug)]
pub(super) enum Command {
    /// Start the runner program in the guest.
    Claim(Claim),
    /// Let the job at the gate begin.
    Open,
    /// Kill everything. The connection closes when nothing is left.
    End,
    /// Do nothing. The connection closes when the keeper ends, however that happens.
    Watch,
}

/// A claim of a slot for one runner.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) runner: RunnerOrder,
    /// One line of text.
    pub(super) configuration: SecretString,
}

/// The part of a claim that is not secret.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RunnerOrder {
    /// Name of the runner.
    pub(super) name: String,
    /// The file for the output of the runner program.
    pub(super) output: PathBuf,
}

/// Refuses a name of a runner that is no plain word.
pub(super) fn check_name(runner: &str) -> Result<(), Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = !runner.is_empty() && runner.len() <= MAX_NAME_LENGTH && !runner.starts_with('.');
    if fits && runner.chars().all(is_plain) {
        return Ok(());
    }
    Err(Failure::Permanent(format!("invalid runner name {runner:?}")))
}

/// Refuses a JIT configuration that no command can carry.
pub(super) fn check_configuration(config: &SecretString) -> Result<(), Failure> {
    let config = config.expose_secret();
    if config.len() <= MAX_CONFIGURATION_LENGTH && !config.contains(char::is_control) {
        return Ok(());
    }
    let what = "the JIT configuration is not one line of text";
    Err(Failure::Permanent(what.to_owned()))
}

impl Command {
    /// Returns the text that [`Command::parse`] reads.
    fn text(&self) -> io::Result<SecretString> {
        let text = match self {
            Self::Claim(claim) => {
                let runner = serde_json::to_string(&claim.runner)?;
                format!("claim\n{runner}\n{}\n", claim.configuration.expose_secret())
            }
            Self::Open => "open".to_owned(),
            Self::End => "end".to_owned(),
            Self::Watch => "watch".to_owned(),
        };
        Ok(text.into())
    }

    /// Parses a command; returns none for anything that is not a whole, known one.
    fn parse(text: &str) -> Option<Self> {
        match text {
            "open" => Some(Self::Open),
            "end" => Some(Self::End),
            "watch" => Some(Self::Watch),
            _ => {
                let claim = text.strip_prefix("claim\n")?.strip_suffix('\n')?;
                let (runner, configuration) = claim.split_once('\n')?;
                Some(Self::Claim(Claim {
                    runner: serde_json::from_str(runner).ok()?,
                    configuration: configuration.into(),
                }))
            }
        }
    }
}

/// Sends a command to the keeper of a slot and returns its answer, which is empty if the keeper ended instead.
pub(super) async fn send(slot: &SlotDir, command: Command) -> io::Result<String> {
    let text = command.text()?;
    let socket = SocketPath::of(&slot.control())?;
    let mut stream = UnixStream::connect(&socket.path).await?;
    stream.write_all(text.expose_secret().as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A command that a keeper received, and the connection for the answer.
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) reply: Reply,
}

/// The connection for the answer to a command. It closes when this is dropped.
pub(super) struct Reply(UnixStream);

impl Reply {
    pub(super) async fn answer(mut self, answer: &str) {
        // The host may have stopped waiting.
        self.0.write_all(answer.as_bytes()).await.unwrap_or_default();
    }
}

/// Receives commands, one connection after the other.
pub(super) async fn receive(listener: UnixListener, requests: mpsc::Sender<Request>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut text = String::new();
        let mut bounded = (&mut stream).take(MAX_COMMAND_BYTES);
        let read = timeout(COMMAND_TIMEOUT, bounded.read_to_string(&mut text)).await;
        let reply = Reply(stream);
        if let (Ok(Ok(_)), Some(command)) = (read, Command::parse(&text))
            && requests.send(Request { command, reply }).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_whole_or_nothing() {
        let claim = Command::Claim(Claim {
            runner: RunnerOrder {
                name: "chem-jit-1".to_owned(),
                output: PathBuf::from("/output/chem-jit-1.log"),
            },
            configuration: "configuration".into(),
        });
        let text = claim.text().expect("text");
        let text = text.expose_secret();
        let Some(Command::Claim(claim)) = Command::parse(text) else {
            panic!("no claim: {text}");
        };
        assert_eq!(
            (claim.runner.name.as_str(), claim.configuration.expose_secret()),
            ("chem-jit-1", "configuration")
        );
        for length in 0..text.len() {
            assert!(Command::parse(&text[..length]).is_none(), "{length} bytes");
        }
    }
}
