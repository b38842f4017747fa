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
use std::io;
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
    if let Err(error) = OpenOptions::new().read(true).write(true).open(KVM) {
        found.extend(without_kvm(settings.qemu.accel, &error));
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

/// Returns the finding about a device of KVM that cannot be opened.
fn without_kvm(accel: Accel, error: &io::Error) -> Option<Finding> {
    let what = format!("{KVM} cannot be opened: {error}");
    let remedy = "enable virtualization in the firmware, load the module kvm_intel or kvm_amd, and add this user to the group kvm";
    match accel {
        Accel::Tcg => None,
        Accel::Auto => Some(warning(format!("{what}, so virtual machines are emulated"), remedy)),
        Accel::Kvm => Some(problem(what, remedy)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::hosts::qemu::settings::tests::settings;
    use crate::config::VmNetwork;
    use crate::domain::finding::Severity;
    use std::fs;
    use std::os::fd::AsRawFd;

    /// Returns what is wrong, each with true if no job can be served.
    fn wrong(settings: &Settings) -> Vec<(bool, String)> {
        let found = inspect(settings).into_iter();
        let wrong = found.filter(|finding| matches!(finding.severity, Severity::Problem | Severity::Warning));
        wrong
            .map(|finding| (finding.severity == Severity::Problem, finding.what))
            .collect()
    }

    #[test]
    fn a_machine_without_an_image_or_an_account_for_qemu_runs_no_jobs() {
        let place = tempfile::tempdir().expect("a directory");
        let mut settings = settings(place.path());
        let contains = |settings: &Settings, is_problem: bool, text: &str| {
            let wrong = wrong(settings);
            let found = wrong
                .iter()
                .any(|(problem, what)| (*problem, what.contains(text)) == (is_problem, true));
            assert!(found, "{text}: {wrong:?}");
        };
        if base::program().is_none() {
            // A machine without QEMU has no further findings.
            return contains(&settings, true, "missing program qemu-system-x86_64");
        }
        contains(&settings, true, "qemu.image: cannot open ");
        let missing = missing(&settings).expect("no image");
        assert_eq!(missing.remedy.as_deref(), Some(NoImage::remedy()));
        fs::create_dir(place.path().join("image")).expect("a folder");
        for name in ["vmlinux", "initrd.img", "root.sqfs"] {
            fs::write(place.path().join("image").join(name), "").expect("a file");
        }
        assert_eq!(super::missing(&settings), None);
        if geteuid().is_root() {
            for (user, is_problem, text) in [
                ("no-such-account", true, "qemu.user: unknown account no-such-account"),
                ("root", false, "QEMU runs under the id of root"),
            ] {
                settings.qemu.user = user.to_owned();
                contains(&settings, is_problem, text);
            }
        }
    }

    #[test]
    fn a_sandbox_or_a_network_that_cannot_be_made_is_a_problem() {
        let place = tempfile::tempdir().expect("a directory");
        let mut settings = settings(place.path());
        let image = place.path().join("image");
        fs::create_dir(&image).expect("a folder");
        for name in ["vmlinux", "initrd.img", "root.sqfs"] {
            fs::write(image.join(name), "").expect("a file");
        }
        if base::program().is_none() {
            return;
        }
        let is_about = |what: &str, settings: &Settings| {
            let wrong = wrong(settings);
            wrong
                .iter()
                .any(|(is_problem, found)| *is_problem && found.starts_with(what))
        };
        let sandbox = "bwrap makes no sandbox for QEMU: ";
        assert!(!is_about(sandbox, &settings) && !is_about("qemu.network: ", &settings));
        settings.qemu.network = VmNetwork::Isolated;
        settings.qemu.network_allow = vec!["nonsense".to_owned()];
        assert!(is_about("qemu.network: ", &settings));
        // It is a file here, and bubblewrap does not inherit it.
        let own = fs::File::open(image.join("vmlinux")).expect("a file");
        let own = rustix::io::fcntl_dupfd_cloexec(&own, 500).expect("a number");
        settings.qemu.kernel = Some(format!("/proc/self/fd/{}", own.as_raw_fd()).into());
        assert!(is_about(sandbox, &settings));
    }

    #[test]
    fn a_machine_without_kvm_runs_jobs_unless_kvm_is_demanded() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let severity = |accel: Accel| without_kvm(accel, &error).map(|finding| finding.severity);
        assert_eq!(severity(Accel::Auto), Some(Severity::Warning));
        assert_eq!(severity(Accel::Kvm), Some(Severity::Problem));
        assert_eq!(severity(Accel::Tcg), None, "it is not used");
    }
}
