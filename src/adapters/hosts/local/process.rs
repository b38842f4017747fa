//! Processes by id and start time, so that an id that was given out again is nobody we know.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A process, for as long as this machine is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pid: i32,
    /// In clock ticks since the machine came up.
    started: u64,
}

/// What `/proc/PID/stat` says of a process.
struct Stat {
    state: String,
    parent: i32,
    started: u64,
}

impl ProcessId {
    /// The process with this id; none if there is none.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let started = stat(pid)?.started;
        Some(Self { pid, started })
    }

    /// Its number.
    pub(super) fn id(self) -> i32 {
        self.pid
    }

    /// Whether it still does something. A zombie does not.
    pub(super) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && !matches!(stat.state.as_str(), "Z" | "X"))
    }

    /// A handle that stays with it.
    fn open(self) -> io::Result<OwnedFd> {
        let gone = || io::Error::from(Errno::SRCH);
        let pid = Pid::from_raw(self.pid).ok_or_else(gone)?;
        let handle = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // Asked after opening: the handle is of whoever had the id by then.
        if Self::of(self.pid) == Some(self) {
            Ok(handle)
        } else {
            Err(gone())
        }
    }

    /// Kills it, if it is still there.
    pub(super) fn kill(self) {
        if let Ok(handle) = self.open() {
            // Whoever ended meanwhile needs no signal.
            pidfd_send_signal(handle, Signal::KILL).unwrap_or_default();
        }
    }
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold blanks and parentheses.
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Some(Stat {
        state: (*fields.first()?).to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The children of a process, zombies included.
pub(super) fn children_of(parent: i32) -> Vec<ProcessId> {
    let child = |pid: i32| {
        let stat = stat(pid)?;
        (stat.parent == parent).then_some(ProcessId {
            pid,
            started: stat.started,
        })
    };
    all().filter_map(child).collect()
}

/// Processes that were started with this `NAME=VALUE` in their environment, or below one that was, and those that work in
/// this folder: one that is just becoming another program has no environment to be seen.
pub(super) fn belonging(variable: &str, folder: &Path) -> Vec<ProcessId> {
    let is_marked = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|text| text == variable.as_bytes())
    };
    let is_inside = |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let ids = all().filter(|pid| is_marked(pid) || is_inside(pid));
    let processes = ids.filter_map(ProcessId::of);
    processes.filter(|process| process.is_alive()).collect()
}

/// Identifies this start of the machine: nothing that ran before it runs now.
pub(super) fn machine_start() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
