//! The inspection of this machine: reports whether it can run jobs as configured, at start and when a configuration is
//! checked.

use super::settings::Settings;
use super::{launch, sandbox, seccomp};
use crate::adapters::hosts::slots::{self, Account, SYSTEM_PATH};
use crate::config::{Network, Sandbox};
use crate::domain::finding::{Finding, Subject};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Inspects the machine, and starts a sandbox as a trial. It leaves nothing behind.
#[must_use]
pub fn inspect(settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut account = Ok(Account::own());
    if let Some(name) = &settings.local.user {
        account = Account::named(name).ok_or_else(|| {
            problem(
                format!("local.user: unknown account {name}"),
                format!("create it (useradd --system {name}), or name another"),
            )
        });
    }
    let own = Account::own();
    if own.is_root() && settings.local.user.is_none() {
        found.push(problem(
            "local.user is not set and jitgate runs as root: jobs would run under the id that owns this machine",
            "set local.user to an account that owns nothing (useradd --system runner), or to \"root\" if that is \
             intended",
        ));
    }
    match account {
        Err(problem) => found.push(problem),
        Ok(account) if !account.is_own() && !own.is_root() => found.push(problem(
            format!(
                "local.user: only root can run jobs as {}, and jitgate runs as {}",
                account.name, own.name
            ),
            format!("run jitgate as root, or as {} itself without local.user", account.name),
        )),
        Ok(account) => {
            if account.is_root() && settings.local.user.is_some() {
                found.push(warning(
                    "jobs run under the id of root, which owns this machine",
                    "set local.user to an account of their own",
                ));
            }
            found.extend(try_sandbox(settings, &account).err());
            found.extend(try_network(settings).err());
            found.extend(try_limits(settings).err());
        }
    }
    if settings.local.network == Network::Host && settings.local.sandbox == Sandbox::Bwrap {
        found.push(warning(
            "local.network = \"host\" lets jobs connect to services on this machine and in its network",
            "use \"isolated\"",
        ));
    }
    if settings.local.sandbox == Sandbox::Bwrap && seccomp::filter().is_none() {
        found.push(warning(
            format!("there is no filter of system calls for {}", std::env::consts::ARCH),
            "run jobs on x86_64 or aarch64: elsewhere they can leave keys in the kernel",
        ));
    }
    if settings.local.sandbox == Sandbox::None {
        found.push(warning(
            "local.sandbox = \"none\" hides nothing of this machine from jobs, including the secrets of jitgate",
            "use \"bwrap\"",
        ));
    }
    found.extend(missing_runner(&settings.local.runner_home));
    found
}

fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::problem(Subject::Host, what, remedy)
}

fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::warning(Subject::Host, what, remedy)
}

/// Returns a problem if the runner program is missing.
pub(super) fn missing_runner(home: &Path) -> Option<Finding> {
    let script = home.join("run.sh");
    let metadata = script.metadata().ok();
    let runs = metadata.is_some_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
    (!runs).then(|| {
        problem(
            format!("local.runner_home: missing program {}", script.display()),
            "unpack a release of https://github.com/actions/runner there",
        )
    })
}

/// Makes a network as a trial.
fn try_network(settings: &Settings) -> Result<(), Finding> {
    let Some(rules) = settings.network_rules() else {
        return Ok(());
    };
    slots::try_network(&rules).map_err(|error| {
        problem(
            format!("local.network: {error}"),
            "let this account create namespaces and open /dev/net/tun (a unit needs RestrictNamespaces= and \
             DeviceAllow= to permit them), or set local.network = \"host\"",
        )
    })
}

/// Makes a control group as a trial.
fn try_limits(settings: &Settings) -> Result<(), Finding> {
    slots::try_limits(settings.limits()).map_err(|error| {
        problem(
            format!("local.memory_mib, local.pids and local.cpus cannot be enforced: {error}"),
            "run jitgate as root, or as a unit with Delegate=yes and DelegateSubgroup=gate (systemd 254), or remove \
             them",
        )
    })
}

/// Starts a sandbox with a program that does nothing, as a trial.
fn try_sandbox(settings: &Settings, account: &Account) -> Result<(), Finding> {
    if settings.local.sandbox == Sandbox::None {
        return Ok(());
    }
    let broken = |what: String| {
        problem(
            what,
            "allow user namespaces for this account (a unit needs RestrictNamespaces= to permit them), or run jitgate \
             as root with local.user",
        )
    };
    let options = sandbox::options(settings, None).map_err(|what| problem(what, "correct local.expose"))?;
    let filter = launch::filter().map_err(|error| broken(format!("local.sandbox: {error}")))?;
    let mut options = options.into_words();
    options.extend(launch::filtered(filter.as_ref()));
    options.extend(sandbox::become_account(account));
    options.push("true".to_owned());
    let output = Command::new("bwrap")
        .args(options)
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .output();
    match output {
        Err(error) => Err(problem(
            format!("local.sandbox: bwrap does not run: {error}"),
            "install the Debian package `bubblewrap`",
        )),
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
