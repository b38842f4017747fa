//! Files with one secret each. A file that others can read is rejected, because its content is no secret.
//!
//! Kubernetes mounts the files of a Secret as links into a read-only volume. They belong to root and are readable for
//! the group in `fsGroup`. Such a file counts as closed.

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::{Gid, getegid, geteuid, getgroups};
use secrecy::SecretString;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Maximum size of a key or token.
const MAX_BYTES: u64 = 65_536;

/// An unusable secret file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file is missing or not readable.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// The path is a directory, a pipe or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// The group or others can open the file.
    #[error("is readable by others (mode {0:04o})")]
    Exposed(u32),
    /// The file could be committed by mistake.
    #[error("is inside the git work tree {0}")]
    InGitWorkTree(PathBuf),
    /// The file is empty.
    #[error("is empty")]
    Empty,
    /// The file is too large or contains no text.
    #[error("does not contain a text of at most {MAX_BYTES} bytes")]
    NotText,
}

impl SecretFileError {
    /// Returns the remedy.
    #[must_use]
    pub fn remedy(&self, path: &Path) -> String {
        let is_read_only = statvfs(path).is_ok_and(|volume| volume.f_flag.contains(StatVfsMountFlags::RDONLY));
        let path = path.display();
        match self {
            Self::Unreadable(_) => "name an existing file that this user can read".to_owned(),
            Self::NotAFile => "use a regular file".to_owned(),
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

/// Reads a secret. Its last line end is not a part of it.
///
/// # Errors
/// If the file cannot be read, is open to others, is empty, or contains anything but one short text.
pub fn read(path: &Path) -> Result<SecretString, SecretFileError> {
    // The type is checked before opening, because opening a pipe would wait for a writer.
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
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|_| SecretFileError::NotText)?;
    if length as u64 > MAX_BYTES {
        return Err(SecretFileError::NotText);
    }
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.trim().is_empty() {
        return Err(SecretFileError::Empty);
    }
    Ok(SecretString::from(secret))
}

/// Returns true if only the owner, root and, if root assigned one of our groups, that group can read or write the file.
fn is_closed(file: &Metadata, path: &Path) -> bool {
    let others = file.permissions().mode() & 0o077;
    let is_of_our_group = || {
        let group = Gid::from_raw(file.gid());
        getegid() == group || getgroups().is_ok_and(|groups| groups.contains(&group))
    };
    // systemd's LoadCredential= permits one reader in addition to root by an access list, which appears as the group's
    // permission.
    let is_credential = || file.gid() == 0 && path.starts_with("/run/credentials");
    // As root, jitgate requires that a changeable file is closed.
    let cannot_be_closed = || file.permissions().mode() & 0o222 == 0 || !geteuid().is_root();
    let is_roots = others == 0o040 && file.uid() == 0;
    others == 0 || is_roots && (is_credential() || is_of_our_group() && cannot_be_closed())
}

/// Reads a private key: a secret that must also be outside of any git work tree.
///
/// # Errors
/// As for [`read`], and if the file or its link target is inside a git work tree.
pub(super) fn read_private_key(path: &Path) -> Result<SecretString, SecretFileError> {
    let real = path.canonicalize().map_err(SecretFileError::Unreadable)?;
    // `.git` is a directory, or a file in linked work trees and submodules.
    if let Some(tree) = real.ancestors().skip(1).find(|folder| folder.join(".git").exists()) {
        return Err(SecretFileError::InGitWorkTree(tree.to_owned()));
    }
    read(path)
}
