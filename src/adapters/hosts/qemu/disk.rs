//! Scratch disks: an empty file system is made once, and each virtual machine gets a copy. Copies are sparse, so that a disk
//! takes only as much space as its guest has written.

use crate::adapters::hosts::slots::SYSTEM_PATH;
use rustix::fs::{SeekFrom, ftruncate, seek};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

/// Copies of data between two holes go through memory in pieces of this size.
const PIECE: u64 = 1024 * 1024;

/// Makes a file with an empty file system of this size. A file that exists is kept: its name says its size.
pub(super) fn make(path: &Path, gib: u32) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let draft = path.with_extension("new");
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-F", "-O", "^has_journal"])
        .args(["-E", "lazy_itable_init=1,nodiscard", "-m", "0"])
        .arg(&draft)
        .arg(format!("{gib}G"))
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|error| {
            io::Error::other(format!(
                "cannot start mke2fs: {error}; install the Debian package `e2fsprogs`"
            ))
        })?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).trim().replace('\n', "; ");
        return Err(io::Error::other(format!("mke2fs failed to make a disk: {said}")));
    }
    fs::rename(draft, path)
}

/// Copies a disk for an account, with its holes.
pub(super) fn copy(from: &Path, to: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let to_file = options.write(true).create_new(true).mode(0o600).open(to)?;
    copy_content(&mut File::open(from)?, to_file)?;
    if let Some((uid, gid)) = owner {
        chown(to, Some(uid), Some(gid))?;
    }
    Ok(())
}

fn copy_content(from: &mut File, mut to: File) -> io::Result<()> {
    let length = from.metadata()?.len();
    ftruncate(&to, length)?;
    let mut piece = Vec::new();
    let mut at = 0;
    loop {
        let data = match seek(&*from, SeekFrom::Data(at)) {
            // Nothing but a hole follows.
            Err(Errno::NXIO) => return Ok(()),
            found => found?,
        };
        let hole = seek(&*from, SeekFrom::Hole(data))?;
        from.seek(io::SeekFrom::Start(data))?;
        to.seek(io::SeekFrom::Start(data))?;
        at = data;
        while at < hole {
            let wanted = PIECE.min(hole - at);
            piece.clear();
            let read = Read::by_ref(from).take(wanted).read_to_end(&mut piece)?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            to.write_all(&piece)?;
            at += read as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_copy_has_the_content_and_the_holes() {
        let place = tempfile::tempdir().expect("a directory");
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        let mut file = File::create(&from).expect("a file");
        file.write_all(b"begin").expect("written");
        file.seek(io::SeekFrom::Start(300 * 1024 * 1024)).expect("moved");
        file.write_all(b"middle").expect("written");
        ftruncate(&file, 600 * 1024 * 1024).expect("longer");
        copy(&from, &to, None).expect("copied");
        let mut copied = File::open(&to).expect("a copy");
        let about = copied.metadata().expect("metadata");
        assert_eq!(about.len(), 600 * 1024 * 1024);
        assert!(about.blocks() * 512 < 8 * 1024 * 1024, "{} blocks", about.blocks());
        let mut text = [0; 6];
        copied.seek(io::SeekFrom::Start(300 * 1024 * 1024)).expect("moved");
        copied.read_exact(&mut text).expect("read");
        assert_eq!(&text, b"middle");
        assert_eq!(about.mode() & 0o777, 0o600, "no other account reads it");
        copy(&from, &to, None).expect_err("a disk is used once");
    }

    #[test]
    fn an_empty_disk_is_made_once_and_never_in_part() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("scratch-1.img");
        fs::write(path.with_extension("new"), "the rest of a killed start").expect("a file");
        make(&path, 1).expect("made");
        assert_eq!(fs::metadata(&path).expect("a disk").len(), 1 << 30);
        assert!(!path.with_extension("new").exists());
        fs::write(&path, "in use").expect("written");
        make(&path, 1).expect("kept");
        assert_eq!(fs::read(&path).expect("a disk"), b"in use");
        let nowhere = place.path().join("nowhere/scratch-1.img");
        let error = make(&nowhere, 1).expect_err("there is no folder").to_string();
        assert!(error.starts_with("mke2fs failed to make a disk: "), "{error}");
    }
}
