//! The environment's side of the job gate: says which job is about to begin, and waits until it may.

use super::layout::SocketPath;
use crate::ports::runner_host::Hello;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What a keeper says to let a job begin.
pub(super) const GO: &str = "go\n";
/// Longest line a hook may say.
pub(super) const LONGEST_HELLO_BYTES: u64 = 4096;

/// The job may not begin.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// There is nobody to ask, or nobody any more.
    #[error("the job gate cannot be asked")]
    Silent(#[source] io::Error),
    /// It was not allowed.
    #[error("this job may not run here")]
    Refused,
}

/// Longer than any name of a repository.
pub(super) const LONGEST_REPOSITORY: usize = 200;

/// Which of the two locks asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Lock {
    /// The stand-in of the worker, before anything of the job has run.
    Worker,
    /// The hook, before the first step.
    #[default]
    Hook,
}

/// What one says: its lock, and what it knows of the job.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    #[serde(default)]
    pub(super) lock: Lock,
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    run_id: Option<u64>,
    #[serde(default)]
    run_attempt: Option<u32>,
}

impl Line {
    fn new(lock: Lock, job: &Hello) -> Self {
        Self {
            lock,
            repository: job.repository.clone(),
            run_id: job.run_id,
            run_attempt: job.run_attempt,
        }
    }

    /// Whether its words are as long as they may be.
    pub(super) fn fits(&self) -> bool {
        let fits = |name: &String| name.len() <= LONGEST_REPOSITORY && !name.contains(char::is_control);
        self.repository.as_ref().is_none_or(fits)
    }

    /// What it says of the job.
    pub(super) fn job(self) -> Hello {
        Hello {
            repository: self.repository,
            run_id: self.run_id,
            run_attempt: self.run_attempt,
        }
    }
}

/// Asks at the gate's `socket` whether the job may begin, for as long as the answer takes.
///
/// # Errors
/// When it may not, or nobody answers.
pub fn ask(socket: &Path, hello: &Hello) -> Result<(), HookError> {
    ask_as(Lock::Hook, socket, hello)
}

/// The same, for one of the two locks.
pub(super) fn ask_as(lock: Lock, socket: &Path, hello: &Hello) -> Result<(), HookError> {
    let answer = converse(lock, socket, hello).map_err(HookError::Silent)?;
    if answer == GO { Ok(()) } else { Err(HookError::Refused) }
}

fn converse(lock: Lock, socket: &Path, hello: &Hello) -> io::Result<String> {
    let path = SocketPath::of(socket)?;
    let mut stream = UnixStream::connect(&path.path)?;
    let line = serde_json::to_string(&Line::new(lock, hello))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(GO.len() as u64).read_to_string(&mut answer)?;
    Ok(answer)
}

/// The script that `ACTIONS_RUNNER_HOOK_JOB_STARTED` names. It needs no tool but jitgate itself.
pub(super) fn script(program: &Path, socket: &Path) -> String {
    format!(
        "#!/bin/sh\n# Made by jitgate: no step of a job runs before this returns.\nexec {} internal hook {}\n",
        quoted(program),
        quoted(socket)
    )
}

/// A path as one word of a shell.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_the_script_are_quoted() {
        let text = script(Path::new("/a b/jitgate"), Path::new("/it's/socket"));
        assert!(
            text.ends_with("exec '/a b/jitgate' internal hook '/it'\\''s/socket'\n"),
            "{text}"
        );
    }
}
