//! The view of a job on this machine: an allow-list of the system's folders, read-only, without the files in them that are
//! not readable by everyone. Everything else is invisible to it: homes, `/run`, `/var`, the state of jitgate, other jobs.
//!
//! Its network, including abstract sockets, is its own unless the operator configures otherwise: see [`Rules`](crate::adapters::hosts::slots::Rules).

use super::launch::{Command, LAUNCHER};
use super::settings::Settings;
use crate::adapters::hosts::slots::{
    Account, Layout, PROGRAM_FOLDERS, SLOT_VARIABLE, SYSTEM_PATH, SandboxOptions, SeenPaths, SlotDir, lose_rights,
    path_text, resolver_file,
};
use crate::config::{Network, Sandbox};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

/// Folders with settings, and with programs that are not the system's.
const MORE_FOLDERS: [&str; 3] = ["/etc", "/opt", "/nix"];
/// Exposed folders with files of this machine instead of its packages. Files that are not readable by everyone are hidden
/// there, as in `local.expose`.
const LOCAL: &[&str] = &["/etc", "/opt", "/usr/local"];
/// Entries of `/proc` that control the kernel. The id of root can write there without a privilege, and bubblewrap does not
/// prevent it.
const KERNEL: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/bus",
    "/proc/driver",
    "/proc/fs",
    "/proc/irq",
    "/proc/mtrr",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/timer_stats",
    "/proc/tty",
];
/// Runs before a job that has the id of root. The nodes in `/dev` are those of the machine: after this they can still be
/// written to, but their modes and owners cannot be changed.
const CLOSE_DEVICES: &str = "for node in null zero full random urandom tty; do
  mount -o remount,bind,ro \"/dev/$node\" || exit 1
done
exec \"$@\"";
/// The settings of jitgate, which are always hidden.
const OWN_SETTINGS: &str = "/etc/jitgate";
/// Paths in the sandbox: the home directory, the runner program, the job gate and jitgate.
const HOME: &str = "/runner/home";
const RUNNER: &str = "/runner/actions-runner";
const GATE: &str = "/runner/gate";
const PROGRAM: &str = "/runner/jitgate";

/// Returns the paths as the job in a slot sees them.
pub(super) fn seen_paths(settings: &Settings, layout: &Layout, slot: &SlotDir) -> SeenPaths {
    match settings.local.sandbox {
        Sandbox::Bwrap => SeenPaths {
            program: PathBuf::from(PROGRAM),
            socket: Path::new(GATE).join("socket"),
            copy: PathBuf::from(RUNNER),
        },
        Sandbox::None => SeenPaths {
            program: layout.program(),
            socket: slot.gate_socket(),
            copy: slot.runner(),
        },
    }
}

/// Returns the command of a slot, or a message that says why there is none.
pub(super) fn command(
    settings: &Settings,
    layout: &Layout,
    slot: &SlotDir,
    account: &Account,
) -> Result<Command, String> {
    let launcher = ["bash", "-c", LAUNCHER].map(str::to_owned);
    let (sandbox, words, folders) = match settings.local.sandbox {
        Sandbox::Bwrap => {
            let mut options = options(settings, Some(&slot.tmp()))?;
            expose_slot(settings, layout, slot, &mut options)?;
            let words = [become_account(account), launcher.to_vec()].concat();
            (
                Some(options.into_words()),
                words,
                [HOME, RUNNER, "/tmp", GATE].map(PathBuf::from),
            )
        }
        Sandbox::None => {
            // The first process dies with its keeper. The host finds the others by their mark.
            let alone = ["setpriv", "--pdeathsig", "KILL", "--", "setsid", "--"].map(str::to_owned);
            let folders = [slot.home(), slot.runner(), slot.tmp(), slot.gate()];
            (None, [alone.to_vec(), launcher.to_vec()].concat(), folders)
        }
    };
    let [home, runner, tmp, gate] = folders;
    let mut variables = BTreeMap::from([
        (
            "ACTIONS_RUNNER_HOOK_JOB_STARTED",
            path_text(&gate.join("job-started.sh"))?,
        ),
        ("HOME", path_text(&home)?),
        ("LANG", "C.UTF-8".to_owned()),
        ("LOGNAME", account.name.clone()),
        ("PATH", SYSTEM_PATH.to_owned()),
        ("TMPDIR", path_text(&tmp)?),
        ("USER", account.name.clone()),
        (SLOT_VARIABLE, slot.name()),
    ]);
    if account.is_root() {
        // actions/runner refuses root otherwise. The operator has configured it.
        variables.insert("RUNNER_ALLOW_RUNASROOT", "1".to_owned());
    }
    Ok(Command {
        sandbox,
        words,
        variables: variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        folder: runner,
    })
}

/// Returns the prefix of a command that runs as the account, without any privilege.
pub(super) fn become_account(account: &Account) -> Vec<String> {
    if !Account::own().is_root() {
        // bubblewrap leaves no privilege.
        return Vec::new();
    }
    if account.is_root() {
        let closing = ["bash", "-c", CLOSE_DEVICES, "bash"].map(str::to_owned);
        return [closing.to_vec(), lose_rights(Vec::new())].concat();
    }
    lose_rights(vec![
        format!("--reuid={}", account.uid),
        format!("--regid={}", account.gid),
        "--init-groups".to_owned(),
    ])
}

/// Returns bubblewrap's options for the view of a job on the machine. The job's `/tmp` comes before the exposed paths, which
/// may be below it.
pub(super) fn options(settings: &Settings, tmp: Option<&Path>) -> Result<SandboxOptions, String> {
    let own = Account::own();
    let by_root = own.is_root();
    let mut options = SandboxOptions::begin(by_root);
    if by_root {
        if settings.local.user.as_deref() == Some("root") {
            options.add(&["--cap-add", "CAP_SYS_ADMIN"]);
        }
    } else {
        // With its own network, it starts as root of a namespace that jitgate made.
        options.add(&["--uid", &own.uid.to_string(), "--gid", &own.gid.to_string()]);
        if can_close_namespaces() {
            options.add(&["--disable-userns"]);
        }
    }
    if settings.local.network == Network::None {
        options.add(&["--unshare-net"]);
    }
    let mut exposed = options.expose(&PROGRAM_FOLDERS)?;
    exposed.extend(options.expose(&MORE_FOLDERS)?);
    options.add(&["--proc", "/proc", "--dev", "/dev", "--dir", "/run", "--dir", "/var"]);
    if let Some(tmp) = tmp {
        options.bind("--bind", tmp, Path::new("/tmp"))?;
        options.bind("--bind", tmp, Path::new("/var/tmp"))?;
    }
    exposed.extend(expose_configured(settings, &mut options)?);
    for path in KERNEL.iter().map(Path::new).filter(|path| by_root && path.exists()) {
        options.bind("--ro-bind", path, path)?;
    }
    // The resolver configuration is often a link to /run.
    if let Some(resolver) = resolver()
        && !exposed.iter().any(|tree| resolver.starts_with(tree))
    {
        make_folders_above(&resolver, &mut options)?;
        options.bind("--ro-bind", &resolver, &resolver)?;
    }
    hide(settings, &exposed, &mut options)?;
    Ok(options)
}

/// Returns true if this bubblewrap can forbid user namespaces in the sandbox, in addition to the filter of system calls.
fn can_close_namespaces() -> bool {
    let help = process::Command::new("bwrap").arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--disable-userns"))
}

/// Returns the path of the resolver configuration.
fn resolver() -> Option<PathBuf> {
    Path::new("/etc/resolv.conf").canonicalize().ok()
}

/// Exposes the paths in `local.expose`, and returns them.
fn expose_configured(settings: &Settings, options: &mut SandboxOptions) -> Result<Vec<PathBuf>, String> {
    let mut exposed = Vec::new();
    let hidden = hidden(settings);
    for path in &settings.local.expose {
        let real = path.canonicalize();
        let real = real.map_err(|error| format!("local.expose: cannot expose {}: {error}", path.display()))?;
        if hidden.iter().any(|hidden| real.starts_with(hidden)) {
            return Err(format!("local.expose: {} must stay hidden from jobs", path.display()));
        }
        make_folders_above(path, options)?;
        options.bind("--ro-bind", &real, path)?;
        exposed.push(path.clone());
    }
    Ok(exposed)
}

/// Returns the paths that no job may see: without links, and only those that exist.
fn hidden(settings: &Settings) -> Vec<PathBuf> {
    let own = [
        Path::new(OWN_SETTINGS),
        &settings.state_dir,
        &settings.local.runner_home,
    ];
    let configured = settings.hidden.iter().map(PathBuf::as_path);
    let real = own
        .into_iter()
        .chain(configured)
        .filter_map(|path| path.canonicalize().ok());
    real.collect()
}

/// Hides, in the exposed folders, the configured paths and the files that are not readable by everyone: a job may run under
/// the id that owns them.
fn hide(settings: &Settings, exposed: &[PathBuf], options: &mut SandboxOptions) -> Result<(), String> {
    let mut hidden = hidden(settings);
    // A file would become visible when it is replaced; its folder is not replaced.
    let files = hidden.iter().filter(|path| !path.is_dir());
    let folders: Vec<PathBuf> = files.filter_map(|path| Some(path.parent()?.to_owned())).collect();
    hidden.extend(folders);
    let configured = settings.local.expose.iter().filter_map(|path| path.canonicalize().ok());
    for folder in LOCAL.iter().map(PathBuf::from).chain(configured) {
        hidden.extend(closed_below(&folder));
    }
    // Translates each path to the name under which it is exposed.
    let mut seen: Vec<(PathBuf, bool)> = Vec::new();
    for tree in exposed {
        let Ok(real) = tree.canonicalize() else {
            continue;
        };
        // An exposed folder itself is never hidden, only paths in it.
        let inside = |path: &PathBuf| Some(path.strip_prefix(&real).ok()?.to_owned());
        let inner = hidden.iter().filter(|path| **path != real);
        seen.extend(inner.filter_map(|path| Some((tree.join(inside(path)?), path.is_dir()))));
    }
    // Outer folders first: paths in a hidden folder do not exist for the job.
    seen.sort();
    seen.dedup();
    let mut done: Vec<PathBuf> = Vec::new();
    for (path, is_folder) in seen {
        if done.iter().any(|outer| path.starts_with(outer)) {
            continue;
        }
        if is_folder {
            options.add(&["--perms", "0555", "--tmpfs", &path_text(&path)?]);
            options.add(&["--remount-ro", &path_text(&path)?]);
        } else {
            options.bind("--ro-bind", Path::new("/dev/null"), &path)?;
        }
        done.push(path);
    }
    Ok(())
}

/// Returns the files and folders below `folder` that are not readable by everyone.
fn closed_below(folder: &Path) -> Vec<PathBuf> {
    let mut closed = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let mode = metadata.permissions().mode();
            let needed = if metadata.is_dir() { 0o005 } else { 0o004 };
            if metadata.is_symlink() {
                // Its target is checked in its own folder.
            } else if mode & needed != needed {
                closed.push(entry.path());
            } else if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    closed
}

/// Exposes the files of one slot.
fn expose_slot(
    settings: &Settings,
    layout: &Layout,
    slot: &SlotDir,
    options: &mut SandboxOptions,
) -> Result<(), String> {
    if settings.network_rules().is_some()
        && let Some(resolver) = resolver()
    {
        options.bind("--ro-bind", &resolver_file(slot), &resolver)?;
    }
    make_folders_above(Path::new(HOME), options)?;
    options.bind("--bind", &slot.home(), Path::new(HOME))?;
    options.bind("--bind", &slot.runner(), Path::new(RUNNER))?;
    options.bind("--ro-bind", &slot.gate(), Path::new(GATE))?;
    options.bind("--ro-bind", &layout.program(), Path::new(PROGRAM))?;
    options.add(&["--remount-ro", "/", "--chdir", RUNNER]);
    Ok(())
}

/// Makes the folders above a path: bubblewrap itself would make them accessible to root only.
fn make_folders_above(path: &Path, options: &mut SandboxOptions) -> Result<(), String> {
    let above: Vec<&Path> = path
        .ancestors()
        .skip(1)
        .filter(|path| path.parent().is_some())
        .collect();
    for folder in above.into_iter().rev() {
        options.add(&["--dir", &path_text(folder)?]);
    }
    Ok(())
}
