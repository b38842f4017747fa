//! Processes, identified by id and start time, so that a reused id is not mistaken for the process that had it before;
//! and the child processes of a keeper.

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, pidfd_send_signal, set_child_subreaper,
    wait,
};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::timeout;

/// The `PATH` of every program that a host starts.
pub(crate) const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The environment variable that marks the processes of a slot; its value is the slot's id.
pub(crate) const SLOT_VARIABLE: &str = "JITGATE_SLOT";
/// First interval between two rounds of killing; each round adds as much, since a child can have forked meanwhile.
const KILL_INTERVAL: Duration = Duration::from_millis(10);
/// Longest interval between two rounds, for a process that does not die.
const MAX_KILL_INTERVAL: Duration = Duration::from_secs(1);

/// A process of this machine. It is not valid after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pid: i32,
    /// In clock ticks since the machine booted.
    started: u64,
}

/// The fields of `/proc/PID/stat` that are needed.
struct Stat {
    state: String,
    parent: i32,
    started: u64,
}

impl ProcessId {
    /// Returns the process with this id, if there is one.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let started = stat(pid)?.started;
        Some(Self { pid, started })
    }

    pub(crate) fn id(self) -> i32 {
        self.pid
    }

    /// Returns true if the process still runs. A zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started == self.started && !matches!(stat.state.as_str(), "Z" | "X"))
    }

    /// Opens a handle that refers to this process even if its id is reused.
    fn open(self) -> io::Result<OwnedFd> {
        let gone = || io::Error::from(Errno::SRCH);
        let pid = Pid::from_raw(self.pid).ok_or_else(gone)?;
        let handle = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // Checked after opening: the id could have been reused before.
        if Self::of(self.pid) == Some(self) {
            Ok(handle)
        } else {
            Err(gone())
        }
    }

    /// Kills the process if it still exists.
    pub(crate) fn kill(self) {
        if let Ok(handle) = self.open() {
            // A process that has ended meanwhile needs no signal.
            pidfd_send_signal(handle, Signal::KILL).unwrap_or_default();
        }
    }
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before these fields can contain blanks and parentheses.
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

/// Returns the children of a process, including zombies.
pub(crate) fn children_of(parent: i32) -> Vec<ProcessId> {
    let child = |pid: i32| {
        let stat = stat(pid)?;
        (stat.parent == parent).then_some(ProcessId {
            pid,
            started: stat.started,
        })
    };
    all().filter_map(child).collect()
}

/// Returns the processes of a slot: those that inherited its mark in their environment, and those whose working directory is
/// below `folder`, because a process in the middle of `exec` shows no environment.
pub(crate) fn processes_of(slot: &str, folder: &Path) -> Vec<ProcessId> {
    let variable = format!("{SLOT_VARIABLE}={slot}");
    let is_inside = |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let ids = all().filter(|pid| has_variable(*pid, &variable) || is_inside(pid));
    let processes = ids.filter_map(ProcessId::of);
    processes.filter(|process| process.is_alive()).collect()
}

/// Kills the processes with this mark that an earlier process of jitgate left when it was killed.
pub(crate) fn kill_marked(mark: &str) {
    let variable = format!("{SLOT_VARIABLE}={mark}");
    let ids = all().filter(|pid| has_variable(*pid, &variable));
    ids.filter_map(ProcessId::of).for_each(ProcessId::kill);
}

fn has_variable(pid: i32, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|text| text == variable.as_bytes())
}

/// Returns the id of this boot of the machine. No process survives a reboot.
pub(crate) fn machine_start() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The children of a keeper, which adopts what its guest leaves behind: without children, nothing of the guest is left.
pub(crate) struct Children {
    first: Option<Pid>,
    first_ended: bool,
    changed: unix::Signal,
}

impl Children {
    /// Makes this process adopt the orphans of its children from now on.
    pub(crate) fn adopt() -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        Ok(Self {
            first: None,
            first_ended: false,
            changed: unix::signal(SignalKind::child())?,
        })
    }

    /// Sets the child whose end is the end of the guest.
    pub(crate) fn set_first(&mut self, pid: u32) {
        self.first = i32::try_from(pid).ok().and_then(Pid::from_raw);
    }

    /// Waits until the first child has ended.
    pub(crate) async fn first_ends(&mut self) {
        loop {
            self.reap();
            if self.first_ended {
                return;
            }
            self.changed.recv().await;
        }
    }

    /// Kills every descendant, and returns once none is left.
    pub(crate) async fn kill_all(&mut self) {
        let own = Pid::as_raw(Some(getpid()));
        let mut interval = KILL_INTERVAL;
        loop {
            for child in children_of(own) {
                child.kill();
            }
            // It is killed by its id too, where /proc hides it. Its id cannot be reused before it is reaped.
            if let Some(first) = self.first.filter(|_| !self.first_ended) {
                kill_process(first, Signal::KILL).unwrap_or_default();
            }
            if self.reap() {
                return;
            }
            // Either a child has ended, or the time has passed: both lead to another round.
            timeout(interval, self.changed.recv()).await.unwrap_or_default();
            interval = MAX_KILL_INTERVAL.min(interval + KILL_INTERVAL);
        }
    }

    /// Reaps every child that has ended. Returns true when no child is left.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, _))) => self.first_ended |= Some(pid) == self.first,
                Err(Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }
}
