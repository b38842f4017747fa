//! The hook's side of the job gate: says which job is about to begin, and waits until it may. Runs inside the environment.

use super::layout::SocketPath;
use super::status::HelloFile;
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

/// What a hook says.
#[derive(Serialize, Deserialize)]
pub(super) struct Line(#[serde(with = "HelloFile")] pub(super) Hello);

/// Asks at the gate's `socket` whether the job may begin, for as long as the answer takes.
///
/// # Errors
/// When it may not, or nobody answers.
pub fn ask(socket: &Path, hello: &Hello) -> Result<(), HookError> {
    let answer = converse(socket, hello).map_err(HookError::Silent)?;
    if answer == GO { Ok(()) } else { Err(HookError::Refused) }
}

fn converse(socket: &Path, hello: &Hello) -> io::Result<String> {
    let path = SocketPath::of(socket)?;
    let mut stream = UnixStream::connect(&path.path)?;
    let line = serde_json::to_string(&Line(hello.clone()))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(GO.len() as u64).read_to_string(&mut answer)?;
    Ok(answer)
}

/// The script that `ACTIONS_RUNNER_HOOK_JOB_STARTED` names. It needs no tool but jitgate itself.
pub(super) fn script(program: &Path, socket: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    format!(
        "#!/bin/sh\n# Made by jitgate: no step of a job runs before this returns.\nexec {} internal hook {}\n",
        quoted(program),
        quoted(socket)
    )
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
