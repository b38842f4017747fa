//! The start of a keeper. The host sends two lines to its stdin: the order as JSON, and the JIT configuration. The keeper
//! answers with one line on its stdout. Neither line of the host appears on a command line or on disk.

use super::layout::SlotDir;
use super::process::SYSTEM_PATH;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::oneshot;

/// More than any order or configuration has.
const MAX_BYTES: u64 = 1024 * 1024;
/// The answer of a keeper whose guest has started. Any other answer is an error message.
pub(crate) const STARTED: &str = "started";

/// The order to run one job.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order<P> {
    /// Name of the runner.
    pub(crate) runner: String,
    /// The time that a job may wait at its gate.
    pub(crate) gate_deadline: Duration,
    /// The time limit for everything together.
    pub(crate) job_deadline: Duration,
    /// The parameters of the guest.
    pub(crate) plan: P,
    /// The file for the output of the runner program.
    pub(crate) output: PathBuf,
    /// The socket that is notified of changes.
    pub(crate) events: PathBuf,
}

impl<P: Serialize> Order<P> {
    /// Returns the two lines that [`Order::receive`] reads.
    fn lines(&self, configuration: &SecretString) -> io::Result<SecretString> {
        let order = serde_json::to_string(self)?;
        Ok(format!("{order}\n{}\n", configuration.expose_secret()).into())
    }

    /// Starts the keeper of a slot with `program` and returns its answer, which is empty when it ends without one.
    pub(crate) async fn start_keeper(
        &self,
        program: &Path,
        slot: &SlotDir,
        configuration: &SecretString,
    ) -> io::Result<String> {
        let lines = self.lines(configuration)?;
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
            answered.send(converse(&mut keeper, &lines)).unwrap_or_default();
            drop(lines);
            keeper.wait().map(|_| ()).unwrap_or_default();
        })?;
        answer
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::BrokenPipe)))
    }
}

impl<P: DeserializeOwned> Order<P> {
    /// Reads an order and a JIT configuration. Truncated input is an error.
    pub(crate) fn receive(from: impl BufRead) -> io::Result<(Self, SecretString)> {
        let mut from = from.take(MAX_BYTES);
        let mut line = || {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let whole = line.strip_suffix('\n').map(str::to_owned);
            whole.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        };
        Ok((serde_json::from_str(&line()?)?, line()?.into()))
    }
}

/// Sends the lines to a keeper and returns its answer.
fn converse(keeper: &mut Child, lines: &SecretString) -> io::Result<String> {
    let mut stdin = keeper.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let stdout = keeper.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    // A keeper that refuses may not read everything; its answer says why.
    stdin.write_all(lines.expose_secret().as_bytes()).unwrap_or_default();
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
        let order = Order {
            runner: "chem-jit-1".to_owned(),
            gate_deadline: Duration::from_secs(1),
            job_deadline: Duration::from_secs(2),
            plan: "a plan".to_owned(),
            output: PathBuf::from("/output"),
            events: PathBuf::from("/events"),
        };
        let sent = order.lines(&"configuration".into()).expect("lines");
        let sent = sent.expose_secret().as_bytes();
        let (received, configuration) = Order::<String>::receive(sent).expect("whole");
        assert_eq!(
            (received.runner, received.plan, configuration.expose_secret()),
            (order.runner, order.plan, "configuration")
        );
        for length in 0..sent.len() {
            assert!(Order::<String>::receive(&sent[..length]).is_err(), "{length} bytes");
        }
    }
}
