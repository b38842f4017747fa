//! `[local]`: runners on this machine, for `runners.host = "local"`.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// The longest user name Linux takes.
const LONGEST_USER: usize = 32;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLocal {
    /// Where actions/runner is unpacked.
    runner_home: PathBuf,
    /// What separates jobs from the machine: bubblewrap, or nothing.
    sandbox: RawSandbox,
    /// Account jobs run as. By default jitgate's own.
    user: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawSandbox {
    Bwrap,
    None,
}

/// Runners on this machine.
#[derive(Debug, Clone)]
pub struct Local {
    /// Where actions/runner is unpacked.
    pub runner_home: PathBuf,
    /// What separates jobs from the machine.
    pub sandbox: Sandbox,
    /// Account jobs run as; jitgate's own when None.
    pub user: Option<String>,
}

/// What separates jobs from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// bubblewrap: their own processes and mounts.
    Bwrap,
    /// Nothing.
    None,
}

impl RawLocal {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Local, Reported> {
        let sandbox = match self.sandbox {
            RawSandbox::Bwrap => Sandbox::Bwrap,
            RawSandbox::None => Sandbox::None,
        };
        if sandbox == Sandbox::None {
            let remedy = "use \"bwrap\"";
            check.warn(
                "local.sandbox",
                "lets jobs see this machine, and leave processes behind",
                remedy,
            );
        }
        let user = self
            .user
            .as_deref()
            .map(|user| check.name("local.user", user, "-_", LONGEST_USER));
        user.transpose()?;
        Ok(Local {
            runner_home: self.runner_home,
            sandbox,
            user: self.user,
        })
    }
}
