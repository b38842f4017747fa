//! QEMU's monitor: the few commands that save and resume a machine. It is an inherited socket, which no guest reaches.

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// More than any answer to these commands has.
const MAX_LINE_BYTES: usize = 256 * 1024;
/// Interval between two looks at a machine that is being saved or resumed.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// The name of the state's file in QEMU.
const STATE: &str = "state";

/// The connection to the monitor of one QEMU.
pub(super) struct Monitor {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Monitor {
    /// Uses a connection. QEMU greets at once.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Takes the greeting, and leaves the negotiation.
    pub(super) async fn greet(&mut self) -> io::Result<()> {
        while self.line().await?.get("QMP").is_none() {}
        self.execute("qmp_capabilities", json!({})).await?;
        let shared = json!({"capabilities": [{"capability": "x-ignore-shared", "state": true}]});
        // The memory is a file of its own, so the state does not contain it.
        self.execute("migrate-set-capabilities", shared).await.map(drop)
    }

    /// Stops the machine and writes its state to a file.
    pub(super) async fn save(&mut self, state: BorrowedFd<'_>) -> io::Result<()> {
        self.execute("stop", json!({})).await?;
        self.give(state).await?;
        self.execute("migrate", json!({"uri": format!("fd:{STATE}")})).await?;
        loop {
            let answer = self.execute("query-migrate", json!({})).await?;
            match answer["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => return Err(io::Error::other("QEMU failed to save the machine")),
                _ => sleep(LOOK_INTERVAL).await,
            }
        }
    }

    /// Reads the state from a file and lets the machine run.
    pub(super) async fn resume(&mut self, state: BorrowedFd<'_>) -> io::Result<()> {
        self.give(state).await?;
        self.execute("migrate-incoming", json!({"uri": format!("fd:{STATE}")}))
            .await?;
        loop {
            let answer = self.execute("query-status", json!({})).await?;
            match answer["status"].as_str() {
                Some("inmigrate") => sleep(LOOK_INTERVAL).await,
                Some("paused" | "postmigrate") => break,
                other => {
                    return Err(io::Error::other(format!(
                        "unexpected state of a resumed machine: {other:?}"
                    )));
                }
            }
        }
        self.execute("cont", json!({})).await.map(drop)
    }

    async fn execute(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        let text = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.stream.write_all(text.as_bytes()).await?;
        self.answer(command).await
    }

    /// Passes a file to QEMU.
    async fn give(&mut self, file: BorrowedFd<'_>) -> io::Result<()> {
        let text = format!("{}\n", json!({"execute": "getfd", "arguments": {"fdname": STATE}}));
        let files = [file];
        let sent = self.stream.async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut attached = SendAncillaryBuffer::new(&mut space);
            attached.push(SendAncillaryMessage::ScmRights(&files));
            let text = [IoSlice::new(text.as_bytes())];
            Ok(sendmsg(self.stream.as_fd(), &text, &mut attached, SendFlags::empty())?)
        });
        if sent.await? != text.len() {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        self.answer("getfd").await.map(drop)
    }

    async fn answer(&mut self, command: &str) -> io::Result<Value> {
        loop {
            let mut line = self.line().await?;
            if let Some(error) = line.get("error") {
                let what = error["desc"].as_str().unwrap_or("no reason").to_owned();
                return Err(io::Error::other(format!("QEMU refused {command}: {what}")));
            }
            // Events come in between.
            if let Some(answer) = line.get_mut("return") {
                return Ok(answer.take());
            }
        }
    }

    async fn line(&mut self) -> io::Result<Value> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            if self.received.len() > MAX_LINE_BYTES {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::task::JoinHandle;

    const DONE: &str = r#"{"return": {}}"#;

    /// A stand-in for QEMU that gives one answer to each command, and then closes the connection. It returns the commands.
    fn qemu(first: &str, answers: &[&str]) -> (Monitor, JoinHandle<Vec<String>>) {
        let (own, theirs) = UnixStream::pair().expect("a connection");
        let (first, answers) = (first.to_owned(), answers.iter().map(|&answer| answer.to_owned()));
        let answers: Vec<String> = answers.collect();
        let task = tokio::spawn(async move {
            let (reader, mut writer) = theirs.into_split();
            writer.write_all(first.as_bytes()).await.ok();
            let (mut lines, mut commands) = (BufReader::new(reader).lines(), Vec::new());
            for answer in answers {
                let Ok(Some(line)) = lines.next_line().await else { break };
                let line: Value = serde_json::from_str(&line).expect("a command");
                commands.push(line["execute"].as_str().expect("a name").to_owned());
                writer.write_all(format!("{answer}\n").as_bytes()).await.ok();
            }
            commands
        });
        (Monitor::new(own), task)
    }

    fn status(status: &str) -> String {
        json!({"return": {"status": status}}).to_string()
    }

    #[tokio::test]
    async fn a_machine_is_stopped_before_it_is_saved_and_events_are_no_answers() {
        let greeting = "{\"event\": \"EARLY\"}\n{\"QMP\": {}}\n";
        let between = format!("{}\n{DONE}", r#"{"event": "STOP"}"#);
        let (active, completed) = (status("active"), status("completed"));
        let (mut monitor, task) = qemu(greeting, &[DONE, DONE, &between, DONE, DONE, &active, &completed]);
        monitor.greet().await.expect("greeted");
        let state = File::open("/dev/null").expect("a file");
        monitor.save(state.as_fd()).await.expect("saved");
        let expected = [
            "qmp_capabilities",
            "migrate-set-capabilities",
            "stop",
            "getfd",
            "migrate",
            "query-migrate",
            "query-migrate",
        ];
        assert_eq!(task.await.expect("no panic"), expected);
    }

    #[tokio::test]
    async fn a_machine_that_is_not_saved_or_has_another_state_is_an_error() {
        let state = File::open("/dev/null").expect("a file");
        for failed in ["failed", "cancelled"] {
            let (mut monitor, _task) = qemu("", &[DONE, DONE, DONE, &status(failed)]);
            let error = monitor.save(state.as_fd()).await.expect_err(failed).to_string();
            assert_eq!(error, "QEMU failed to save the machine");
        }
        let (mut monitor, _task) = qemu("", &[DONE, DONE, &status("inmigrate"), &status("internal-error"), DONE]);
        let error = monitor
            .resume(state.as_fd())
            .await
            .expect_err("another state")
            .to_string();
        assert!(error.contains("internal-error"), "{error}");
        let (mut monitor, task) = qemu("", &[DONE, DONE, &status("inmigrate"), &status("paused"), DONE]);
        monitor.resume(state.as_fd()).await.expect("resumed");
        let expected = ["getfd", "migrate-incoming", "query-status", "query-status", "cont"];
        assert_eq!(task.await.expect("no panic"), expected);
    }

    #[tokio::test]
    async fn a_refusal_an_end_and_an_endless_line_are_errors() {
        let refusal = r#"{"error": {"class": "GenericError", "desc": "no such file"}}"#;
        let (mut monitor, _task) = qemu("", &[refusal]);
        let state = File::open("/dev/null").expect("a file");
        let error = monitor.resume(state.as_fd()).await.expect_err("a refusal").to_string();
        assert_eq!(error, "QEMU refused getfd: no such file");
        let (mut monitor, _task) = qemu("{\"QMP\"", &[]);
        let error = monitor.greet().await.expect_err("an end");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let endless = "x".repeat(2 * MAX_LINE_BYTES);
        let (mut monitor, _task) = qemu(&endless, &[]);
        let error = monitor.greet().await.expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
