//! The name of the person who runs a command, for the records of manual changes.

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

/// Returns true if this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
