//! The disk usage of a job, which is measured periodically: a job that exceeds its limit is ended. Writes between two
//! measurements are not blocked.
//!
//! Removed files that are still open count too. A folder that the keeper cannot read counts as exceeding the limit.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Minimum interval between two measurements.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);
/// The interval is also this many times as long as a measurement takes.
const INTERVAL_PER_MEASUREMENT: u32 = 9;
const MIB: u64 = 1024 * 1024;

/// Returns the size of the files in a folder, in bytes on disk.
pub(super) fn used(folder: &Path) -> u64 {
    let mut seen = HashSet::new();
    let mut bytes = 0_u64;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        match measure(&folder, &mut folders, &mut seen) {
            Ok(found) => bytes = bytes.saturating_add(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return u64::MAX,
        }
    }
    bytes
}

fn measure(folder: &Path, folders: &mut Vec<PathBuf>, seen: &mut HashSet<u64>) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) => {
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
                bytes = bytes.saturating_add(once(&metadata, seen));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Returns the size of a file on disk, or 0 if the file was seen before.
fn once(metadata: &Metadata, seen: &mut HashSet<u64>) -> u64 {
    let is_new = metadata.nlink() == 1 || metadata.is_dir() || seen.insert(metadata.ino());
    if is_new { metadata.blocks() * 512 } else { 0 }
}

/// Returns the size of the removed files that processes in the namespace of `first` hold open.
fn held(first: i32, device: u64) -> u64 {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(own) = namespace(&first.to_string()) else {
        return 0;
    };
    let mut seen = HashSet::new();
    let mut bytes = 0_u64;
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        else {
            continue;
        };
        if namespace(pid).as_ref() != Some(&own) {
            continue;
        }
        for open in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(metadata) = fs::metadata(open.path()) else {
                continue;
            };
            if metadata.is_file() && metadata.nlink() == 0 && metadata.dev() == device && seen.insert(metadata.ino()) {
                bytes = bytes.saturating_add(metadata.blocks() * 512);
            }
        }
    }
    bytes
}

/// Sends on `full` once the folder has grown by more than `limit_mib`. `first` is the first process of the job.
pub(super) async fn watch(folder: PathBuf, first: i32, before: u64, limit_mib: u64, full: mpsc::Sender<()>) {
    let limit = before.saturating_add(limit_mib.saturating_mul(MIB));
    let device = fs::metadata(&folder).map(|folder| folder.dev()).unwrap_or_default();
    loop {
        let began = Instant::now();
        let place = folder.clone();
        let found = tokio::task::spawn_blocking(move || used(&place).saturating_add(held(first, device))).await;
        if found.unwrap_or(u64::MAX) > limit {
            // Sending fails when the keeper has begun to end the job.
            full.send(()).await.unwrap_or_default();
            return;
        }
        sleep(MEASURE_INTERVAL.max(began.elapsed() * INTERVAL_PER_MEASUREMENT)).await;
    }
}
