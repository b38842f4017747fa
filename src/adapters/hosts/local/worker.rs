//! The first lock of the job gate: it stands in the place of `bin/Runner.Worker`, asks at the gate, and becomes the real
//! worker once that says "go". Nothing of the job has run before, not even the download of its actions.
//!
//! The runner program hands its worker two inherited pipes, and sends the job through the first one. A look into that pipe
//! takes nothing out of it, and tells which run to ask GitHub about. It is a claim like all that comes out of an
//! environment.

use super::hook::{self, HookError, Lock};
use crate::ports::runner_host::Hello;
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

/// What actions/runner calls its worker.
const WORKER: &str = "Runner.Worker";
/// What it is called beside its stand-in. It finds its parts by the folder it lies in.
const REAL: &str = "Runner.Worker.real";
/// The first word that it is started with.
const SPAWNCLIENT: &str = "spawnclient";
/// Looks into the pipe before the gate is asked without a hint, and the pause between two.
const MAX_LOOKS: u32 = 10;
const LOOK_INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
/// What a pipe holds. A longer message is seen in part.
const MAX_SEEN_BYTES: usize = 64 * 1024;

/// The worker does not begin.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The gate did not say "go".
    #[error(transparent)]
    Gate(#[from] HookError),
    /// It may begin, and cannot.
    #[error("{program} cannot be started: {source}; check local.runner_home")]
    Program {
        /// The real worker.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// Asks at the gate's `socket` and becomes `program`, which gets the same words and open files. Returns when it may not.
#[must_use]
pub fn become_worker(socket: &Path, program: &Path, words: &[OsString]) -> WorkerError {
    let hello = hint(words).unwrap_or_default();
    if let Err(refused) = hook::ask_as(Lock::Worker, socket, &hello) {
        return refused.into();
    }
    WorkerError::Program {
        program: program.display().to_string(),
        source: Command::new(program).args(words).exec(),
    }
}

/// Puts the stand-in into a copy of the runner program, which has its worker below `bin`. Where the job sees that copy, the
/// gate's socket and jitgate is said by `seen`.
pub(super) fn stand_in(copy: &Path, seen: &Seen) -> io::Result<()> {
    let place = |name: &str| copy.join("bin").join(name);
    match fs::rename(place(WORKER), place(REAL)) {
        // Such a runner program starts no worker.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    let words = [&seen.program, &seen.socket, &seen.copy.join("bin").join(REAL)];
    let [program, socket, real] = words.map(|path| hook::quoted(path));
    fs::write(
        place(WORKER),
        format!(
            "#!/bin/sh\n# Made by jitgate: the real worker begins once the job gate says \"go\".\n\
             exec {program} internal worker {socket} {real} -- \"$@\"\n"
        ),
    )?;
    fs::set_permissions(place(WORKER), Permissions::from_mode(0o755))
}

/// Where a job finds things.
pub(super) struct Seen {
    /// jitgate.
    pub(super) program: PathBuf,
    /// The socket of its gate.
    pub(super) socket: PathBuf,
    /// Its copy of the runner program.
    pub(super) copy: PathBuf,
}

/// What the message for the worker says of its job; none where there is no message soon.
fn hint(words: &[OsString]) -> Option<Hello> {
    let [first, number, ..] = words else { return None };
    let number: u32 = number.to_str()?.parse().ok()?;
    if first != SPAWNCLIENT {
        return None;
    }
    // Opened anew: the worker's own end stays as it is.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = open(format!("/proc/self/fd/{number}"), flags, Mode::empty()).ok()?;
    if FileType::from_raw_mode(fstat(&pipe).ok()?.st_mode) != FileType::Fifo {
        return None;
    }
    let mut seen = Vec::new();
    for _ in 0..MAX_LOOKS {
        let mut readable = [PollFd::new(&pipe, PollFlags::IN)];
        poll(&mut readable, Some(&LOOK_INTERVAL)).ok()?;
        seen = look(&pipe).unwrap_or_default();
        if is_whole(&seen) {
            break;
        }
        if !seen.is_empty() {
            poll(&mut [], Some(&LOOK_INTERVAL)).ok()?;
        }
    }
    Some(understand(&seen))
}

/// What is in the pipe, which it stays in.
fn look(pipe: &OwnedFd) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = io::pipe()?;
    tee(pipe, &writer, MAX_SEEN_BYTES, SpliceFlags::NONBLOCK)?;
    drop(writer);
    let mut seen = Vec::new();
    reader.read_to_end(&mut seen)?;
    Ok(seen)
}

/// A message is its kind, its length, and text of two bytes a character.
fn is_whole(seen: &[u8]) -> bool {
    let length = seen
        .get(4..8)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_le_bytes);
    let whole = length
        .and_then(|length| usize::try_from(length).ok())
        .map(|length| length + 8);
    whole.is_some_and(|whole| seen.len() >= whole.min(MAX_SEEN_BYTES))
}

fn understand(seen: &[u8]) -> Hello {
    let (units, _) = seen.get(8..).unwrap_or_default().as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let text = String::from_utf16_lossy(&units);
    // In a dictionary of the runner's: {"k":"run_id","v":"7"}.
    let value = |key: &str| {
        let (_, rest) = text.split_once(&format!("{{\"k\":\"{key}\",\"v\":\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let is_name = |name: &&str| name.len() <= hook::LONGEST_REPOSITORY && !name.contains(char::is_control);
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
        assert_eq!(understand(&whole), hello);
        for nonsense in [
            &b""[..],
            b"\x01\x00\x00\x00\xff\xff\xff\xff",
            &message("{\"k\":\"run_id\",\"v\":\"-1\"}"),
            &message("{\"k\":\"run_id\",\"v\":\"1"),
        ] {
            assert_eq!(understand(nonsense), Hello::default());
        }
        assert!(!is_whole(b"\x01\x00\x00\x00\xff\xff\xff\xff"));
    }
}
