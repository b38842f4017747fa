//! The inspection of this machine: reports whether it can run virtual machines as configured, at start and when a configuration
//! is checked.

use super::accelerator::KVM;
use super::base;
use super::command::{self, Places};
use super::image::{Image, NoImage};
use super::settings::Settings;
use crate::adapters::hosts::slots::{self, Account, SYSTEM_PATH};
use crate::config::Accel;
use crate::domain::finding::{Finding, Subject};
use rustix::process::geteuid;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs beside QEMU, and their Debian packages.
const PROGRAMS: [(&str, &str); 4] = [
    ("bwrap", "bubblewrap"),
    ("mke2fs", "e2fsprogs"),
    ("prlimit", "util-linux"),
    ("setpriv", "util-linux"),
];

/// Inspects the machine, and makes a sandbox and a network as a trial. It leaves nothing behind, and starts no machine: that is
/// tried when the first slot boots.
#[must_use]
pub fn inspect(settings: &Settings) -> Vec<Finding> {
    let mut found: Vec<Finding> = missing(settings).into_iter().collect();
    let account = Account::named(&settings.qemu.user);
    if geteuid().is_root() {
        match account {
            None => found.push(problem(
                format!("qemu.user: unknown account {}", settings.qemu.user),
                "create it (useradd --system NAME), or name another",
            )),
            Some(account) if account.is_root() => found.push(warning(
                "QEMU runs under the id of root, which owns this machine",
                "set qemu.user to an account that owns nothing",
            )),
            Some(_) => {}
        }
    }
    if found.is_empty() {
        found.extend(try_sandbox(settings).err());
        found.extend(try_network(settings).err());
    }
    if settings.qemu.accel != Accel::Tcg
        && let Err(error) = OpenOptions::new().read(true).write(true).open(KVM)
    {
        let what = format!("{KVM} cannot be opened: {error}");
        let remedy = "enable virtualization in the firmware, load the module kvm_intel or kvm_amd, and add this user to the \
                      group kvm";
        found.push(match settings.qemu.accel {
            Accel::Kvm => problem(what, remedy),
            Accel::Auto | Accel::Tcg => warning(format!("{what}, so virtual machines are emulated"), remedy),
        });
    }
    if let Err(error) = slots::try_limits(settings.default_shape().limits()) {
        found.push(warning(
            format!("QEMU runs without a control group: {error}"),
            "run jitgate as root, or as a unit with Delegate=yes and DelegateSubgroup=gate (systemd 254)",
        ));
    }
    found
}

/// Returns a problem if a program or the image is missing.
pub(super) fn missing(settings: &Settings) -> Option<Finding> {
    if std::env::consts::ARCH != "x86_64" {
        let what = format!(
            "runners.host = \"qemu\": virtual machines are not supported on {}",
            std::env::consts::ARCH
        );
        return Some(problem(what, "use \"local\""));
    }
    let install = |program: &str, package: &str| {
        problem(
            format!("missing program {program}"),
            format!("install the Debian package `{package}`"),
        )
    };
    if base::program().is_none() {
        return Some(install(command::PROGRAM, "qemu-system-x86"));
    }
    let is_missing = |program: &str| {
        !SYSTEM_PATH
            .split(':')
            .any(|folder| Path::new(folder).join(program).is_file())
    };
    if let Some((program, package)) = PROGRAMS.into_iter().find(|(program, _)| is_missing(program)) {
        return Some(install(program, package));
    }
    let image = Image::find(settings).err()?;
    Some(problem(image.to_string(), NoImage::remedy()))
}

fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::problem(Subject::Host, what, remedy)
}

fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::warning(Subject::Host, what, remedy)
}

/// Makes a network as a trial.
fn try_network(settings: &Settings) -> Result<(), Finding> {
    let Some(rules) = settings.network_rules() else {
        return Ok(());
    };
    slots::try_network(&rules).map_err(|error| {
        problem(
            format!("qemu.network: {error}"),
            "let this account create namespaces and open /dev/net/tun (a unit needs RestrictNamespaces= and DeviceAllow= to \
             permit them), or set qemu.network = \"none\"",
        )
    })
}

/// Starts QEMU's version in the sandbox of a machine, as a trial.
fn try_sandbox(settings: &Settings) -> Result<(), Finding> {
    let broken = |what: String| {
        problem(
            format!("bwrap makes no sandbox for QEMU: {what}"),
            "allow user namespaces for this account (a unit needs RestrictNamespaces= to permit them), or run jitgate as root",
        )
    };
    let Ok(image) = Image::find(settings) else {
        return Ok(());
    };
    let vm = base::emulated(settings, &image, settings.default_shape(), String::new());
    let nothing = PathBuf::from("/dev/null");
    let places = Places {
        name: "trial",
        scratch: &nothing,
        resolver: None,
        is_alone: true,
    };
    let options = command::sandbox(&vm, places, geteuid().is_root()).map_err(broken)?;
    let tried = Command::new("bwrap")
        .args(options)
        .args(["--", command::PROGRAM, "--version"])
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .output();
    match tried {
        Err(error) => Err(broken(error.to_string())),
        Ok(output) if !output.status.success() => {
            Err(broken(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
        Ok(_) => Ok(()),
    }
}
