//! Disks of failed machines, which are kept for inspection for a time: the scratch disk, the log files of the runner program
//! and the last status, in a folder named after the slot.

use super::guest;
use crate::adapters::hosts::slots::SlotDir;
use crate::domain::slot::{Ending, KeptDisk, SlotState};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder of a host for them.
const FOLDER: &str = "failed";
/// The files that are kept beside the disk. The rest is sockets and links.
const BESIDE: [&str; 2] = ["diag", "status.json"];
/// The unit of the number of blocks of a file.
const BLOCK_BYTES: u64 = 512;

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

/// Removes what was kept for longer than `limit`, and returns the rest in the order of its removal.
pub(super) fn prune(host: &Path, now: DateTime<Utc>, limit: Duration) -> io::Result<Vec<KeptDisk>> {
    let entries = match fs::read_dir(host.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut kept = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(disk) = find(host, &name, limit)? else {
            continue;
        };
        if disk.until <= now {
            fs::remove_dir_all(&disk.path)?;
        } else {
            kept.push(disk);
        }
    }
    kept.sort_by(|one, other| (one.until, &one.slot).cmp(&(other.until, &other.slot)));
    Ok(kept)
}

/// Returns the disk that is kept of a slot for `limit`, if there is one.
pub(super) fn find(host: &Path, slot: &str, limit: Duration) -> io::Result<Option<KeptDisk>> {
    let folder = host.join(FOLDER).join(slot);
    let since = match fs::metadata(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        about => DateTime::<Utc>::from(about?.modified()?),
    };
    let status = fs::read(folder.join("status.json")).unwrap_or_default();
    let status: KeptStatus = serde_json::from_slice(&status).unwrap_or_default();
    let disk = guest::scratch(&SlotDir(folder.clone()));
    Ok(Some(KeptDisk {
        slot: slot.to_owned(),
        runner: status.runner,
        bytes: fs::metadata(disk).map_or(0, |about| about.blocks() * BLOCK_BYTES),
        path: folder.display().to_string(),
        until: TimeDelta::from_std(limit)
            .ok()
            .and_then(|limit| since.checked_add_signed(limit))
            .unwrap_or(DateTime::<Utc>::MAX_UTC),
    }))
}

/// The part of a status file that explains a disk.
#[derive(Default, Deserialize)]
#[serde(default)]
struct KeptStatus {
    runner: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_kept_for_its_time_with_what_explains_it() {
        let place = tempfile::tempdir().expect("a directory");
        let slot = SlotDir(place.path().join("slots/slot-1"));
        fs::create_dir_all(slot.0.join("diag")).expect("folders");
        let disk = "x".repeat(5000);
        let status = r#"{"runner":"chem-jit-a-101-1","state":"ended"}"#;
        let files = [
            ("scratch.img", disk.as_str()),
            ("status.json", status),
            ("diag/Runner.log", "log"),
            ("lock", ""),
        ];
        for (name, content) in files {
            fs::write(slot.0.join(name), content).expect("a file");
        }
        let kept = keep(place.path(), &slot).expect("kept");
        assert_eq!(kept, place.path().join("failed/slot-1"));
        let mode = fs::metadata(&kept).expect("a folder").mode();
        assert_eq!(mode & 0o777, 0o700, "no other account reads a job's disk");
        for (name, content) in &files[..3] {
            assert_eq!(fs::read_to_string(kept.join(name)).expect(name), *content);
        }
        assert!(!kept.join("lock").exists());
        let since = fs::metadata(&kept).and_then(|about| about.modified()).expect("a time");
        let (since, hour) = (DateTime::<Utc>::from(since), Duration::from_secs(3600));
        let half = TimeDelta::minutes(30);
        let listed = prune(place.path(), since + half, hour).expect("pruned");
        let disk = find(place.path(), "slot-1", hour).expect("found");
        assert_eq!(listed, [disk.clone().expect("a disk")]);
        let disk = disk.expect("a disk");
        assert_eq!(
            (disk.slot.as_str(), disk.runner.as_deref()),
            ("slot-1", Some("chem-jit-a-101-1"))
        );
        assert_eq!(
            (disk.path, disk.until),
            (kept.display().to_string(), since + half + half)
        );
        assert!(disk.bytes >= 4096, "{} bytes", disk.bytes);
        assert_eq!(prune(place.path(), since + half + half, hour).expect("pruned"), []);
        assert!(!kept.exists());
        assert_eq!(find(place.path(), "slot-1", hour).expect("looked"), None);
    }

    #[test]
    fn a_machine_that_wrote_nothing_else_keeps_its_disk_and_without_one_nothing_is_listed() {
        let place = tempfile::tempdir().expect("a directory");
        let slot = SlotDir(place.path().join("slots/slot-1"));
        fs::create_dir_all(&slot.0).expect("a folder");
        assert_eq!(
            prune(place.path(), DateTime::UNIX_EPOCH, Duration::ZERO).expect("listed"),
            []
        );
        keep(place.path(), &slot).expect_err("there is no disk");
        fs::write(slot.0.join("scratch.img"), "disk").expect("a file");
        let kept = keep(place.path(), &slot).expect("kept");
        assert!(kept.join("scratch.img").exists());
        let disk = find(place.path(), "slot-1", Duration::MAX)
            .expect("found")
            .expect("a disk");
        assert_eq!(
            (disk.until, disk.runner),
            (DateTime::<Utc>::MAX_UTC, None),
            "a time that is too far away"
        );
    }

    #[test]
    fn disks_are_listed_in_the_order_of_their_removal() {
        let place = tempfile::tempdir().expect("a directory");
        let mut expected = Vec::new();
        for (name, age) in [("slot-1", 1), ("slot-2", 3), ("slot-3", 2)] {
            let folder = place.path().join(FOLDER).join(name);
            fs::create_dir_all(&folder).expect("a folder");
            let since = DateTime::UNIX_EPOCH + TimeDelta::days(100) - TimeDelta::hours(age);
            let folder = fs::File::open(&folder).expect("a folder");
            folder.set_modified(since.into()).expect("a time");
            expected.push((since, name.to_owned()));
        }
        expected.sort();
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        let listed = prune(place.path(), now, Duration::from_secs(86400)).expect("listed");
        let listed: Vec<_> = listed
            .into_iter()
            .map(|disk| (disk.until - TimeDelta::days(1), disk.slot))
            .collect();
        assert_eq!(listed, expected);
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
