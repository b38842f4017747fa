//! Removes everything that a job left on disk: without following links, including folders that are closed to their owner, at
//! any depth. Nothing runs in the folder any more, but another process may be removing it at the same time.
//!
//! A folder inside a folder is first moved up to the top, so that neither memory, nor open files, nor the length of a path
//! grows with the depth of what a hostile job made.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes the folder and everything in it. A folder that does not exist is not an error.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let top = match File::open(folder) {
        Ok(top) => OwnedFd::from(top),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut moved = 0;
    loop {
        let names = names(&top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            match remove_from(&top, &name, &mut moved) {
                Err(error) if !is_concurrent_change(&error) => return Err(error),
                _ => {}
            }
        }
    }
    unless_gone(fs::remove_dir(folder))
}

/// Removes a file. A file that does not exist is not an error.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    unless_gone(fs::remove_file(path))
}

fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_from(top: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    let flags = if is_folder(top, name)? {
        flatten(top, name, moved)?;
        AtFlags::REMOVEDIR
    } else {
        AtFlags::empty()
    };
    Ok(unlinkat(top, name, flags)?)
}

/// Returns true if the error can come from another process that removes the same folder, or from a folder that was moved
/// into this one meanwhile. Another round handles both.
fn is_concurrent_change(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
}

/// Empties the folder `name` in `top`, and moves the folders in it to `top`.
fn flatten(top: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    let folder = open(top, name)?;
    for inner in names(&folder)? {
        if !is_folder(&folder, &inner)? {
            unlinkat(&folder, &inner, AtFlags::empty())?;
            continue;
        }
        // Moving a folder needs write permission on it.
        open(&folder, &inner)?;
        loop {
            *moved += 1;
            let free = CString::new(format!("removed-{moved}"))?;
            match renameat_with(&folder, &inner, top, &free, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                done => break done?,
            }
        }
    }
    Ok(())
}

/// Opens a folder, refuses a link, and gives the owner every permission on it first.
fn open(within: &OwnedFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat(within, name, flags | OFlags::PATH, Mode::empty())?;
    // Through the open descriptor: the name could refer to another folder by now.
    let itself = format!("/proc/self/fd/{}", found.as_raw_fd());
    if fs::metadata(&itself)?.permissions().mode() & 0o700 != 0o700 {
        fs::set_permissions(&itself, Permissions::from_mode(0o700))?;
    }
    Ok(openat(within, name, flags | OFlags::RDONLY, Mode::empty())?)
}

fn is_folder(within: &OwnedFd, name: &CStr) -> io::Result<bool> {
    let stat = statat(within, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder.as_fd())? {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() != b"." && name.as_bytes() != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    #[test]
    fn closed_folders_and_links_are_removed_and_not_followed() {
        let place = tempfile::tempdir().expect("a directory");
        let kept = place.path().join("kept");
        fs::create_dir(&kept).expect("a folder");
        fs::write(kept.join("file"), "kept").expect("a file");
        let tree = place.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).expect("folders");
        fs::create_dir_all(tree.join("removed-1/b")).expect("folders");
        fs::write(tree.join("a/b/c/file"), "x").expect("a file");
        symlink(&kept, tree.join("a/link")).expect("a link");
        symlink(&kept, tree.join("a/b/link")).expect("a link");
        for closed in ["a/b/c", "a/b", "a"] {
            fs::set_permissions(tree.join(closed), Permissions::from_mode(0o000)).expect("a mode");
        }
        remove(&tree).expect("removed");
        assert!(!tree.exists());
        assert_eq!(fs::read_to_string(kept.join("file")).expect("kept"), "kept");
        remove(&tree).expect("nothing to remove");
    }

    #[test]
    fn two_can_remove_the_same() {
        let place = tempfile::tempdir().expect("a directory");
        for round in 0..20 {
            let tree = place.path().join(format!("tree-{round}"));
            for folder in 0..20 {
                let folder = tree.join(format!("{folder}/inner/more"));
                fs::create_dir_all(&folder).expect("folders");
                fs::write(folder.join("file"), "x").expect("a file");
            }
            let other = tree.clone();
            let together = std::thread::spawn(move || remove(&other));
            remove(&tree).expect("removed");
            together.join().expect("it ends").expect("removed too");
            assert!(!tree.exists());
        }
    }

    #[test]
    fn no_depth_is_too_deep() {
        let place = tempfile::tempdir().expect("a directory");
        let top = place.path().join("tree");
        // Deeper than a path can be long: built from the inside out.
        for level in 0..3000 {
            let outer = place.path().join(format!("outer-{level}"));
            fs::create_dir(&outer).expect("a folder");
            if level > 0 {
                let inner: PathBuf = place.path().join(format!("outer-{}", level - 1));
                fs::rename(inner, outer.join("d")).expect("moved");
            }
        }
        fs::rename(place.path().join("outer-2999"), &top).expect("moved");
        remove(&top).expect("removed");
        assert!(!top.exists());
    }
}
