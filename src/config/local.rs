//! `[local]`: runners on this machine, for `runners.host = "local"`.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

/// The longest user name Linux takes.
const LONGEST_USER: usize = 32;
/// Replaced in every sandbox, with everything below.
const RESERVED: &[&str] = &["/dev", "/proc", "/runner"];
/// Every job has its own. Paths below can be exposed.
const PRIVATE: &[&str] = &["/tmp", "/var/tmp"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLocal {
    /// Where actions/runner is unpacked.
    runner_home: PathBuf,
    /// What separates jobs from the machine: bubblewrap, or nothing.
    sandbox: RawSandbox,
    /// Account jobs run as. By default jitgate's own.
    user: Option<String>,
    /// Further paths of this machine that jobs can read, beside the system's own.
    expose: Vec<PathBuf>,
    /// Whether jobs of public repositories may run here.
    public_repositories: bool,
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
    /// Further paths of this machine that jobs can read.
    pub expose: Vec<PathBuf>,
    /// Whether jobs of public repositories may run here.
    pub public_repositories: bool,
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
        let exposed = check_exposed(check, &self.expose);
        user.transpose()?;
        exposed?;
        if self.user.is_some() && sandbox == Sandbox::None {
            let remedy = "use local.sandbox = \"bwrap\", or run jitgate itself as that account";
            return Err(check.problem("local.user", "is of no use without a sandbox", remedy));
        }
        Ok(Local {
            runner_home: self.runner_home,
            sandbox,
            user: self.user,
            expose: self.expose,
            public_repositories: self.public_repositories,
        })
    }
}

/// A path that is all of the machine, or that every environment has of its own, is a mistake.
fn check_exposed(check: &mut Check<'_>, paths: &[PathBuf]) -> Result<(), Reported> {
    let is_plain = |path: &Path| {
        let mut parts = path.components();
        parts.next() == Some(Component::RootDir) && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    for path in paths {
        let (what, remedy) = if !is_plain(path) {
            ("is no absolute path", "give a path such as /srv/toolchains, without ..")
        } else if path == Path::new("/") {
            ("is the whole machine", "name the folders that jobs need")
        } else if RESERVED.iter().any(|reserved| path.starts_with(reserved))
            || PRIVATE.iter().any(|private| path == Path::new(private))
        {
            ("is where every job has something of its own", "move it elsewhere")
        } else {
            continue;
        };
        return Err(check.problem("local.expose", format!("{} {what}", path.display()), remedy));
    }
    Ok(())
}
