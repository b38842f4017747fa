//! Starts an environment and hands it its JIT configuration, once it is sure to die with whoever started it.

use super::network::Network;
use super::order::{Command, UP};
use super::process::ProcessId;
use super::seccomp;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, Stdio};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Most that is read of what an environment says when it does not come up.
const LONGEST_COMPLAINT: usize = 2000;
/// What bubblewrap says of the environment.
const LONGEST_INFO: u64 = 4096;

/// An environment that runs.
pub(super) struct Launched {
    /// Its first processes.
    pub(super) processes: Vec<ProcessId>,
    /// What it writes.
    pub(super) output: Receiver,
    child: Child,
}

/// What bubblewrap tells.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    child_pid: i32,
}

/// A started process, not an environment yet.
pub(super) struct Started {
    pub(super) child: Child,
    output: Receiver,
    info: Option<io::PipeReader>,
}

/// Starts the first process, in a network of its own where there is one. It dies with the thread that calls this.
pub(super) fn start(command: &Command, network: Option<&Network>) -> io::Result<Started> {
    let (output, writer) = io::pipe()?;
    let mut words = command.words.iter();
    let mut process;
    let mut inherited = None;
    let mut info = None;
    if let Some(options) = &command.sandbox {
        let options = sealed(options)?;
        let (reader, writer) = io::pipe()?;
        fcntl_setfd(&writer, FdFlags::empty())?;
        let mut first = network.map(Network::enter).unwrap_or_default();
        first.push("bwrap".to_owned());
        process = std::process::Command::new(&first[0]);
        process.args(&first[1..]);
        process.args(["--args", &options.as_raw_fd().to_string()]);
        process.args(["--info-fd", &writer.as_raw_fd().to_string()]);
        let filter = filter()?;
        process.args(filtered(filter.as_ref()));
        process.arg("--");
        inherited = Some((options, writer, filter));
        info = Some(reader);
    } else {
        process = std::process::Command::new(words.next().map_or("", String::as_str));
        process.current_dir(&command.folder);
    }
    let child = process
        .args(words)
        .env_clear()
        .envs(&command.variables)
        .stdin(Stdio::piped())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn();
    drop(inherited);
    Ok(Started {
        child: child?,
        output: Receiver::from_owned_fd(output.into())?,
        info,
    })
}

/// The options as a file in memory that is passed on: nobody sees them on a command line.
fn sealed(options: &[String]) -> io::Result<File> {
    let ended = options.iter().flat_map(|option| option.bytes().chain([0]));
    passed_on("bwrap-options", &ended.collect::<Vec<u8>>())
}

/// The filter of system calls as such a file, where this kind of machine has one.
pub(super) fn filter() -> io::Result<Option<File>> {
    let filter = seccomp::filter();
    filter.map(|filter| passed_on("seccomp", &filter)).transpose()
}

/// bubblewrap's options for a filter.
pub(super) fn filtered(filter: Option<&File>) -> Vec<String> {
    filter.map_or_else(Vec::new, |filter| {
        vec!["--seccomp".to_owned(), filter.as_raw_fd().to_string()]
    })
}

fn passed_on(name: &str, content: &[u8]) -> io::Result<File> {
    // Not closed on exec: bubblewrap reads it and closes it.
    let mut file = File::from(memfd_create(name, MemfdFlags::empty())?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

impl Started {
    /// Waits until the launcher in the environment says that it is up: from then on everything in it dies with its first
    /// process.
    pub(super) async fn comes_up(mut self) -> io::Result<Launched> {
        let mut said = Vec::new();
        let up = format!("{UP}\n");
        while !said.ends_with(up.as_bytes()) {
            // By bytes: what follows is the runner's.
            let byte = self.output.read_u8().await;
            match byte {
                Ok(byte) if said.len() < LONGEST_COMPLAINT => said.push(byte),
                _ => {
                    let said = String::from_utf8_lossy(&said).trim().to_owned();
                    let why = if said.is_empty() {
                        "it ended without a word".to_owned()
                    } else {
                        said
                    };
                    return Err(io::Error::other(why));
                }
            }
        }
        let child = i32::try_from(self.child.id()).ok().and_then(ProcessId::of);
        let mut processes: Vec<ProcessId> = child.into_iter().collect();
        if let Some(info) = self.info.take() {
            let mut text = String::new();
            info.take(LONGEST_INFO).read_to_string(&mut text)?;
            let info: Info = serde_json::from_str(&text)?;
            processes.extend(ProcessId::of(info.child_pid));
        }
        Ok(Launched {
            processes,
            output: self.output,
            child: self.child,
        })
    }
}

impl Launched {
    /// Starts the runner program.
    pub(super) fn configure(&mut self, configuration: &str) -> io::Result<()> {
        match self.child.stdin.take() {
            Some(mut stdin) => stdin.write_all(format!("{configuration}\n").as_bytes()),
            None => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        }
    }
}
