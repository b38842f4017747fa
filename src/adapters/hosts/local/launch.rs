//! Starts the sandbox of a slot and hands it its JIT configuration, once it is certain to die with its keeper.

use super::disk;
use super::seccomp;
use crate::adapters::hosts::slots::{self, Group, Guest, KeeperError, Limits, Network, ProcessId, Rules, SlotDir};
use crate::domain::slot::Ending;
use crate::ports::Clock;
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;

/// Runs in the sandbox before anything else: reports that it is up, takes the JIT configuration, becomes the runner program.
/// It ends without a configuration, so that nothing starts in a slot whose keeper died early. It closes the files that
/// jitgate inherited, which the job must not have.
pub(super) const LAUNCHER: &str = "for file in /proc/self/fd/*; do
  file=${file##*/}
  if ((file > 2)); then eval \"exec $file>&-\"; fi
done
echo jitgate-up
IFS= read -r ACTIONS_RUNNER_INPUT_JITCONFIG || exit 1
export ACTIONS_RUNNER_INPUT_JITCONFIG
exec ./run.sh </dev/null";
/// The report of the launcher.
const UP: &[u8] = b"jitgate-up\n";
/// Bytes that are kept of an error message, when the sandbox does not come up.
const MAX_MESSAGE_BYTES: usize = 2000;

/// The parameters of a sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) command: Command,
    /// The rules of the job's own network, if it has one.
    pub(super) network: Option<Rules>,
    pub(super) limits: Limits,
}

/// The command of a slot.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Command {
    /// The options of bubblewrap; none without a sandbox.
    pub(super) sandbox: Option<Vec<String>>,
    /// Program and arguments, which run inside the sandbox if there is one.
    pub(super) words: Vec<String>,
    /// All environment variables.
    pub(super) variables: BTreeMap<String, String>,
    /// The working directory without a sandbox.
    pub(super) folder: PathBuf,
}

/// The sandbox of a slot, or processes without one.
pub(super) struct LocalGuest {
    child: Child,
    /// Taken when the guest is configured.
    output: Option<Receiver>,
    /// Taken when the guest is up.
    info: Option<io::PipeReader>,
    processes: Vec<ProcessId>,
    /// The job's files, and the limit for them.
    disk: Option<(PathBuf, u64)>,
    /// Receives once the disk limit is exceeded.
    full: Option<mpsc::Receiver<()>>,
    network: Option<Network>,
    group: Group,
}

/// Keeps the slot in `folder`; see [`slots::keep`].
///
/// # Errors
/// When the guest cannot be started.
pub(crate) async fn keep(folder: &Path, clock: &dyn Clock) -> Result<(), KeeperError> {
    slots::keep::<LocalGuest>(folder, clock).await
}

impl Guest for LocalGuest {
    type Plan = Plan;

    fn start(plan: &Plan, slot: &SlotDir) -> io::Result<Self> {
        let network = plan.network.as_ref().map(|rules| Network::up(rules, &slot.name()));
        let network = network.transpose().map_err(io::Error::other)?;
        let group = Group::make(plan.limits, slot).map_err(io::Error::other)?;
        let (output, writer) = io::pipe()?;
        let (child, info) = spawn(&plan.command, network.as_ref(), writer)?;
        Ok(Self {
            child,
            output: Some(Receiver::from_owned_fd(output.into())?),
            info,
            processes: Vec::new(),
            disk: plan.limits.disk_mib.map(|mib| (slot.job(), mib)),
            full: None,
            network,
            group,
        })
    }

    fn first_process(&self) -> u32 {
        self.child.id()
    }

    async fn comes_up(&mut self, _clock: &dyn Clock) -> io::Result<Vec<ProcessId>> {
        let output = self.output.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut said = Vec::new();
        while !said.ends_with(UP) {
            // Byte by byte: the following bytes belong to the runner program.
            let byte = output.read_u8().await;
            match byte {
                Ok(byte) if said.len() < MAX_MESSAGE_BYTES => said.push(byte),
                _ => {
                    let said = String::from_utf8_lossy(&said).trim().to_owned();
                    let why = if said.is_empty() {
                        "it ended without a message".to_owned()
                    } else {
                        said
                    };
                    return Err(io::Error::other(why));
                }
            }
        }
        let child = i32::try_from(self.child.id()).ok().and_then(ProcessId::of);
        self.processes = child.into_iter().collect();
        if let Some(info) = self.info.take() {
            self.processes.extend(slots::first_process(info)?);
        }
        Ok(self.processes.clone())
    }

    fn configure(&mut self, configuration: &str) -> io::Result<Receiver> {
        if let Some(network) = &mut self.network {
            network.set_entered();
        }
        // So far there is only the launcher, which waits for its configuration.
        self.group.take(&self.processes)?;
        if let (Some((folder, limit)), Some(first)) = (self.disk.take(), self.processes.last()) {
            let (fill, full) = mpsc::channel(1);
            self.full = Some(full);
            let before = disk::used(&folder);
            tokio::spawn(disk::watch(folder, first.id(), before, limit, fill));
        }
        let (Some(mut stdin), Some(output)) = (self.child.stdin.take(), self.output.take()) else {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        };
        stdin.write_all(format!("{configuration}\n").as_bytes())?;
        Ok(output)
    }

    async fn exceeds_a_limit(&mut self) -> Ending {
        let full = match &mut self.full {
            Some(full) => full.recv().await,
            None => None,
        };
        match full {
            Some(()) => Ending::DiskFull,
            None => std::future::pending().await,
        }
    }
}

/// Starts the first process, in the job's own network if it has one. Returns the pipe with bubblewrap's report too.
fn spawn(
    command: &Command,
    network: Option<&Network>,
    output: io::PipeWriter,
) -> io::Result<(Child, Option<io::PipeReader>)> {
    let mut words = command.words.iter();
    let mut process;
    let mut inherited = None;
    let mut info = None;
    if let Some(options) = &command.sandbox {
        let options = slots::options_file(options)?;
        let (reader, writer) = io::pipe()?;
        fcntl_setfd(&writer, FdFlags::empty())?;
        let mut first = network.map(Network::enter).unwrap_or_default();
        first.push("bwrap".to_owned());
        process = process::Command::new(&first[0]);
        process.args(&first[1..]);
        process.args(["--args", &options.as_raw_fd().to_string()]);
        process.args(["--info-fd", &writer.as_raw_fd().to_string()]);
        let filter = filter()?;
        process.args(filtered(filter.as_ref()));
        process.arg("--");
        inherited = Some((options, writer, filter));
        info = Some(reader);
    } else {
        process = process::Command::new(words.next().map_or("", String::as_str));
        process.current_dir(&command.folder);
    }
    let child = process
        .args(words)
        .env_clear()
        .envs(&command.variables)
        .stdin(Stdio::piped())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn();
    drop(inherited);
    Ok((child?, info))
}

/// Returns the filter of system calls as such a file, if there is one for this processor.
pub(super) fn filter() -> io::Result<Option<File>> {
    let filter = seccomp::filter();
    filter.map(|filter| slots::inheritable("seccomp", &filter)).transpose()
}

/// Returns bubblewrap's options for a filter.
pub(super) fn filtered(filter: Option<&File>) -> Vec<String> {
    filter.map_or_else(Vec::new, |filter| {
        vec!["--seccomp".to_owned(), filter.as_raw_fd().to_string()]
    })
}
