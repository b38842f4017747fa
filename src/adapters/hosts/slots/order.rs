//! The start of a keeper. The host sends one line to its stdin, the order as JSON, and the keeper answers with one line on its
//! stdout when its guest is up.

use super::layout::SlotDir;
use super::process::SYSTEM_PATH;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::oneshot;

/// More than any order has.
const MAX_BYTES: u64 = 1024 * 1024;
/// The answer of a keeper whose guest is up. Any other answer is an error message.
pub(crate) const STARTED: &str = "started";

/// The order to keep one slot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order<P> {
    /// The time limits of the slot.
    pub(crate) deadlines: Deadlines,
    /// The parameters of the guest.
    pub(crate) plan: P,
    /// The socket that is notified of changes.
    pub(crate) events: PathBuf,
}

/// The time limits of a slot.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Deadlines {
    /// The time for a guest to come up.
    pub(crate) boot: Duration,
    /// The time that an unclaimed guest outlives its host process.
    pub(crate) orphan: Duration,
    /// The time that a job may wait at its gate.
    pub(crate) gate: Duration,
    /// The time limit for everything after the claim.
    pub(crate) job: Duration,
}

impl<P: Serialize> Order<P> {
    /// Returns the line that [`Order::receive`] reads.
    fn line(&self) -> io::Result<String> {
        Ok(format!("{}\n", serde_json::to_string(self)?))
    }

    /// Starts the keeper of a slot with `program` and returns its answer, which is empty when it ends without one.
    pub(crate) async fn start_keeper(&self, program: &Path, slot: &SlotDir) -> io::Result<String> {
        let line = self.line()?;
        let keeper = Command::new(program)
            .args(["internal", "keep"])
            .arg(&slot.0)
            .current_dir("/")
            .env_clear()
            .env("PATH", SYSTEM_PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (answered, answer) = oneshot::channel();
        // A detached thread, which waits for the keeper to exit and reaps it: it does not hold up the end of this process.
        std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            let mut keeper = keeper;
            // The caller may have given up.
            answered.send(converse(&mut keeper, &line)).unwrap_or_default();
            keeper.wait().map(|_| ()).unwrap_or_default();
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::BrokenPipe)))
    }
}

impl<P: DeserializeOwned> Order<P> {
    /// Reads an order. Truncated input is an error.
    pub(crate) fn receive(from: impl BufRead) -> io::Result<Self> {
        let mut line = String::new();
        from.take(MAX_BYTES).read_line(&mut line)?;
        let whole = line.strip_suffix('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(serde_json::from_str(whole)?)
    }
}

/// Sends the line to a keeper and returns its answer.
fn converse(keeper: &mut Child, line: &str) -> io::Result<String> {
    let mut stdin = keeper.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let stdout = keeper.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    // A keeper that refuses may not read everything; its answer says why.
    stdin.write_all(line.as_bytes()).unwrap_or_default();
    drop(stdin);
    let mut answer = String::new();
    BufReader::new(stdout).read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_order_is_refused() {
        let second = Duration::from_secs(1);
        let order = Order {
            deadlines: Deadlines {
                boot: second,
                orphan: second,
                gate: second,
                job: 2 * second,
            },
            plan: "a plan".to_owned(),
            events: PathBuf::from("/events"),
        };
        let sent = order.line().expect("a line");
        let received = Order::<String>::receive(sent.as_bytes()).expect("whole");
        assert_eq!(
            (received.plan, received.deadlines.job, received.events),
            (order.plan, order.deadlines.job, order.events)
        );
        for length in 0..sent.len() {
            assert!(
                Order::<String>::receive(&sent.as_bytes()[..length]).is_err(),
                "{length} bytes"
            );
        }
    }
}
