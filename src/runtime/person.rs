//! The person who runs a command, for records of what was changed by whom.

use std::process::Command;

/// The login name: that of the session, else that of the account.
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
