//! Ties mmdebstrap to this process: it ends when this process ends, also when this process is killed.
//!
//! As root, mmdebstrap mounts folders of this machine, such as `/dev/shm`, in the folder in which it works. The next build
//! removes that folder with its content, so mmdebstrap mounts nothing outside of a namespace that ends with it.

use crate::ports::Tools;
use crate::ports::tools::ToolCall;
use std::ffi::OsString;
use std::time::Duration;

/// Namespaces for mounts and processes. Their first process dies with this process. The kernel then kills all others and
/// removes the mounts.
const NAMESPACES: [&str; 9] = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "--",
    "unshare",
    "--mount-proc",
    "--pid",
    "--kill-child",
    "--",
];
/// The first process of a namespace ignores signals for which it has no handler, so it is this shell.
const FIRST: [&str; 4] = ["sh", "-c", "\"$@\"; exit $?", "sh"];
/// Without root, mmdebstrap makes namespaces itself. Its process group gets a signal, so that it can remove the files that
/// belong to the accounts of its namespace.
const GROUP: [&str; 7] = [
    "setpriv",
    "--pdeathsig",
    "TERM",
    "--",
    "timeout",
    "--kill-after=15",
    "0",
];
/// The option of mmdebstrap for a machine on which root may make no namespaces, as in most containers.
const NO_MOUNTS: &str = "--skip=chroot/mount";
/// Time in which namespaces are made.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the call of mmdebstrap with its tie.
pub(super) async fn tied(tools: &dyn Tools, call: ToolCall, is_root: bool) -> ToolCall {
    if !is_root {
        prefixed(&GROUP, call)
    } else if has_namespaces(tools).await {
        prefixed(&[&NAMESPACES[..], &FIRST].concat(), call)
    } else {
        prefixed(&GROUP, call.arg(NO_MOUNTS))
    }
}

async fn has_namespaces(tools: &dyn Tools) -> bool {
    let trial = prefixed(&NAMESPACES, ToolCall::new("true", TRIAL_TIMEOUT));
    tools.run(&trial).await.is_ok_and(|output| output.is_success())
}

fn prefixed(words: &[&str], call: ToolCall) -> ToolCall {
    let mut words = words.iter().map(OsString::from).chain([call.program.clone()]);
    let program = words.next().unwrap_or_default();
    let arguments = words.chain(call.arguments.iter().cloned()).collect();
    ToolCall {
        program,
        arguments,
        ..call
    }
}
