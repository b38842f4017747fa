//! Files that hold one secret each. One that others can read is refused: it is no secret any more.
//!
//! Kubernetes mounts the files of a Secret as links into a read-only volume: owned by root, and readable for the group that
//! `fsGroup` names. Such a file is as closed as one of our own.

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::{Gid, getegid, geteuid, getgroups};
use secrecy::SecretString;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// More than any key or token has.
const LARGEST_BYTES: u64 = 65_536;

/// Why a secret was not taken from a file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It is not there, or not for us.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// A directory, a pipe, a device.
    #[error("is no plain file")]
    NotAFile,
    /// Group or others may open it.
    #[error("can be opened by others (mode {0:04o})")]
    Exposed(u32),
    /// A commit away from being published.
    #[error("lies inside the git work tree {0}")]
    InGitWorkTree(PathBuf),
    /// Nothing in it.
    #[error("is empty")]
    Empty,
    /// Too large, or not text.
    #[error("holds no text of at most {LARGEST_BYTES} bytes")]
    NotText,
}

impl SecretFileError {
    /// What an operator does about it.
    #[must_use]
    pub fn remedy(&self, path: &Path) -> String {
        let is_read_only = statvfs(path).is_ok_and(|volume| volume.f_flag.contains(StatVfsMountFlags::RDONLY));
        let path = path.display();
        match self {
            Self::Unreadable(_) => "name an existing file that this user can read".to_owned(),
            Self::NotAFile => "name a plain file".to_owned(),
            Self::Exposed(_) if is_read_only => {
                "set `defaultMode: 0440` for the volume, and `fsGroup` for the pod: the file has to be of root and of a group \
                 of this process"
                    .to_owned()
            }
            Self::Exposed(_) => {
                format!("run `chmod 600 {path}`, or set `defaultMode: 0440` where it is a volume of Kubernetes")
            }
            Self::InGitWorkTree(_) => {
                "move it outside, for example to /etc/jitgate, and make a new key if it was ever committed".to_owned()
            }
            Self::Empty | Self::NotText => "put the secret into it, and nothing else".to_owned(),
        }
    }
}

/// Reads a secret. The line end after it is not part of it.
///
/// # Errors
/// When the file cannot be read, is open to others, is empty, or holds something else than one short text.
pub fn read(path: &Path) -> Result<SecretString, SecretFileError> {
    // Asked for before opening: opening a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(SecretFileError::Unreadable)?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile);
    }
    let file = File::open(path).map_err(SecretFileError::Unreadable)?;
    let opened = file.metadata().map_err(SecretFileError::Unreadable)?;
    if !is_closed(&opened, path) {
        return Err(SecretFileError::Exposed(opened.permissions().mode() & 0o7777));
    }
    let mut text = String::new();
    let length = file
        .take(LARGEST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|_| SecretFileError::NotText)?;
    if length as u64 > LARGEST_BYTES {
        return Err(SecretFileError::NotText);
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.trim().is_empty() {
        return Err(SecretFileError::Empty);
    }
    Ok(SecretString::from(secret))
}

/// Whether nobody reads or writes a file but its owner, root and, where root has given it to a group of ours, that group.
fn is_closed(file: &Metadata, path: &Path) -> bool {
    let others = file.permissions().mode() & 0o077;
    let is_of_our_group = || {
        let group = Gid::from_raw(file.gid());
        getegid() == group || getgroups().is_ok_and(|groups| groups.contains(&group))
    };
    // What systemd's LoadCredential= makes: one reader beside root, let in by an access list that shows as the group's.
    let is_credential = || file.gid() == 0 && path.starts_with("/run/credentials");
    // Where we are root, we could have closed a file that can be changed.
    let cannot_be_closed = || file.permissions().mode() & 0o222 == 0 || !geteuid().is_root();
    let is_roots = others == 0o040 && file.uid() == 0;
    others == 0 || is_roots && (is_credential() || is_of_our_group() && cannot_be_closed())
}

/// Reads a private key: a secret that must not lie in a git work tree either.
///
/// # Errors
/// As [`read`], and when the file, or what it links to, is inside a git work tree.
pub(super) fn read_private_key(path: &Path) -> Result<SecretString, SecretFileError> {
    let real = path.canonicalize().map_err(SecretFileError::Unreadable)?;
    // `.git` is a directory, or a file in linked work trees and submodules.
    if let Some(tree) = real.ancestors().skip(1).find(|folder| folder.join(".git").exists()) {
        return Err(SecretFileError::InGitWorkTree(tree.to_owned()));
    }
    read(path)
}
