//! Whether this machine can run jobs as configured: asked at start, and by whoever checks a configuration.

use super::account::Account;
use super::limits::Limits;
use super::network::Rules;
use super::settings::Settings;
use super::{launch, limits, network, sandbox, seccomp};
use crate::adapters::hosts::slots::SYSTEM_PATH;
use crate::config::{Network, Sandbox};
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Something is missing, or risky.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What it is about.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for Complaint {}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// No runner can be made because of these.
    pub problems: Vec<Complaint>,
    /// These are risky.
    pub warnings: Vec<Complaint>,
}

/// Looks at the machine, and starts a sandbox for a moment. Nothing is left behind.
#[must_use]
pub fn inspect(settings: &Settings) -> Inspection {
    let mut found = Inspection::default();
    let mut account = Ok(Account::own());
    if let Some(name) = &settings.local.user {
        account = Account::named(name).ok_or_else(|| Complaint {
            what: format!("local.user: there is no account {name}"),
            remedy: format!("make it (useradd --system {name}), or name another"),
        });
    }
    let own = Account::own();
    if own.is_root() && settings.local.user.is_none() {
        found.problems.push(Complaint {
            what: "local.user is not set, and this is root: jobs would run under the id that owns this machine"
                .to_owned(),
            remedy:
                "set local.user to an account that owns nothing (useradd --system runner), or to \"root\" where that \
                     is meant"
                    .to_owned(),
        });
    }
    match account {
        Err(complaint) => found.problems.push(complaint),
        Ok(account) if !account.is_own() && !own.is_root() => found.problems.push(Complaint {
            what: format!(
                "local.user: only root can run jobs as {}, and this is {}",
                account.name, own.name
            ),
            remedy: format!("run jitgate as root, or as {} itself without local.user", account.name),
        }),
        Ok(account) => {
            if account.is_root() && settings.local.user.is_some() {
                found.warnings.push(Complaint {
                    what: "jobs run under the id of root, which owns this machine".to_owned(),
                    remedy: "set local.user to an account of their own".to_owned(),
                });
            }
            found.problems.extend(try_sandbox(settings, &account).err());
            found.problems.extend(try_network(settings).err());
            found.problems.extend(try_limits(settings).err());
        }
    }
    if settings.local.network == Network::Host && settings.local.sandbox == Sandbox::Bwrap {
        found.warnings.push(Complaint {
            what: "local.network = \"host\" lets jobs reach what listens on this machine and around it".to_owned(),
            remedy: "use \"isolated\"".to_owned(),
        });
    }
    if settings.local.sandbox == Sandbox::Bwrap && seccomp::filter().is_none() {
        found.warnings.push(Complaint {
            what: format!("no filter of system calls is known for {}", std::env::consts::ARCH),
            remedy: "run jobs on x86_64 or aarch64: elsewhere they can leave keys in the kernel".to_owned(),
        });
    }
    if settings.local.sandbox == Sandbox::None {
        found.warnings.push(Complaint {
            what: "local.sandbox = \"none\" hides nothing of this machine from jobs, jitgate's secrets included"
                .to_owned(),
            remedy: "use \"bwrap\"".to_owned(),
        });
    }
    found.problems.extend(missing_runner(&settings.local.runner_home));
    found
}

/// What is missing of the runner program.
pub(super) fn missing_runner(home: &Path) -> Option<Complaint> {
    let script = home.join("run.sh");
    let metadata = script.metadata().ok();
    let runs = metadata.is_some_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
    (!runs).then(|| Complaint {
        what: format!("local.runner_home: there is no program {}", script.display()),
        remedy: "unpack a release of https://github.com/actions/runner there".to_owned(),
    })
}

/// Makes a network for a moment.
fn try_network(settings: &Settings) -> Result<(), Complaint> {
    let Some(rules) = Rules::of(settings) else {
        return Ok(());
    };
    network::try_it(&rules).map_err(|error| Complaint {
        what: format!("local.network: {error}"),
        remedy: "let this account make namespaces and open /dev/net/tun (a unit needs RestrictNamespaces= and \
                 DeviceAllow= to let them through), or set local.network = \"host\""
            .to_owned(),
    })
}

/// Makes a control group for a moment.
fn try_limits(settings: &Settings) -> Result<(), Complaint> {
    limits::try_it(Limits::of(settings)).map_err(|error| Complaint {
        what: format!("local.memory_mib, local.pids and local.cpus cannot be held: {error}"),
        remedy:
            "run jitgate as root, or as a unit with Delegate=yes and DelegateSubgroup=gate (systemd 254), or leave \
                 them out"
                .to_owned(),
    })
}

/// Starts a sandbox with a program that does nothing.
fn try_sandbox(settings: &Settings, account: &Account) -> Result<(), Complaint> {
    if settings.local.sandbox == Sandbox::None {
        return Ok(());
    }
    let broken = |what: String| Complaint {
        what,
        remedy:
            "allow user namespaces for this account (a unit needs RestrictNamespaces= to let them through), or run \
                 jitgate as root with local.user"
                .to_owned(),
    };
    let mut options = sandbox::options(settings, None).map_err(|what| Complaint {
        what,
        remedy: "correct local.expose".to_owned(),
    })?;
    let filter = launch::filter().map_err(|error| broken(format!("local.sandbox: {error}")))?;
    options.extend(launch::filtered(filter.as_ref()));
    options.extend(sandbox::become_account(account));
    options.push("true".to_owned());
    let output = Command::new("bwrap")
        .args(options)
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .output();
    match output {
        Err(error) => Err(Complaint {
            what: format!("local.sandbox: bwrap does not run: {error}"),
            remedy: "install the Debian package `bubblewrap`".to_owned(),
        }),
        Ok(output) if !output.status.success() => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(broken(format!(
                "local.sandbox: bwrap makes no sandbox: {}",
                said.trim()
            )))
        }
        Ok(_) => Ok(()),
    }
}
