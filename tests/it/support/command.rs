//! A `jitgate` command that runs to its end.

use serde_json::Value;
use std::process::Command;

/// Commands that need a machine with systemd, a runner program, an image or a browser. Tests that go through all commands leave
/// them to the tests of their subjects: own runners to `base_runners`, images to `commands/image`, units to the tests of
/// `setup`, and the App to `commands/setup_app`.
pub(crate) const NEED_A_MACHINE: [&str; 10] = [
    "image build",
    "image prune",
    "runner recover",
    "runner register",
    "runner run",
    "setup app",
    "setup reconcile-timer",
    "setup recovery",
    "setup supervisor",
    "setup token-refresh",
];

/// The result of a command.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    /// Runs a command.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("jitgate runs");
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).expect("JSON on stdout")
    }
}

/// `jitgate` with these arguments and an empty environment.
pub(crate) fn jitgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jitgate"));
    command.args(args).env_clear();
    command
}

/// Returns the search path of this process, with which a command finds the programs of this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "a command of the tests needs the same programs"
)]
pub(crate) fn search_path() -> String {
    std::env::var("PATH").expect("a search path")
}
