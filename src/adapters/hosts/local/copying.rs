//! A job's own copy of actions/runner. Nothing in it leads back: what a job changes, links to or replaces is its own.
//!
//! Large files are linked instead of copied where that is as good: where the job can neither write to the file nor allow
//! itself to. On a file system that shares blocks a copy costs nothing either.

use super::account::Account;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of a registration, of earlier jobs, or settings that would win over ours: what the runner reads from `.env` replaces
/// its environment, the job gate's hook included.
const LEFT_OUT: &[&str] = &[
    ".credentials",
    ".credentials_rsaparams",
    ".env",
    ".path",
    ".runner",
    ".runner_migrated",
    ".service",
    "_diag",
    "_work",
];
/// Folders of the runner program that it replaces as a whole and never writes into.
const LINKED: &[&str] = &["bin", "externals"];

/// A copy was not finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// Reading or writing failed.
    #[error("cannot copy {path}: {source}")]
    Io { path: String, source: io::Error },
    /// A pipe, socket or device.
    #[error("cannot copy {0}: it is no file, folder or link")]
    Special(String),
    /// Nobody wants it any more.
    #[error("it was destroyed while it booted")]
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

/// Makes a folder for the account.
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
    /// What is copied, without links in its path.
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
            let is_named = |names: &[&str]| is_top && names.iter().any(|given| name == *given);
            if is_named(LEFT_OUT) {
                continue;
            }
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(CopyError::Cancelled);
            }
            let mut path = entry.path();
            // An update of the runner program leaves a link to the folder of its version. A link would lead out of the copy.
            if is_named(LINKED)
                && let Ok(real) = path.canonicalize()
                && real.starts_with(self.top)
            {
                path = real;
            }
            self.entry(&path, &to.join(&name), linked || is_named(LINKED))?;
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
            // The link, not what it leads to.
            fs::read_link(from)
                .and_then(|target| symlink(target, to))
                .map_err(failed)?;
        } else if !kind.is_file() {
            return Err(CopyError::Special(from.display().to_string()));
        } else if linked && is_out_of_reach(&metadata, self.account) && fs::hard_link(from, to).is_ok() {
            return Ok(());
        } else {
            // Shares blocks where the file system can.
            fs::copy(from, to).map_err(failed)?;
            let mode = metadata.permissions().mode() & 0o777 | 0o600;
            fs::set_permissions(to, Permissions::from_mode(mode)).map_err(failed)?;
        }
        give(to, self.account).map_err(failed)
    }
}

/// Whether the account can read and run the file, and neither change it nor its mode.
fn is_out_of_reach(metadata: &Metadata, account: &Account) -> bool {
    let mode = metadata.permissions().mode();
    let may_run = mode & 0o100 == 0 || mode & 0o001 != 0;
    !account.is_root() && metadata.uid() != account.uid && mode & 0o7022 == 0 && mode & 0o004 != 0 && may_run
}
