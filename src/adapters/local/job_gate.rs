//! The keeper's side of the job gate: listens to one hook and says "go" at most once. The environment may be hostile.
//!
//! Only the first connection counts, and it says one line. Whoever says something else, says more, leaves before the
//! answer, or comes more often than a mistake would explain, is reported as abuse: a hook that is gone does not stop a job.

use super::hook::{GO, LONGEST_HELLO_BYTES, Line};
use crate::ports::runner_host::Hello;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Time for a hook to say its line.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections beside the first before it is abuse.
const MOST_OTHERS: usize = 16;
/// Longer than any name of a repository.
const LONGEST_REPOSITORY: usize = 200;

/// What happened at the gate.
#[derive(Debug)]
pub(super) enum Heard {
    /// A job waits.
    Hello(Hello),
    /// The job was told to go.
    Opened,
    /// The environment is to be killed.
    Abuse,
}

/// Watches the gate, from the first connection to "go" or abuse.
pub(super) async fn watch(listener: UnixListener, heard: mpsc::Sender<Heard>, go: oneshot::Receiver<()>) {
    let outcome = match listener.accept().await {
        Ok((first, _)) => tokio::select! {
            outcome = converse(first, &heard, go) => outcome,
            () = refuse(&listener) => None,
        },
        Err(_) => None,
    };
    let last = outcome.map_or(Heard::Abuse, |()| Heard::Opened);
    // The keeper that does not listen any more is ending the environment.
    heard.send(last).await.unwrap_or_default();
}

async fn converse(stream: UnixStream, heard: &mpsc::Sender<Heard>, go: oneshot::Receiver<()>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    let mut bounded = (&mut stream).take(LONGEST_HELLO_BYTES);
    timeout(PATIENCE, bounded.read_until(b'\n', &mut line))
        .await
        .ok()?
        .ok()?;
    heard.send(Heard::Hello(understand(&line)?)).await.ok()?;
    let mut more = [0];
    tokio::select! {
        // A word too many, or the end.
        _ = stream.read(&mut more) => return None,
        told = go => told.ok()?,
    }
    stream.write_all(GO.as_bytes()).await.ok()
}

fn understand(line: &[u8]) -> Option<Hello> {
    // serde would also take a list for the fields.
    let line = line.strip_suffix(b"\n").filter(|line| line.starts_with(b"{"))?;
    let Line(hello) = serde_json::from_slice(line).ok()?;
    let fits = |repository: &String| repository.len() <= LONGEST_REPOSITORY && !repository.contains(char::is_control);
    hello.repository.as_ref().is_none_or(fits).then_some(hello)
}

/// Returns after too many connections, each of which was closed at once.
async fn refuse(listener: &UnixListener) {
    for _ in 0..MOST_OTHERS {
        if listener.accept().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_one_bounded_line_of_json() {
        let whole = br#"{"repository":"o/r","run_id":1,"run_attempt":2}
"#;
        let hello = understand(whole).expect("a hello");
        assert_eq!((hello.run_id, hello.run_attempt), (Some(1), Some(2)));
        assert_eq!(understand(b"{}\n"), Some(Hello::default()));
        for line in [
            &b""[..],
            b"{}",
            b"\n",
            b"hello\n",
            b"[]\n",
            b"{\"run_id\":\"1\"}\n",
            b"{\"run_id\":-1}\n",
            b"{\"more\":1}\n",
            b"{\"repository\":\"a\\nb\"}\n",
            b"\xff\n",
        ] {
            assert_eq!(understand(line), None, "{}", String::from_utf8_lossy(line));
        }
        let long = format!("{{\"repository\":\"{}\"}}\n", "x".repeat(201));
        assert_eq!(understand(long.as_bytes()), None);
    }
}
