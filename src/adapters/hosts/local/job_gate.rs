//! The keeper's side of the job gate: lets one job begin. The environment may be hostile.
//!
//! The gate opens for the first connection, which says one line. Whoever says something else, says more, leaves before the
//! answer, or comes more often than a mistake would explain, is reported as abuse: a hook that is gone does not stop a job.
//! Once it is open, the hook of that job, its second lock, is answered at once. A further worker would be a further job,
//! which a slot is not for.

use super::hook::{GO, LONGEST_HELLO_BYTES, Line, Lock};
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
    // The keeper that does not listen any more is ending the environment.
    if outcome.is_some() {
        heard.send(Heard::Opened).await.unwrap_or_default();
        answer_hooks(&listener).await;
    }
    heard.send(Heard::Abuse).await.unwrap_or_default();
}

/// Answers whoever asks in an environment whose job was let through. Returns when another worker is to begin.
async fn answer_hooks(listener: &UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut stream = BufReader::new(stream);
        match hear(&mut stream).await {
            Some(line) if line.lock == Lock::Worker => return,
            // The job is running, and harms nothing but itself by leaving.
            Some(_) => stream.write_all(GO.as_bytes()).await.unwrap_or_default(),
            None => {}
        }
    }
}

async fn converse(stream: UnixStream, heard: &mpsc::Sender<Heard>, go: oneshot::Receiver<()>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let line = hear(&mut stream).await?;
    heard.send(Heard::Hello(line.job())).await.ok()?;
    let mut more = [0];
    tokio::select! {
        // A word too many, or the end.
        _ = stream.read(&mut more) => return None,
        told = go => told.ok()?,
    }
    stream.write_all(GO.as_bytes()).await.ok()
}

/// The line that somebody says, if it makes sense.
async fn hear(stream: &mut BufReader<UnixStream>) -> Option<Line> {
    let mut line = Vec::new();
    let mut bounded = stream.take(LONGEST_HELLO_BYTES);
    let read = timeout(PATIENCE, bounded.read_until(b'\n', &mut line)).await;
    read.ok()?.ok()?;
    understand(&line)
}

fn understand(line: &[u8]) -> Option<Line> {
    // serde would also take a list for the fields.
    let line = line.strip_suffix(b"\n").filter(|line| line.starts_with(b"{"))?;
    let line: Line = serde_json::from_slice(line).ok()?;
    line.fits().then_some(line)
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
        let heard = |line| understand(line).map(Line::job);
        let hello = heard(whole).expect("a hello");
        assert_eq!((hello.run_id, hello.run_attempt), (Some(1), Some(2)));
        assert_eq!(heard(b"{}\n"), Some(Hello::default()));
        assert_eq!(
            understand(b"{\"lock\":\"worker\"}\n").expect("a line").lock,
            Lock::Worker
        );
        for line in [
            &b""[..],
            b"{}",
            b"\n",
            b"hello\n",
            b"[]\n",
            b"{\"run_id\":\"1\"}\n",
            b"{\"run_id\":-1}\n",
            b"{\"more\":1}\n",
            b"{\"lock\":\"door\"}\n",
            b"{\"repository\":\"a\\nb\"}\n",
            b"\xff\n",
        ] {
            assert_eq!(heard(line), None, "{}", String::from_utf8_lossy(line));
        }
        let long = format!("{{\"repository\":\"{}\"}}\n", "x".repeat(201));
        assert_eq!(heard(long.as_bytes()), None);
    }
}
