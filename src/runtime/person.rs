//! The person and the machine that run a command: the login name for the records of manual changes, the user id, the name
//! of the machine.

use std::fs;
use std::process::Command;

/// Returns the login name of the session, or else of the account.
#[must_use]
pub fn login_name() -> String {
    let ask = |command: &mut Command| {
        let output = command.output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !name.is_empty()).then_some(name)
    };
    ask(&mut Command::new("logname"))
        .or_else(|| ask(Command::new("id").arg("-un")))
        .unwrap_or_else(|| format!("user {}", rustix::process::getuid().as_raw()))
}

/// Returns the user id of this process.
#[must_use]
pub fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns the name of a runner of this machine that has no name yet.
#[must_use]
pub fn default_runner_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().split('.').next().unwrap_or_default().to_owned();
    format!("chem-base-{}", if host.is_empty() { "runner" } else { &host })
}

/// Returns true if this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
