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
