//! The job's own copy of actions/runner. Nothing in it leads back to the original: a job changes, links and replaces only its
//! own files.
//!
//! Large files are hard links if the job can neither write to the file nor change its mode. On a file system that shares
//! blocks, a copy costs nothing either.

use crate::adapters::hosts::slots::Account;
use crate::domain::runner_folder;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The runner program was not copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("cannot copy {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("cannot copy {0}: expected a file, a folder or a link")]
    Special(String),
    #[error("the slot was destroyed while it booted")]
    Cancelled,
}

/// Copies the runner program in `from` to `to`, for `account`.
pub(super) fn copy(from: &Path, to: &Path, account: &Account, cancelled: &AtomicBool) -> Result<(), CopyError> {
    let copying = Copying {
        top: from,
        account,
        cancelled,
    };
    copying.folder(from, to, true, false)
}

/// Makes a folder that belongs to the account.
pub(super) fn make_folder(path: &Path, account: &Account) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)?;
    give(path, account)
}

fn give(path: &Path, account: &Account) -> io::Result<()> {
    if account.is_own() {
        return Ok(());
    }
    lchown(path, Some(account.uid), Some(account.gid))
}

struct Copying<'a> {
    /// The source folder, without links in its path.
    top: &'a Path,
    account: &'a Account,
    cancelled: &'a AtomicBool,
}

impl Copying<'_> {
    fn folder(&self, from: &Path, to: &Path, is_top: bool, linked: bool) -> Result<(), CopyError> {
        let failed = |source| CopyError::Io {
            path: from.display().to_string(),
            source,
        };
        make_folder(to, self.account).map_err(failed)?;
        for entry in fs::read_dir(from).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let follows = |rule: fn(&str) -> bool| is_top && name.to_str().is_some_and(rule);
            if follows(runner_folder::is_excluded) {
                continue;
            }
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(CopyError::Cancelled);
            }
            let mut path = entry.path();
            let is_replaced = follows(runner_folder::is_replaced_by_updates);
            if is_replaced
                && let Ok(real) = path.canonicalize()
                && real.starts_with(self.top)
            {
                path = real;
            }
            self.entry(&path, &to.join(&name), linked || is_replaced)?;
        }
        Ok(())
    }

    fn entry(&self, from: &Path, to: &Path, linked: bool) -> Result<(), CopyError> {
        let failed = |source| CopyError::Io {
            path: from.display().to_string(),
            source,
        };
        let metadata = from.symlink_metadata().map_err(failed)?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.folder(from, to, false, linked);
        }
        if kind.is_symlink() {
            // The link itself, not its target.
            fs::read_link(from)
                .and_then(|target| symlink(target, to))
                .map_err(failed)?;
        } else if !kind.is_file() {
            return Err(CopyError::Special(from.display().to_string()));
        } else if linked && is_out_of_reach(&metadata, self.account) && fs::hard_link(from, to).is_ok() {
            return Ok(());
        } else {
            // Shares blocks if the file system can.
            fs::copy(from, to).map_err(failed)?;
            let mode = metadata.permissions().mode() & 0o777 | 0o600;
            fs::set_permissions(to, Permissions::from_mode(mode)).map_err(failed)?;
        }
        give(to, self.account).map_err(failed)
    }
}

/// Returns true if the account can read and run the file, and can change neither the file nor its mode.
fn is_out_of_reach(metadata: &Metadata, account: &Account) -> bool {
    let mode = metadata.permissions().mode();
    let may_run = mode & 0o100 == 0 || mode & 0o001 != 0;
    !account.is_root() && metadata.uid() != account.uid && mode & 0o7022 == 0 && mode & 0o004 != 0 && may_run
}
