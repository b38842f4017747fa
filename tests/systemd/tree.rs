//! The Debian tree of the containers, made once for the same inputs.

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Packages beside the essential ones.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,ca-certificates";
/// Files that no test needs.
const EXCLUDED: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];

/// Returns the directory for trees.
pub(crate) fn place() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("systemd")
}

/// Returns a command as root.
pub(crate) fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// Runs a command as root to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command, package: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}: install the Debian package `{package}`"));
    let said = String::from_utf8_lossy(&output.stderr);
    let known = "or run ./tests/run packages, which installs it; without root, `sudo -n` must work";
    assert!(
        output.status.success(),
        "{command:?}: {said}\ninstall `{package}`, {known}"
    );
}

/// Returns the release of this machine, whose C library is the one that the program of this build needs.
fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").expect("/etc/os-release");
    let value = |key: &str| {
        let mut lines = release.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    assert_eq!(
        value("ID"),
        "debian",
        "these tests make a tree of the machine's own Debian release"
    );
    value("VERSION_CODENAME")
}

/// Returns the tree, which is made if it does not exist.
pub(crate) fn tree() -> PathBuf {
    let inputs = format!("{} {PACKAGES} {EXCLUDED:?}", suite());
    let digest = hex::encode(Sha256::digest(inputs));
    let (place, tree) = (place(), place().join(format!("tree-{}", &digest[..16])));
    fs::create_dir_all(&place).expect("a directory");
    let lock = File::create(place.join("lock")).expect("a lock");
    flock(&lock, FlockOperation::LockExclusive).expect("the lock");
    if tree.exists() {
        return tree;
    }
    // What a killed run or other inputs left.
    for old in fs::read_dir(&place).expect("a list").flatten() {
        if old.file_name().to_string_lossy().starts_with("tree-") {
            run(as_root("rm").arg("-rf").arg(old.path()), "coreutils");
        }
    }
    let draft = tree.with_extension("new");
    let mut make = as_root("mmdebstrap");
    make.args(["--mode=root", "--variant=minbase", &format!("--include={PACKAGES}")]);
    make.args(EXCLUDED.map(|path| format!("--dpkgopt=path-exclude={path}")));
    run(make.arg(suite()).arg(&draft), "mmdebstrap");
    run(as_root("mv").args([&draft, &tree]), "coreutils");
    tree
}
