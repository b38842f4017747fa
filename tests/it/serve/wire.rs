//! HTTP by hand, for requests that no client library would send.

use crate::support::gate::{SECRET, TIMEOUT};
use crate::support::payload::sign;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

/// A connection to the gate.
pub(crate) struct Wire(BufReader<TcpStream>);

/// An answer, read by hand.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Wire {
    pub(crate) async fn to(address: &str) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.expect("a connection")))
    }

    /// Sends all of it, or as much as the other side takes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).await.is_ok()
    }

    /// Sends one byte every 100 ms for as long as the other side takes them; gives how long that was.
    pub(crate) async fn trickle(&mut self, bytes: &[u8]) -> (Duration, Option<Reply>) {
        let start = Instant::now();
        let mut beat = interval(Duration::from_millis(100));
        for byte in bytes.iter().cycle() {
            assert!(start.elapsed() < TIMEOUT, "the trickle was never cut off");
            tokio::select! {
                _ = beat.tick() => {
                    if !self.send(&[*byte]).await {
                        break;
                    }
                }
                reply = self.reply() => return (start.elapsed(), reply),
            }
        }
        (start.elapsed(), self.reply().await)
    }

    /// The next answer; none when the connection was closed instead.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        timeout(TIMEOUT, self.read()).await.expect("an answer in time")
    }

    /// The head of the next answer, in lower case, of one that has no body.
    pub(crate) async fn head(&mut self) -> String {
        let head = timeout(TIMEOUT, self.read_head()).await.expect("an answer in time");
        head.expect("an answer")
    }

    async fn read(&mut self) -> Option<Reply> {
        let head = self.read_head().await?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
        self.0.read_exact(&mut body).await.ok()?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        Some(Reply { status, head, body })
    }

    async fn read_head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        Some(head.to_ascii_lowercase())
    }
}

/// The head of a delivery, signed for `body`, which is declared by `framing`.
pub(crate) fn head(guid: &str, body: &[u8], framing: &str) -> String {
    format!(
        "POST /webhooks/github HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\nX-GitHub-Event: workflow_job\r\n\
         X-GitHub-Delivery: {guid}\r\nX-Hub-Signature-256: {}\r\n{framing}\r\n\r\n",
        sign(SECRET, body)
    )
}

/// A whole delivery.
pub(crate) fn delivery(guid: &str, body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.len());
    [head(guid, body, &length).as_bytes(), body].concat()
}
