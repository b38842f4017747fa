//! A running virtual machine: the process of QEMU, and the connections that only its starter has. It dies with the thread that
//! started it.

use super::channel::Channel;
use super::command::{self, Inherited, Memory, Places};
use super::console::Console;
use super::plan::{RunAs, Vm};
use super::qmp::Monitor;
use crate::adapters::hosts::slots::{self, ProcessId, SLOT_VARIABLE, SYSTEM_PATH};
use chrono::{DateTime, Utc};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::geteuid;
use std::fs::File;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::sleep;

/// Bytes of bubblewrap's own error message that are kept.
const MAX_SAID_BYTES: u64 = 4096;
/// Interval between two looks at a process that was killed and is not our child.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// The memory that a virtual machine starts with.
#[derive(Clone, Copy)]
pub(super) enum Backing<'a> {
    Private,
    /// Every change goes to this file.
    Shared(&'a File),
    /// The machine waits for its state, and no change goes to this file.
    CopyOf(&'a File),
}

/// The parameters of a start.
pub(super) struct Launch<'a> {
    pub(super) vm: &'a Vm,
    pub(super) places: Places<'a>,
    pub(super) account: Option<RunAs>,
    /// The words that enter a network namespace, or none.
    pub(super) enter: Vec<String>,
    pub(super) backing: Backing<'a>,
}

/// A running virtual machine.
pub(super) struct Running {
    child: Child,
    processes: Vec<ProcessId>,
    pub(super) channel: Channel,
    monitor: Monitor,
    console: Console,
}

impl Running {
    /// Starts QEMU, and returns when its sandbox is there.
    pub(super) fn launch(launch: &Launch<'_>) -> io::Result<Self> {
        let (channel, channel_end) = UnixStream::pair()?;
        let (monitor, monitor_end) = UnixStream::pair()?;
        for stream in [&channel, &monitor] {
            stream.set_nonblocking(true)?;
        }
        let memory = match launch.backing {
            Backing::Private => None,
            Backing::Shared(file) | Backing::CopyOf(file) => Some(file.try_clone()?),
        };
        let number = memory.as_ref().map(AsRawFd::as_raw_fd);
        let inherited = Inherited {
            channel: channel_end.as_raw_fd(),
            monitor: monitor_end.as_raw_fd(),
            memory: match (launch.backing, number) {
                (Backing::Shared(_), Some(file)) => Memory::Shared(file),
                (Backing::CopyOf(_), Some(file)) => Memory::CopyOf(file),
                _ => Memory::Private,
            },
        };
        let options = command::sandbox(launch.vm, launch.places, geteuid().is_root()).map_err(io::Error::other)?;
        let options = slots::options_file(&options)?;
        let (info, info_end) = io::pipe()?;
        let (console, console_end) = io::pipe()?;
        let before = command::before_the_sandbox(std::process::id());
        let words = [launch.enter.clone(), before, vec!["bwrap".to_owned()]].concat();
        let mut process = Command::new(&words[0]);
        process.args(&words[1..]);
        process.args(["--args", &options.as_raw_fd().to_string()]);
        process.args(["--info-fd", &info_end.as_raw_fd().to_string(), "--"]);
        process.args(command::words(launch.vm, launch.places.name, launch.account, inherited));
        process.env_clear().env("PATH", SYSTEM_PATH);
        process.env(SLOT_VARIABLE, launch.places.name);
        process
            .stdin(Stdio::null())
            .stdout(console_end.try_clone()?)
            .stderr(console_end);
        // As late as possible: another process that starts now would inherit them too.
        fcntl_setfd(&info_end, FdFlags::empty())?;
        fcntl_setfd(&channel_end, FdFlags::empty())?;
        fcntl_setfd(&monitor_end, FdFlags::empty())?;
        if let Some(memory) = &memory {
            fcntl_setfd(memory, FdFlags::empty())?;
        }
        let child = process.spawn();
        drop((process, options, info_end, channel_end, monitor_end, memory));
        let child = child.map_err(|error| {
            let what = format!(
                "cannot start {}: {error}; install the Debian packages `bubblewrap` and `util-linux`",
                words[0]
            );
            io::Error::other(what)
        })?;
        let (child, processes) = sandboxed(child, info, &console)?;
        Ok(Self {
            child,
            processes,
            channel: Channel::open(tokio::net::UnixStream::from_std(channel)?)?,
            monitor: Monitor::new(tokio::net::UnixStream::from_std(monitor)?),
            console: Console::read(console)?,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the processes that everything in the machine dies with.
    pub(super) fn processes(&self) -> Vec<ProcessId> {
        self.processes.clone()
    }

    /// Waits for the agent, and prepares the machine for a job.
    pub(super) async fn boot(&mut self, now: impl Fn() -> DateTime<Utc>) -> io::Result<()> {
        let booted = async {
            self.channel.hello().await?;
            self.channel.prepare(now()).await
        };
        match booted.await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.console.explain(error).await),
        }
    }

    /// Resumes the machine from its state, and prepares it for a job: until then it has the random numbers of its template.
    pub(super) async fn resume(&mut self, state: &File, now: impl Fn() -> DateTime<Utc>) -> io::Result<()> {
        let resumed = async {
            self.monitor.greet().await?;
            self.monitor.resume(state.as_fd()).await
        };
        match resumed.await {
            Ok(()) => self.boot(now).await,
            Err(error) => Err(self.console.explain(error).await),
        }
    }

    /// Stops the machine and writes its state to a file.
    pub(super) async fn save(&mut self, state: &File) -> io::Result<()> {
        self.monitor.greet().await?;
        self.monitor.save(state.as_fd()).await
    }

    /// Kills the machine, without waiting for its end.
    pub(super) fn kill(&mut self) {
        self.processes.iter().for_each(|process| process.kill());
        self.child.kill().unwrap_or_default();
        // A keeper may have reaped it already.
        self.child.wait().map(|_| ()).unwrap_or_default();
    }

    /// Kills the machine and waits until nothing of it runs.
    pub(super) async fn end(mut self) {
        self.kill();
        while self.processes.iter().any(|process| process.is_alive()) {
            sleep(LOOK_INTERVAL).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for the sandbox. If there is none, the error says what bubblewrap wrote.
fn sandboxed(mut child: Child, info: PipeReader, console: &PipeReader) -> io::Result<(Child, Vec<ProcessId>)> {
    let Ok(inner) = slots::first_process(info) else {
        child.kill()?;
        child.wait()?;
        let mut said = Vec::new();
        // Nothing that could write is left.
        console.take(MAX_SAID_BYTES).read_to_end(&mut said)?;
        let said = super::console::inert(&said);
        return Err(io::Error::other(format!("bwrap makes no sandbox: {said}")));
    };
    let outer = i32::try_from(child.id()).ok().and_then(ProcessId::of);
    Ok((child, outer.into_iter().chain(inner).collect()))
}
