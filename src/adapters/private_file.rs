//! Files that are written completely or not at all: secrets and the records beside them, units, and results of commands.
//!
//! A file is written as a draft in the same folder (`.NAME.PID.draft`), flushed to the disk, and moved to its place in one
//! step. The writer holds a lock on its draft, so a draft without a lock is the remains of a process that was killed; the
//! next writer removes it.

use rustix::process::geteuid;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The mode of files that only their owner can read.
pub const SECRET_MODE: u32 = 0o600;
/// The mode of files that every user can read.
pub const PUBLIC_MODE: u32 = 0o644;
/// Attempts to create a draft that another writer takes for a leftover.
const MAX_ATTEMPTS: usize = 5;

/// The reason why a file cannot be written. It holds nothing of the content.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    #[error("{}: cannot be written: {source}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another user could replace the file.
    #[error("{}: other users can write to this folder (mode {mode:04o})", path.display())]
    OpenFolder { path: PathBuf, mode: u32 },
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
}

impl PrivateFileError {
    /// Returns the remedy; `flag` is the flag that selects the file.
    #[must_use]
    pub fn remedy(&self, flag: &str) -> String {
        match self {
            Self::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                format!(
                    "run the command as a user who can write there, for example with sudo, or name another place with {flag}"
                )
            }
            Self::Io { .. } | Self::NotAFile(_) => format!("name another place with {flag}"),
            Self::OpenFolder { path, .. } => {
                format!("run `chmod go-w {}`, or name another place with {flag}", path.display())
            }
            Self::Exists(_) => format!("name another place with {flag}, or replace it with --force"),
        }
    }
}

fn failed(path: &Path, source: io::Error) -> PrivateFileError {
    PrivateFileError::Io {
        path: path.to_owned(),
        source,
    }
}

/// The treatment of a file that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Keep,
    Replace,
}

/// A file that is being written. Without [`Draft::publish`] nothing remains of it.
#[derive(Debug)]
pub struct Draft {
    file: File,
    path: PathBuf,
    target: PathBuf,
    existing: Existing,
}

impl Draft {
    /// Creates the draft of a file, and its folder if it is missing: for secrets with mode 0700. This proves that the file
    /// can be written before anything else is done.
    ///
    /// # Errors
    /// If the folder or the draft cannot be created, or the file exists and must be kept.
    pub fn create(target: &Path, mode: u32, existing: Existing) -> Result<Self, PrivateFileError> {
        create_folder(folder_of(target), mode)?;
        let before = check_target(target, existing)?;
        let draft = Self::begin(target, mode, existing)?;
        // Root keeps the owner, because a service of another user reads the file.
        if let Some(about) = before.filter(|about| geteuid().is_root() && about.uid() != 0) {
            let kept = fchown(&draft.file, Some(about.uid()), Some(about.gid()));
            kept.map_err(|source| failed(&draft.path, source))?;
        }
        Ok(draft)
    }

    fn begin(target: &Path, mode: u32, existing: Existing) -> Result<Self, PrivateFileError> {
        for leftover in leftovers(target) {
            // Another process may have removed it.
            fs::remove_file(leftover).ok();
        }
        let path = folder_of(target).join(draft_name(target, std::process::id()));
        let file = open_draft(&path, mode).map_err(|source| failed(&path, source))?;
        Ok(Self {
            file,
            path,
            target: target.to_owned(),
            existing,
        })
    }

    /// Writes the content and moves it to its place.
    ///
    /// # Errors
    /// If the content cannot be written, or another process has created the file in the meantime.
    pub fn publish(mut self, content: &[u8]) -> Result<(), PrivateFileError> {
        let written = self.file.write_all(content).and_then(|()| self.file.sync_all());
        written.map_err(|source| failed(&self.target, source))?;
        let moved = match self.existing {
            Existing::Replace => fs::rename(&self.path, &self.target),
            // Unlike a move, a link fails if the file exists.
            Existing::Keep => fs::hard_link(&self.path, &self.target),
        };
        moved.map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => PrivateFileError::Exists(self.target.clone()),
            _ => failed(&self.target, source),
        })?;
        let folder = File::open(folder_of(&self.target)).and_then(|folder| folder.sync_all());
        folder.map_err(|source| failed(&self.target, source))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a move the draft does not exist any more.
        fs::remove_file(&self.path).ok();
    }
}

/// Writes a file completely or not at all.
///
/// # Errors
/// As for [`Draft::create`] and [`Draft::publish`].
pub fn write(target: &Path, mode: u32, existing: Existing, content: &[u8]) -> Result<(), PrivateFileError> {
    Draft::create(target, mode, existing)?.publish(content)
}

/// Replaces a file that is no secret, or a link in its place. Its folder must exist and can be open to others.
///
/// # Errors
/// If the file cannot be written; the old content is still there then.
pub fn replace(target: &Path, mode: u32, content: &[u8]) -> Result<(), PrivateFileError> {
    Draft::begin(target, mode, Existing::Replace)?.publish(content)
}

/// Checks that a file could be written, without changing anything.
///
/// # Errors
/// If the file exists and must be kept, or if other users can write to its folder.
pub fn check(target: &Path, existing: Existing) -> Result<(), PrivateFileError> {
    let folder = folder_of(target);
    if folder.exists() {
        check_folder(folder)?;
    }
    check_target(target, existing).map(drop)
}

/// Returns the mode of the folder of a file if other users can list it.
#[must_use]
pub fn listable_folder(target: &Path) -> Option<(PathBuf, u32)> {
    let folder = folder_of(target);
    let mode = fs::metadata(folder).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then(|| (folder.to_owned(), mode))
}

/// Returns the drafts of a folder with the answer whether their writers still run.
#[must_use]
pub fn drafts(folder: &Path) -> Vec<(PathBuf, bool)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let drafts = paths.filter(|path| path.file_name().is_some_and(|name| is_draft(name, None)));
    drafts.map(|path| (path.clone(), is_in_use(&path))).collect()
}

/// Returns the drafts of a file whose writers were killed.
fn leftovers(target: &Path) -> Vec<PathBuf> {
    let name = target.file_name();
    let of_target = |path: &Path| path.file_name().is_some_and(|draft| is_draft(draft, name));
    let drafts = drafts(folder_of(target)).into_iter();
    drafts
        .filter(|(path, in_use)| !in_use && of_target(path))
        .map(|(path, _)| path)
        .collect()
}

fn is_in_use(draft: &Path) -> bool {
    let is_file = fs::symlink_metadata(draft).is_ok_and(|about| about.is_file());
    is_file && File::open(draft).is_ok_and(|file| file.try_lock().is_err())
}

fn draft_name(target: &Path, process: u32) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.{process}.draft")
}

/// Returns true for the name of a draft, of this file if one is given.
fn is_draft(draft: &OsStr, of: Option<&OsStr>) -> bool {
    let draft = draft.to_string_lossy();
    let parts = draft
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".draft"))
        .and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(name, process)| {
        let is_number = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
        is_number && of.is_none_or(|of| of.to_string_lossy() == name)
    })
}

/// Creates and locks a draft. Another writer may remove it before it is locked.
fn open_draft(path: &Path, mode: u32) -> io::Result<File> {
    for _ in 0..MAX_ATTEMPTS {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.lock()?;
        let about = file.metadata()?;
        let is_there = |there: fs::Metadata| (there.dev(), there.ino()) == (about.dev(), about.ino());
        if fs::symlink_metadata(path).is_ok_and(is_there) {
            // The mask of the process may have taken rights away.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            return Ok(file);
        }
    }
    Err(ErrorKind::ResourceBusy.into())
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn create_folder(folder: &Path, file_mode: u32) -> Result<(), PrivateFileError> {
    if !folder.exists() {
        let mode = if file_mode == SECRET_MODE { 0o700 } else { 0o755 };
        let created = DirBuilder::new().recursive(true).mode(mode).create(folder);
        created.map_err(|source| failed(folder, source))?;
    }
    check_folder(folder)
}

/// Rejects a folder in which other users could replace the file. In `/tmp` they cannot.
fn check_folder(folder: &Path) -> Result<(), PrivateFileError> {
    let about = fs::metadata(folder).map_err(|source| failed(folder, source))?;
    let mode = about.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(PrivateFileError::OpenFolder {
            path: folder.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Returns the file in the place of the target, if it may be replaced.
fn check_target(target: &Path, existing: Existing) -> Result<Option<fs::Metadata>, PrivateFileError> {
    match fs::symlink_metadata(target) {
        Ok(_) if existing == Existing::Keep => Err(PrivateFileError::Exists(target.to_owned())),
        Ok(about) if !about.is_file() => Err(PrivateFileError::NotAFile(target.to_owned())),
        Ok(about) => Ok(Some(about)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(target, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).expect("a folder").flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_private_and_replaced_only_on_request() {
        let folder = TempDir::new().expect("a folder");
        let target = folder.path().join("new/token");
        write(&target, SECRET_MODE, Existing::Keep, b"one").expect("written");
        assert_eq!((mode(&target), mode(folder_of(&target))), (0o600, 0o700));
        let refusal = write(&target, SECRET_MODE, Existing::Keep, b"two").expect_err("it exists");
        assert!(matches!(refusal, PrivateFileError::Exists(_)), "{refusal}");
        assert_eq!(fs::read(&target).expect("a file"), b"one");
        write(&target, SECRET_MODE, Existing::Replace, b"two").expect("replaced");
        assert_eq!(fs::read(&target).expect("a file"), b"two");
        assert_eq!(fs::read_dir(folder_of(&target)).expect("a folder").count(), 1);
    }

    #[test]
    fn nothing_remains_of_a_draft_that_is_given_up() {
        let folder = TempDir::new().expect("a folder");
        let target = folder.path().join("token");
        drop(Draft::create(&target, SECRET_MODE, Existing::Keep).expect("a draft"));
        assert_eq!(names(&folder), [""; 0]);
        // A file that appears in the meantime is kept.
        let draft = Draft::create(&target, SECRET_MODE, Existing::Keep).expect("a draft");
        fs::write(&target, "other").expect("a file");
        assert!(matches!(draft.publish(b"own"), Err(PrivateFileError::Exists(_))));
        assert_eq!(fs::read(&target).expect("a file"), b"other");
        assert_eq!(names(&folder), ["token"]);
    }

    #[test]
    fn the_draft_of_a_killed_process_is_removed_and_one_in_use_is_kept() {
        let folder = TempDir::new().expect("a folder");
        let target = folder.path().join("token");
        for name in [".token.1.draft", ".other.1.draft", ".token.x.draft"] {
            fs::write(folder.path().join(name), "half").expect("a file");
        }
        let busy = folder.path().join(".token.2.draft");
        let held = open_draft(&busy, SECRET_MODE).expect("a draft");
        write(&target, SECRET_MODE, Existing::Keep, b"whole").expect("written");
        assert_eq!(
            names(&folder),
            [".other.1.draft", ".token.2.draft", ".token.x.draft", "token"]
        );
        drop(held);
        let mut found = drafts(folder.path());
        found.sort();
        let in_use: Vec<bool> = found.iter().map(|(_, in_use)| *in_use).collect();
        assert_eq!(in_use, [false, false]);
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused_except_a_sticky_one() {
        let folder = TempDir::new().expect("a folder");
        let target = folder.path().join("token");
        for (mode, refused) in [
            (0o777, true),
            (0o720, true),
            (0o702, true),
            (0o1777, false),
            (0o755, false),
        ] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("a mode");
            let result = write(&target, SECRET_MODE, Existing::Replace, b"x");
            assert_eq!(result.is_err(), refused, "{mode:o}");
            assert_eq!(check(&target, Existing::Replace).is_err(), refused, "{mode:o}");
        }
        assert_eq!(listable_folder(&target).map(|(_, mode)| mode), Some(0o755));
    }

    #[test]
    fn a_link_and_a_folder_in_its_place_are_not_replaced() {
        let folder = TempDir::new().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).expect("a link");
        for target in [link.as_path(), Path::new("/etc")] {
            let result = write(target, SECRET_MODE, Existing::Replace, b"x");
            assert!(matches!(result, Err(PrivateFileError::NotAFile(_))), "{result:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_secret_replaces_a_link_and_leaves_no_draft() {
        let folder = TempDir::new().expect("a folder");
        let target = folder.path().join("a.service");
        std::os::unix::fs::symlink("/dev/null", &target).expect("a link");
        fs::write(folder.path().join(".a.service.1.draft"), "torn").expect("the rest of a killed process");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o775)).expect("a mode");
        for text in ["one", "two"] {
            replace(&target, PUBLIC_MODE, text.as_bytes()).expect("replaced");
            assert_eq!(fs::read_to_string(&target).expect("a file"), text);
        }
        assert_eq!(
            (mode(&target), names(&folder)),
            (PUBLIC_MODE, vec!["a.service".to_owned()])
        );
        let missing = folder.path().join("missing/a.service");
        for place in [folder.path(), missing.as_path()] {
            assert!(replace(place, PUBLIC_MODE, b"three").is_err());
        }
        assert_eq!(names(&folder), ["a.service"]);
    }
}
