//! The first lock of the job gate: it replaces `bin/Runner.Worker`, asks at the gate, and becomes the real worker once the
//! gate says "go". Nothing of the job has run before, not even the download of its actions.
//!
//! The runner program passes two pipes to its worker and sends the job through the first one. Peeking into that pipe takes
//! nothing out of it, and shows which run to ask GitHub about. The result is a claim, like everything that a guest says.

use super::job_gate::{self, HookError, Lock};
use crate::domain::runner_folder::{REAL_WORKER, WORKER};
use crate::domain::slot::Hello;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::pipe::{SpliceFlags, tee};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first argument of the worker.
const SPAWNCLIENT: &str = "spawnclient";
/// Number of peeks into the pipe before the gate is asked without a hint, and the interval between two.
const MAX_PEEKS: u32 = 10;
const PEEK_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
/// Capacity of a pipe. Of a longer message only the beginning is seen.
const MAX_PEEK_BYTES: usize = 64 * 1024;

/// The worker cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    #[error(transparent)]
    Gate(#[from] HookError),
    #[error("cannot start {program}: {source}; unpack the runner program again, for an image build a new one")]
    Program { program: String, source: io::Error },
}

/// Asks at the gate's `socket` and becomes `program`, with the same arguments and open files. It returns only on failure.
#[must_use]
pub(crate) fn become_worker(socket: &Path, program: &Path, arguments: &[OsString]) -> WorkerError {
    let hello = hint(arguments).unwrap_or_default();
    if let Err(refused) = job_gate::ask_as(Lock::Worker, socket, &hello) {
        return refused.into();
    }
    WorkerError::Program {
        program: program.display().to_string(),
        source: Command::new(program).args(arguments).exec(),
    }
}

/// Puts the stand-in into a copy of the runner program. The job sees that copy, the socket
/// of its gate and jitgate at the paths in `seen`.
pub(crate) fn install_stand_in(copy: &Path, seen: &SeenPaths) -> io::Result<()> {
    let worker = copy.join(WORKER);
    match fs::rename(&worker, copy.join(REAL_WORKER)) {
        // A runner program without a worker starts none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    fs::write(&worker, stand_in_script(seen))?;
    fs::set_permissions(worker, Permissions::from_mode(0o755))
}

/// Returns the script that stands in for the worker.
pub(crate) fn stand_in_script(seen: &SeenPaths) -> String {
    let paths = [&seen.program, &seen.socket, &seen.copy.join(REAL_WORKER)];
    let [program, socket, real] = paths.map(|path| job_gate::quoted(path));
    format!(
        "#!/bin/sh\n# Made by jitgate: the real worker begins once the job gate says \"go\".\n\
         exec {program} internal worker {socket} {real} -- \"$@\"\n"
    )
}

/// Paths as a job sees them.
pub(crate) struct SeenPaths {
    /// jitgate.
    pub(crate) program: PathBuf,
    /// The socket of the job gate.
    pub(crate) socket: PathBuf,
    /// The job's copy of the runner program.
    pub(crate) copy: PathBuf,
}

/// Reads from the message for the worker which job it is for. Returns none if there is no pipe to read from.
fn hint(arguments: &[OsString]) -> Option<Hello> {
    let [first, number, ..] = arguments else { return None };
    let number: u32 = number.to_str()?.parse().ok()?;
    if first != SPAWNCLIENT {
        return None;
    }
    // Opened again, so that the flags of the worker's own end do not change.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = open(format!("/proc/self/fd/{number}"), flags, Mode::empty()).ok()?;
    if FileType::from_raw_mode(fstat(&pipe).ok()?.st_mode) != FileType::Fifo {
        return None;
    }
    let mut seen = Vec::new();
    for _ in 0..MAX_PEEKS {
        let mut readable = [PollFd::new(&pipe, PollFlags::IN)];
        poll(&mut readable, Some(&PEEK_INTERVAL)).ok()?;
        seen = peek(&pipe).unwrap_or_default();
        if is_whole(&seen) {
            break;
        }
        if !seen.is_empty() {
            poll(&mut [], Some(&PEEK_INTERVAL)).ok()?;
        }
    }
    Some(parse(&seen))
}

/// Returns the content of the pipe without taking it out.
fn peek(pipe: &OwnedFd) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = io::pipe()?;
    tee(pipe, &writer, MAX_PEEK_BYTES, SpliceFlags::NONBLOCK)?;
    drop(writer);
    let mut seen = Vec::new();
    reader.read_to_end(&mut seen)?;
    Ok(seen)
}

/// Returns true if this is a whole message: its kind, its length, and text in UTF-16.
fn is_whole(seen: &[u8]) -> bool {
    let length = seen
        .get(4..8)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_le_bytes);
    let whole = length
        .and_then(|length| usize::try_from(length).ok())
        .map(|length| length + 8);
    whole.is_some_and(|whole| seen.len() >= whole.min(MAX_PEEK_BYTES))
}

fn parse(seen: &[u8]) -> Hello {
    let (units, _) = seen.get(8..).unwrap_or_default().as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let text = String::from_utf16_lossy(&units);
    // The runner program writes dictionaries as {"k":"run_id","v":"7"}.
    let value = |key: &str| {
        let (_, rest) = text.split_once(&format!("{{\"k\":\"{key}\",\"v\":\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let is_name = |name: &&str| name.len() <= job_gate::MAX_REPOSITORY_LENGTH && !name.contains(char::is_control);
    Hello {
        repository: value("repository").filter(is_name).map(str::to_owned),
        run_id: value("run_id").and_then(|id| id.parse().ok()),
        run_attempt: value("run_attempt").and_then(|attempt| attempt.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Vec<u8> {
        let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = i32::try_from(text.len()).expect("short").to_le_bytes();
        [&1_i32.to_le_bytes()[..], &length[..], &text[..]].concat()
    }

    #[test]
    fn a_message_says_which_run_to_ask_about_and_nonsense_says_nothing() {
        let whole = message(
            "{\"contextData\":{\"github\":{\"t\":2,\"d\":[{\"k\":\"repository\",\"v\":\"o/r\"},\
             {\"k\":\"run_id\",\"v\":\"42\"},{\"k\":\"run_attempt\",\"v\":\"2\"}]}}}",
        );
        assert!(is_whole(&whole) && !is_whole(&whole[..whole.len() - 1]));
        let hello = Hello {
            repository: Some("o/r".to_owned()),
            run_id: Some(42),
            run_attempt: Some(2),
        };
        assert_eq!(parse(&whole), hello);
        for nonsense in [
            &b""[..],
            b"\x01\x00\x00\x00\xff\xff\xff\xff",
            &message("{\"k\":\"run_id\",\"v\":\"-1\"}"),
            &message("{\"k\":\"run_id\",\"v\":\"1"),
        ] {
            assert_eq!(parse(nonsense), Hello::default());
        }
        assert!(!is_whole(b"\x01\x00\x00\x00\xff\xff\xff\xff"));
    }
}
