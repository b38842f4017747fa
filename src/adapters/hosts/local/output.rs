//! What a runner program writes: kept with a cap, and only of the latest runners.

use std::fs::{self, DirEntry, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Kept of one runner. Jobs' own logs go to GitHub; this is what the runner program says of itself.
const MOST_BYTES: usize = 1024 * 1024;
/// Runners whose output is kept.
const MOST_FILES: usize = 100;

/// Copies the beginning of what comes through the pipe, and reads the rest so that the runner does not get stuck. A full
/// disk is no reason to stop either.
pub(super) async fn keep(mut from: Receiver, to: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(to);
    let mut file = file.ok();
    let mut left = MOST_BYTES;
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        let taken = read.min(left);
        left -= taken;
        let written = file.as_mut().map(|file| {
            file.write_all(&chunk[..taken])?;
            if left == 0 {
                file.write_all(
                    format!("\njitgate: what followed the first {MOST_BYTES} bytes was dropped\n").as_bytes(),
                )?;
            }
            Ok::<(), io::Error>(())
        });
        if left == 0 || matches!(written, Some(Err(_))) {
            file = None;
        }
    }
}

/// Removes the oldest files but for the number that is kept.
pub(super) fn prune(folder: &Path) -> io::Result<()> {
    let entries: Vec<DirEntry> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    let mut files: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let too_many = files.len().saturating_sub(MOST_FILES);
    for (_, path) in files.into_iter().take(too_many) {
        match fs::remove_file(path) {
            // Somebody else was at it.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
