//! What the gate tells a new keeper over its stdin: one line of JSON, then one line with the JIT configuration. Neither is
//! seen on a command line or kept on disk.

use super::limits::Limits;
use super::network::Plan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Runs in the environment before anything else: says that it is up, takes the JIT configuration, becomes the runner.
/// Without a configuration it ends, so nothing comes up in an environment whose keeper died early. Files that whoever
/// started the gate had left open are no business of a job.
pub(super) const LAUNCHER: &str = "for file in /proc/self/fd/*; do
  file=${file##*/}
  if ((file > 2)); then eval \"exec $file>&-\"; fi
done
echo jitgate-up
IFS= read -r ACTIONS_RUNNER_INPUT_JITCONFIG || exit 1
export ACTIONS_RUNNER_INPUT_JITCONFIG
exec ./run.sh </dev/null";
/// What it says.
pub(super) const UP: &str = "jitgate-up";

/// More than any order or configuration has.
const LONGEST_BYTES: u64 = 1024 * 1024;

/// How to run one job.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Name of the runner.
    pub(super) runner: String,
    /// How long a job may wait at its gate.
    pub(super) gate_deadline: Duration,
    /// How long everything may take.
    pub(super) job_deadline: Duration,
    /// How the environment is started.
    pub(super) command: Command,
    /// The network it has to itself; none where it has none, or the machine's.
    pub(super) network: Option<Plan>,
    /// What it may use of the machine.
    #[serde(default)]
    pub(super) limits: Limits,
    /// Takes what the runner program writes.
    pub(super) output: PathBuf,
    /// Is told of changes.
    pub(super) events: PathBuf,
}

/// How an environment is started.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Command {
    /// bubblewrap's options; none without a sandbox.
    pub(super) sandbox: Option<Vec<String>>,
    /// What is run, inside the sandbox where there is one.
    pub(super) words: Vec<String>,
    /// All of its environment.
    pub(super) variables: BTreeMap<String, String>,
    /// Where it starts.
    pub(super) folder: PathBuf,
}

impl Order {
    /// Hands the order and a JIT configuration over.
    pub(super) fn send(&self, configuration: &str, mut to: impl Write) -> io::Result<()> {
        let order = serde_json::to_string(self)?;
        to.write_all(format!("{order}\n{configuration}\n").as_bytes())?;
        to.flush()
    }

    /// Takes an order and a JIT configuration. What was cut off is none.
    pub(super) fn receive(from: impl BufRead) -> io::Result<(Self, String)> {
        let mut from = from.take(LONGEST_BYTES);
        let mut line = || {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let whole = line.strip_suffix('\n').map(str::to_owned);
            whole.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        };
        Ok((serde_json::from_str(&line()?)?, line()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_was_cut_off_is_none() {
        let order = Order {
            runner: "chem-jit-1".to_owned(),
            gate_deadline: Duration::from_secs(1),
            job_deadline: Duration::from_secs(2),
            command: Command {
                sandbox: None,
                words: vec!["true".to_owned()],
                variables: BTreeMap::new(),
                folder: PathBuf::from("/"),
            },
            network: Some(Plan::default()),
            limits: Limits::default(),
            output: PathBuf::from("/output"),
            events: PathBuf::from("/events"),
        };
        let mut sent = Vec::new();
        order.send("configuration", &mut sent).expect("sent");
        let (received, configuration) = Order::receive(&sent[..]).expect("whole");
        assert_eq!(
            (received.runner, configuration.as_str()),
            (order.runner, "configuration")
        );
        for length in 0..sent.len() {
            assert!(Order::receive(&sent[..length]).is_err(), "{length} bytes");
        }
    }
}
