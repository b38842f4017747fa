//! The limits of a job: memory, processes and processors, which the kernel enforces in the job's own control group (version
//! 2, or 1 if it has the controller). The group is removed with the job. Disk is limited by the host.
//!
//! Root can make a group, and so can an account to which systemd delegates a part of the tree (`Delegate=yes` and
//! `DelegateSubgroup=`). If no group can be made, no limited job runs.

use super::layout::SlotDir;
use super::process::{ProcessId, children_of};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The mount point of control groups.
const ROOT: &str = "/sys/fs/cgroup";
/// The prefix of a group's name, before the name of its slot.
const PREFIX: &str = "jitgate-";
/// The period of the processor quota, in microseconds.
const PERIOD_US: u64 = 100_000;

/// The limits that the operator has set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) memory_mib: Option<u64>,
    pub(crate) pids: Option<u64>,
    pub(crate) cpus: Option<u64>,
    pub(crate) disk_mib: Option<u64>,
}

/// A limit cannot be enforced on this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitError {
    #[error("missing cgroup controller {0} in {1}")]
    NoController(&'static str, String),
    #[error("cannot use {path} for the limits of a job: {source}")]
    Closed { path: String, source: io::Error },
}

/// The control group of one job, in each tree that limits something.
#[derive(Debug, Default)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
}

/// A file, and the number and text that are written into it. A file whose name ends in `?` is optional.
type Setting = (&'static str, u64, &'static str);

/// A folder of a group, and the settings in its files.
struct Part {
    folder: PathBuf,
    files: Vec<Setting>,
}

impl Limits {
    /// Returns the settings of each controller, in version 1 or 2.
    fn files(self, version: u8) -> Vec<(&'static str, Vec<Setting>)> {
        let bytes = self.memory_mib.map(|mib| mib.saturating_mul(1024 * 1024));
        let quota = self.cpus.map(|cpus| cpus.saturating_mul(PERIOD_US));
        let all = if version == 2 {
            [
                (
                    "memory",
                    bytes.map(|bytes| {
                        vec![
                            ("memory.max", bytes, ""),
                            ("memory.swap.max?", 0, ""),
                            ("memory.oom.group?", 1, ""),
                        ]
                    }),
                ),
                ("pids", self.pids.map(|pids| vec![("pids.max", pids, "")])),
                ("cpu", quota.map(|quota| vec![("cpu.max", quota, " 100000")])),
            ]
        } else {
            [
                (
                    "memory",
                    bytes.map(|bytes| {
                        vec![
                            ("memory.limit_in_bytes", bytes, ""),
                            ("memory.memsw.limit_in_bytes?", bytes, ""),
                        ]
                    }),
                ),
                ("pids", self.pids.map(|pids| vec![("pids.max", pids, "")])),
                (
                    "cpu",
                    quota.map(|quota| vec![("cpu.cfs_period_us", PERIOD_US, ""), ("cpu.cfs_quota_us", quota, "")]),
                ),
            ]
        };
        all.into_iter()
            .filter_map(|(name, files)| Some((name, files?)))
            .collect()
    }
}

impl Group {
    /// Makes the group of this slot, and writes its path into the folder of the slot.
    pub(crate) fn make(limits: Limits, slot: &SlotDir) -> Result<Self, LimitError> {
        let parts = parts(limits, &slot.name())?;
        let folders: Vec<PathBuf> = parts.iter().map(|part| part.folder.clone()).collect();
        let list: String = folders.iter().map(|folder| format!("{}\n", folder.display())).collect();
        let file = groups_file(slot);
        fs::write(&file, list).map_err(closed(&file))?;
        set_up(parts)
    }

    /// Moves processes and their children into the group. Later children are members from the start.
    pub(crate) fn take(&self, processes: &[ProcessId]) -> io::Result<()> {
        for process in processes {
            let inner = children_of(process.id());
            for member in inner.iter().chain([process]) {
                for folder in &self.folders {
                    match fs::write(folder.join("cgroup.procs"), member.id().to_string()) {
                        // It has ended, which its starter reports with the reason.
                        Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => {}
                        taken => taken?,
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            // A folder that is not empty yet is removed with the slot.
            fs::remove_dir(folder).unwrap_or_default();
        }
    }
}

/// Returns the path of the file that lists the control groups of a slot.
fn groups_file(slot: &SlotDir) -> PathBuf {
    slot.0.join("groups")
}

/// Removes the rest of the group of a slot in which nothing runs any more.
pub(crate) fn clear_limits(slot: &SlotDir) {
    let name = format!("{PREFIX}{}", slot.name());
    for folder in fs::read_to_string(groups_file(slot))
        .unwrap_or_default()
        .lines()
        .map(Path::new)
    {
        if folder.starts_with(ROOT) && folder.file_name().is_some_and(|last| *last == *name) {
            // It may not exist any more.
            fs::remove_dir(folder).unwrap_or_default();
        }
    }
}

/// Makes a group and removes it again.
pub(crate) fn try_limits(limits: Limits) -> Result<(), LimitError> {
    let name = format!("trial-{}", std::process::id());
    set_up(parts(limits, &name)?).map(drop)
}

fn set_up(parts: Vec<Part>) -> Result<Group, LimitError> {
    let mut group = Group::default();
    for part in parts {
        fs::create_dir(&part.folder).map_err(closed(&part.folder))?;
        group.folders.push(part.folder.clone());
        for (name, value, more) in part.files {
            let path = part.folder.join(name.trim_end_matches('?'));
            if name.ends_with('?') && !path.exists() {
                continue;
            }
            fs::write(&path, format!("{value}{more}")).map_err(closed(&path))?;
        }
    }
    Ok(group)
}

fn closed(path: &Path) -> impl Fn(io::Error) -> LimitError {
    let path = path.display().to_string();
    move |source| LimitError::Closed {
        path: path.clone(),
        source,
    }
}

/// Returns the places for the group of a job: below the group of this process, or beside it.
fn parts(limits: Limits, name: &str) -> Result<Vec<Part>, LimitError> {
    let own = fs::read_to_string("/proc/self/cgroup").map_err(closed(Path::new("/proc/self/cgroup")))?;
    let name = format!("{PREFIX}{name}");
    let mut parts = Vec::new();
    let mut unified = Vec::new();
    for ((controller, first), (_, second)) in limits.files(1).into_iter().zip(limits.files(2)) {
        // Lines are NUMBER:CONTROLLERS:PATH.
        let entry = own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers
                .split(',')
                .any(|one| one == controller)
                .then_some((controllers, path))
        });
        match entry {
            Some((controllers, path)) => parts.push(Part {
                folder: below(&Path::new(ROOT).join(controllers), path).join(&name),
                files: first,
            }),
            None => unified.push((controller, second)),
        }
    }
    if !unified.is_empty() {
        let wanted: Vec<&'static str> = unified.iter().map(|(controller, _)| *controller).collect();
        let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        parts.push(Part {
            folder: unified_place(path, &wanted)?.join(&name),
            files: unified.into_iter().flat_map(|(_, files)| files).collect(),
        });
    }
    Ok(parts)
}

fn below(tree: &Path, path: &str) -> PathBuf {
    let place = tree.join(path.trim_start_matches('/'));
    // In a container, the path can belong to another view than the tree.
    if place.is_dir() { place } else { tree.to_owned() }
}

/// Returns a place in the unified tree whose groups can have these controllers. A group that contains processes cannot
/// delegate a controller to its children.
fn unified_place(own: &str, wanted: &[&'static str]) -> Result<PathBuf, LimitError> {
    let root = Path::new(ROOT);
    let tree = if root.join("cgroup.controllers").exists() {
        root.to_owned()
    } else {
        root.join("unified")
    };
    let own = below(&tree, own);
    let beside = own
        .parent()
        .filter(|parent| parent.starts_with(&tree))
        .map(Path::to_owned);
    let mut failed = None;
    for place in [Some(own), beside].into_iter().flatten() {
        match delegate(&place, wanted) {
            Ok(()) => return Ok(place),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    Err(failed.unwrap_or_else(|| LimitError::NoController(wanted[0], tree.display().to_string())))
}

fn delegate(place: &Path, wanted: &[&'static str]) -> Result<(), LimitError> {
    let has = |file: &str, controller: &str| {
        let text = fs::read_to_string(place.join(file)).unwrap_or_default();
        text.split_whitespace().any(|one| one == controller)
    };
    for controller in wanted {
        if !has("cgroup.controllers", controller) {
            return Err(LimitError::NoController(controller, place.display().to_string()));
        }
        if !has("cgroup.subtree_control", controller) {
            let path = place.join("cgroup.subtree_control");
            fs::write(&path, format!("+{controller}")).map_err(closed(&path))?;
        }
    }
    Ok(())
}
