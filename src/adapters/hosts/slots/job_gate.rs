//! The job gate of a slot: the protocol by which a job asks its keeper whether it may begin, and both its sides. The
//! guest's side ([`ask`]) runs in the slot, which may be hostile; the keeper's side ([`watch`]) lets one job begin.
//!
//! The gate opens for the first connection, which sends one line. A guest that sends anything else, sends more, leaves before
//! the answer, or connects more often than a mistake would explain, is reported as abuse, because a hook that has left does
//! not stop its job. Once the gate is open, the hook of that job, its second lock, is answered at once. A further worker
//! would be a further job, which a slot is not for.

use super::layout::SocketPath;
use crate::domain::slot::Hello;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The answer that lets a job begin.
const GO: &str = "go\n";
/// Longest line that a guest may send.
const MAX_LINE_BYTES: u64 = 4096;
/// Longer than the name of any repository.
pub(super) const MAX_REPOSITORY_LENGTH: usize = 200;
/// Time for a guest to send its line.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections beside the first before they count as abuse.
const MAX_OTHER_CONNECTIONS: usize = 16;

/// A job may not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    #[error("the job gate does not answer")]
    Silent(#[source] io::Error),
    #[error("this job may not run here")]
    Refused,
}

/// The lock that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lock {
    /// The stand-in of the worker, before anything of the job has run.
    Worker,
    /// The hook, before the first step.
    #[default]
    Hook,
}

/// The line that a guest sends: its lock, and what it knows of the job.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    lock: Lock,
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    run_id: Option<u64>,
    #[serde(default)]
    run_attempt: Option<u32>,
}

impl Line {
    /// Parses a line; returns none for anything that is not a whole, valid one.
    fn parse(line: &[u8]) -> Option<Self> {
        // serde would also take a list for the fields.
        let line = line.strip_suffix(b"\n").filter(|line| line.starts_with(b"{"))?;
        let line: Self = serde_json::from_slice(line).ok()?;
        let fits = |name: &String| name.len() <= MAX_REPOSITORY_LENGTH && !name.contains(char::is_control);
        line.repository.as_ref().is_none_or(fits).then_some(line)
    }

    fn hello(self) -> Hello {
        Hello {
            repository: self.repository,
            run_id: self.run_id,
            run_attempt: self.run_attempt,
        }
    }
}

/// Asks at the gate's `socket` whether the job may begin, and waits for the answer however long it takes.
///
/// # Errors
/// When the job may not begin, or the gate does not answer.
pub(crate) fn ask(socket: &Path, hello: &Hello) -> Result<(), HookError> {
    ask_as(Lock::Hook, socket, hello)
}

/// Asks like [`ask`], for either of the two locks.
pub(super) fn ask_as(lock: Lock, socket: &Path, hello: &Hello) -> Result<(), HookError> {
    let answer = send(lock, socket, hello).map_err(HookError::Silent)?;
    if answer == GO { Ok(()) } else { Err(HookError::Refused) }
}

fn send(lock: Lock, socket: &Path, hello: &Hello) -> io::Result<String> {
    let path = SocketPath::of(socket)?;
    let mut stream = UnixStream::connect(&path.path)?;
    let line = serde_json::to_string(&Line {
        lock,
        repository: hello.repository.clone(),
        run_id: hello.run_id,
        run_attempt: hello.run_attempt,
    })?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(GO.len() as u64).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Returns the script that `ACTIONS_RUNNER_HOOK_JOB_STARTED` names. It needs no program but jitgate.
pub(crate) fn hook_script(program: &Path, socket: &Path) -> String {
    format!(
        "#!/bin/sh\n# Made by jitgate: no step of a job runs before this returns.\nexec {} internal hook {}\n",
        quoted(program),
        quoted(socket)
    )
}

/// Quotes a path as one word of a shell.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// An event at the gate.
#[derive(Debug)]
pub(crate) enum GateEvent {
    /// A job waits.
    Hello(Hello),
    /// The job received "go".
    Opened,
    /// The guest broke the protocol and must be killed.
    Abuse,
}

/// Watches the gate, from the first connection to "go" or abuse. The job may begin once `go` resolves.
pub(crate) async fn watch(listener: UnixListener, events: mpsc::Sender<GateEvent>, go: oneshot::Receiver<()>) {
    let opened = match listener.accept().await {
        Ok((first, _)) => tokio::select! {
            opened = converse(first, &events, go) => opened,
            () = refuse(&listener) => None,
        },
        Err(_) => None,
    };
    // Sending fails when the keeper has begun to end the slot.
    if opened.is_some() {
        events.send(GateEvent::Opened).await.unwrap_or_default();
        answer_hooks(&listener).await;
    }
    events.send(GateEvent::Abuse).await.unwrap_or_default();
}

/// Answers the hooks of the job that was let through. Returns when another worker wants to begin.
async fn answer_hooks(listener: &UnixListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut stream = BufReader::new(stream);
        match read_line(&mut stream).await {
            Some(line) if line.lock == Lock::Worker => return,
            // The job runs already. It harms only itself if it leaves.
            Some(_) => stream.write_all(GO.as_bytes()).await.unwrap_or_default(),
            None => {}
        }
    }
}

async fn converse(
    stream: tokio::net::UnixStream,
    events: &mpsc::Sender<GateEvent>,
    go: oneshot::Receiver<()>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let line = read_line(&mut stream).await?;
    events.send(GateEvent::Hello(line.hello())).await.ok()?;
    let mut more = [0];
    tokio::select! {
        // The guest sent too much, or has left.
        _ = stream.read(&mut more) => return None,
        told = go => told.ok()?,
    }
    stream.write_all(GO.as_bytes()).await.ok()
}

async fn read_line(stream: &mut BufReader<tokio::net::UnixStream>) -> Option<Line> {
    let mut line = Vec::new();
    let mut bounded = stream.take(MAX_LINE_BYTES);
    let read = timeout(LINE_TIMEOUT, bounded.read_until(b'\n', &mut line)).await;
    read.ok()?.ok()?;
    Line::parse(&line)
}

/// Closes every connection at once, and returns after too many.
async fn refuse(listener: &UnixListener) {
    for _ in 0..MAX_OTHER_CONNECTIONS {
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
        let heard = |line| Line::parse(line).map(Line::hello);
        let hello = heard(whole).expect("a hello");
        assert_eq!((hello.run_id, hello.run_attempt), (Some(1), Some(2)));
        assert_eq!(heard(b"{}\n"), Some(Hello::default()));
        assert_eq!(
            Line::parse(b"{\"lock\":\"worker\"}\n").expect("a line").lock,
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

    #[test]
    fn paths_in_the_script_are_quoted() {
        let text = hook_script(Path::new("/a b/jitgate"), Path::new("/it's/socket"));
        assert!(
            text.ends_with("exec '/a b/jitgate' internal hook '/it'\\''s/socket'\n"),
            "{text}"
        );
    }
}
