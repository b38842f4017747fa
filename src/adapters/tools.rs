//! External programs as child processes, each in a process group of its own.

use crate::ports::tools::{AttendedEnd, AttendedTools, ToolCall, ToolError, ToolOutput, Tools};
use async_trait::async_trait;
use futures::future::BoxFuture;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use secrecy::ExposeSecret;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of bytes that are kept of each output.
const MAX_OUTPUT_BYTES: u64 = 1024 * 1024;
/// Time in which an interrupted program ends by itself.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Variables with this prefix configure jitgate and can hold secrets.
const OWN_PREFIX: &str = "JITGATE__";

/// Runs the programs of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessTools;

#[async_trait]
impl Tools for ProcessTools {
    async fn run(&self, call: &ToolCall) -> Result<ToolOutput, ToolError> {
        let owned = call.clone();
        let joined = tokio::task::spawn_blocking(move || run(&owned)).await;
        joined.unwrap_or_else(|error| Err(unusable(call, &error)))
    }
}

#[async_trait]
impl AttendedTools for ProcessTools {
    async fn attend(&self, call: &ToolCall, stop: BoxFuture<'static, ()>) -> Result<AttendedEnd, ToolError> {
        let output = || own_stderr().map_err(|error| unusable(call, &error));
        let mut command = command(call)?;
        command.stdout(output()?).stderr(output()?);
        let mut child = spawn(&mut command, call)?;
        let ended = attend(&child, call.timeout, stop).await;
        // The unreaped program still holds the number of its group.
        kill_group(&child);
        let status = child.wait();
        let end = ended.and_then(|end| Ok((end, status?.code())));
        match end.map_err(|error| unusable(call, &error))? {
            (None, code) => Ok(AttendedEnd::Ended(code)),
            (Some(end), _) => Ok(end),
        }
    }
}

/// Waits for the end of a program, or interrupts it. Returns none if it ended by itself.
async fn attend(child: &Child, timeout: Duration, stop: BoxFuture<'static, ()>) -> io::Result<Option<AttendedEnd>> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut ended = tokio::task::spawn_blocking(move || ends_before(&process, None));
    let end = tokio::select! {
        biased;
        ended = &mut ended => {
            ended.map_err(io::Error::other)??;
            return Ok(None);
        }
        () = stop => AttendedEnd::Stopped,
        () = tokio::time::sleep(timeout) => AttendedEnd::TimedOut,
    };
    // The group has ended already in some cases.
    kill_process_group(Pid::from_child(child), Signal::INT).ok();
    tokio::time::timeout(INTERRUPT_TIMEOUT, ended).await.ok();
    Ok(Some(end))
}

fn own_stderr() -> io::Result<OwnedFd> {
    io::stderr().as_fd().try_clone_to_owned()
}

fn spawn(command: &mut Command, call: &ToolCall) -> Result<Child, ToolError> {
    command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound if call.directory.as_ref().is_none_or(|directory| directory.is_dir()) => {
            ToolError::Missing {
                program: call.program.to_string_lossy().into_owned(),
            }
        }
        _ => unusable(call, &error),
    })
}

fn run(call: &ToolCall) -> Result<ToolOutput, ToolError> {
    let mut child = spawn(&mut command(call)?, call)?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let ended = wait(&mut child, call.timeout).map_err(|error| unusable(call, &error));
    let text = |reader: JoinHandle<Vec<u8>>| {
        let bytes = reader.join().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    match ended? {
        Some(status) => Ok(ToolOutput {
            code: status.code(),
            stdout,
            stderr,
        }),
        None => Err(ToolError::TimedOut {
            call: call.in_words(),
            timeout_s: call.timeout.as_secs(),
        }),
    }
}

fn command(call: &ToolCall) -> Result<Command, ToolError> {
    let input = match &call.input {
        None => Stdio::null(),
        Some(file) => File::open(file).map_err(|error| unusable(call, &error))?.into(),
    };
    let mut command = Command::new(&call.program);
    command
        .args(&call.arguments)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    #[expect(
        clippy::disallowed_methods,
        reason = "only the names are read, to keep settings from other programs"
    )]
    let variables = std::env::vars_os();
    for (name, _) in variables {
        if name.to_string_lossy().starts_with(OWN_PREFIX) {
            command.env_remove(name);
        }
    }
    if let Some(environment) = &call.environment {
        command.env_clear();
        command.envs(environment.iter().map(|(name, value)| (name, value)));
    }
    command.envs(call.variables.iter().map(|(name, value)| (name, value)));
    for (name, secret) in &call.secrets {
        command.env(name, secret.expose_secret());
    }
    if let Some(directory) = &call.directory {
        command.current_dir(directory);
    }
    Ok(command)
}

fn unusable(call: &ToolCall, reason: &dyn std::fmt::Display) -> ToolError {
    ToolError::Unusable {
        call: call.in_words(),
        reason: reason.to_string(),
    }
}

/// Reads an output to its end, so that the program never waits for a reader.
fn drain(output: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut output) = output {
            // What was read before an error is still useful.
            output.by_ref().take(MAX_OUTPUT_BYTES).read_to_end(&mut kept).ok();
            io::copy(&mut output, &mut io::sink()).ok();
        }
        kept
    })
}

/// Waits for the end of a program; returns none after a kill because its time was over.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let in_time = ends_within(child, timeout);
    // The unreaped program still holds the number of its group. This also ends children that it has left behind, which
    // would hold its output open.
    kill_group(child);
    let status = child.wait()?;
    Ok(in_time?.then_some(status))
}

/// Waits for the end of a program without reaping it.
fn ends_within(child: &Child, timeout: Duration) -> io::Result<bool> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    ends_before(&process, Some(Instant::now() + timeout))
}

fn ends_before(process: &OwnedFd, deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let left = deadline.map(|deadline| Timespec::try_from(deadline.saturating_duration_since(Instant::now())));
        let left = left.transpose().map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(process, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            polled => return Ok(polled? > 0),
        }
    }
}

fn kill_group(child: &Child) {
    // The group has ended already in most cases.
    kill_process_group(Pid::from_child(child), Signal::KILL).ok();
}
