//! The output of runner programs, which is kept with a cap and for the latest runners only.

use super::removal::remove_file;
use std::fs::{self, DirEntry, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Bytes that are kept for one runner. The logs of jobs go to GitHub; this is what the runner program itself reports.
const MAX_BYTES: usize = 1024 * 1024;
/// Runners whose output is kept.
const MAX_FILES: usize = 100;

/// Copies the beginning of the output to a file, and drops the rest so that the runner program is never blocked. It does the
/// same when the file cannot be written.
pub(super) async fn keep(mut from: Receiver, to: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(to);
    let mut file = file.ok();
    let mut left = MAX_BYTES;
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
                    format!("\njitgate: the output after the first {MAX_BYTES} bytes was dropped\n").as_bytes(),
                )?;
            }
            Ok::<(), io::Error>(())
        });
        if left == 0 || matches!(written, Some(Err(_))) {
            file = None;
        }
    }
}

/// Removes the oldest files beyond [`MAX_FILES`].
pub(super) fn prune(folder: &Path) -> io::Result<()> {
    let entries: Vec<DirEntry> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    let mut files: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(MAX_FILES);
    for (_, path) in files.into_iter().take(surplus) {
        // Another process may have removed it.
        remove_file(&path)?;
    }
    Ok(())
}
