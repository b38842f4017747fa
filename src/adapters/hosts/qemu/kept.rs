//! Disks of failed machines, which are kept for inspection for a time: the scratch disk, the log files of the runner program
//! and the last status, in a folder named after the slot.

use super::guest;
use crate::adapters::hosts::slots::SlotDir;
use crate::domain::slot::{Ending, SlotState};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The folder of a host for them.
const FOLDER: &str = "failed";
/// What is kept beside the disk. The rest is sockets and links.
const BESIDE: [&str; 2] = ["diag", "status.json"];

/// Returns true if a machine in this state has failed.
pub(super) fn has_failed(state: &SlotState) -> bool {
    match state {
        SlotState::Ended(ending) => !matches!(ending, Ending::Exited | Ending::Outdated),
        _ => false,
    }
}

/// Moves the disk of a slot, in which nothing runs any more, out of its folder.
pub(super) fn keep(host: &Path, slot: &SlotDir) -> io::Result<PathBuf> {
    let to = host.join(FOLDER).join(slot.name());
    DirBuilder::new().recursive(true).mode(0o700).create(&to)?;
    let disk = guest::scratch(slot);
    fs::rename(&disk, to.join(disk.file_name().unwrap_or_default()))?;
    for name in BESIDE {
        match fs::rename(slot.0.join(name), to.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(to)
}

/// Removes what was kept for longer than `limit`.
pub(super) fn prune(host: &Path, now: SystemTime, limit: Duration) -> io::Result<()> {
    let entries = match fs::read_dir(host.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let since = entry.metadata()?.modified()?;
        if now.duration_since(since).is_ok_and(|age| age >= limit) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_kept_for_its_time_with_what_explains_it() {
        let place = tempfile::tempdir().expect("a directory");
        let slot = SlotDir(place.path().join("slots/slot-1"));
        fs::create_dir_all(slot.0.join("diag")).expect("folders");
        for name in ["scratch.img", "status.json", "diag/Runner.log", "lock"] {
            fs::write(slot.0.join(name), name).expect("a file");
        }
        let kept = keep(place.path(), &slot).expect("kept");
        assert_eq!(kept, place.path().join("failed/slot-1"));
        for name in ["scratch.img", "status.json", "diag/Runner.log"] {
            assert_eq!(fs::read_to_string(kept.join(name)).expect(name), name);
        }
        assert!(!kept.join("lock").exists());
        let since = fs::metadata(&kept).and_then(|about| about.modified()).expect("a time");
        let hour = Duration::from_secs(3600);
        prune(place.path(), since + hour / 2, hour).expect("pruned");
        assert!(kept.exists());
        prune(place.path(), since + hour, hour).expect("pruned");
        assert!(!kept.exists());
    }

    #[test]
    fn a_machine_that_was_used_or_replaced_has_not_failed() {
        for (state, failed) in [
            (SlotState::Ready, false),
            (SlotState::Ended(Ending::Exited), false),
            (SlotState::Ended(Ending::Outdated), false),
            (SlotState::Ended(Ending::GateAbused), true),
            (SlotState::Ended(Ending::BootFailed("no".to_owned())), true),
        ] {
            assert_eq!(has_failed(&state), failed, "{state:?}");
        }
    }
}
