//! The answer of a set-up: its steps.

use crate::cli::exit::Failure;
use crate::cli::session::Session;
use crate::domain::units::Step;
use serde_json::{Value, json};
use std::path::Path;

/// The steps that were taken, or that would be taken.
pub(super) struct Report<'a> {
    pub(super) command: &'static str,
    pub(super) is_dry: bool,
    pub(super) steps: &'a [Step],
    pub(super) unit_dir: &'a Path,
}

impl Report<'_> {
    /// Prints the steps.
    pub(super) fn print(&self, session: &Session) -> Result<(), Failure> {
        let steps: Vec<Value> = self.steps.iter().map(|step| self.json(step)).collect();
        let json = json!({"command": self.command, "dry_run": self.is_dry, "changed": !self.is_dry && !steps.is_empty(), "steps": steps});
        session.answer(&json, |out| {
            if self.steps.is_empty() {
                return writeln!(out, "nothing to do: everything is installed and runs");
            }
            for step in self.steps {
                let (action, subject) = self.words(step);
                let verb = if self.is_dry { "would " } else { "" };
                writeln!(out, "{verb}{action} {subject}")?;
            }
            Ok(())
        })
    }

    fn json(&self, step: &Step) -> Value {
        let (action, subject) = self.words(step);
        match step {
            Step::Write(unit) => json!({"action": action, "subject": subject, "text": unit.text()}),
            _ => json!({"action": action, "subject": subject}),
        }
    }

    /// Returns the action and its subject.
    fn words(&self, step: &Step) -> (&'static str, String) {
        match step {
            Step::CreateUser(name) => ("create the account", name.clone()),
            Step::CloseDirectory { path, user } => {
                ("create the directory", format!("{path} (mode 0700, owner {user})"))
            }
            Step::Write(unit) => ("write", self.unit_dir.join(unit.name).display().to_string()),
            Step::Reload => ("reload", "the units of systemd".to_owned()),
            Step::Disable(unit) => ("stop and disable", (*unit).to_owned()),
            Step::Enable(unit) => ("enable and start", (*unit).to_owned()),
            Step::RunOnce(unit) => ("run", (*unit).to_owned()),
            Step::Restart(unit) => ("restart", (*unit).to_owned()),
            Step::RaiseAlert => ("raise the alert", "token-refresh-disabled".to_owned()),
            Step::EndAlert => ("end the alert", "token-refresh-disabled".to_owned()),
        }
    }
}
