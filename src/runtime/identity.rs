//! The identity of an installation in `state_dir`: its instance name and its admin token.
//!
//! Both are created at the first start and kept. The directory has mode 0700 and the token 0600. If other users have
//! access, or could have planted a file, the start fails; nothing is repaired silently. Workers that share a directory
//! have different names; otherwise they would treat each other's runners as their own.

use crate::config::read_secret_file;
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;
use secrecy::SecretString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The characters of an instance name.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const INSTANCE_LENGTH: usize = 8;
/// The most workers that can share a directory.
const MAX_INSTANCES: u32 = 64;
/// More than any of the files contains.
const MAX_FILE_BYTES: u64 = 4096;
/// The number of random bytes in an admin token.
const TOKEN_BYTES: usize = 32;

/// The state directory, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Other users may read a secret.
    #[error("{} can be opened by other users; run: chmod 600 {}", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// Other users may create files in it.
    #[error("{} can be written by other users (mode {mode:04o})", .0.display(), mode = .1)]
    Shared(PathBuf, u32),
    /// Another user created it.
    #[error("{} belongs to user {owner}; expected this user or root", .0.display(), owner = .1)]
    Foreign(PathBuf, u32),
    /// It is a link or another kind of non-regular file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// A lock of a process that has ended is still held: a child process that it had just forked holds it a moment
    /// longer.
    #[error("{} is still locked by a process that has ended; retry", .0.display())]
    NotReleased(PathBuf),
    /// The contents are invalid.
    #[error("{} is damaged; remove it so that a new one is created", .0.display())]
    Damaged(PathBuf),
}

impl IdentityError {
    /// Returns the operator's remedy; none if the error contains it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "set server.state_dir to a folder that this user can write to".to_owned(),
            Self::Shared(path, _) => format!(
                "run `chmod go-w {0}`, or set server.state_dir to a folder in it, for example {0}/jitgate",
                path.display()
            ),
            Self::Foreign(path, _) | Self::NotAFile(path) => format!(
                "check the origin of {0}; remove it so that it is created again, or configure another place",
                path.display()
            ),
            Self::Exposed(_) | Self::NotReleased(_) | Self::Damaged(_) => return None,
        })
    }
}

/// A check of the owner and the mode of a file.
type Check = fn(&Path, &Metadata) -> Result<(), IdentityError>;

/// Checks that a file or directory belongs to this user or root, and that no other user can write to it.
fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), IdentityError> {
    let (owner, mode) = (metadata.uid(), metadata.permissions().mode() & 0o7777);
    if owner != 0 && owner != geteuid().as_raw() {
        return Err(IdentityError::Foreign(path.to_owned(), owner));
    }
    match mode & 0o022 {
        0 => Ok(()),
        _ if metadata.is_dir() => Err(IdentityError::Shared(path.to_owned(), mode)),
        _ => Err(IdentityError::Exposed(path.to_owned())),
    }
}

/// Accepts every owner.
#[expect(clippy::unnecessary_wraps, reason = "it stands in the place of check_owner")]
fn accept(_: &Path, _: &Metadata) -> Result<(), IdentityError> {
    Ok(())
}

/// Creates the state directory if it is missing.
///
/// # Errors
/// Fails if it cannot be created, or other users can write to it.
pub fn prepare_state_dir(path: &Path) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::Io {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed)?;
    check_state_dir(path)
}

/// Checks that an existing state directory belongs to this user alone.
///
/// # Errors
/// Fails if other users can write to it.
pub fn check_state_dir(path: &Path) -> Result<(), IdentityError> {
    match std::fs::metadata(path) {
        Ok(metadata) => check_owner(path, &metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(IdentityError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The identity of an instance. The name has eight characters and distinguishes its runners from others.
#[derive(Debug)]
pub struct Instance {
    pub name: String,
    /// The identity of this directory on this machine since its boot. A copy of the directory has another one.
    pub place: String,
    path: PathBuf,
    /// The lock, which is held while a worker uses the name. The system releases it with the process.
    _lock: Option<File>,
}

/// Returns the first instance name of this directory without a lock, for processes that create no runners.
///
/// # Errors
/// Fails if the file cannot be read or written, or is damaged.
pub fn shared_instance(state_dir: &Path) -> Result<Instance, IdentityError> {
    let path = state_dir.join("instance");
    let name = instance_name(&path)?;
    Ok(Instance {
        name,
        place: String::new(),
        path,
        _lock: None,
    })
}

/// Returns the name of the pool of this directory, which is its first instance name; none before the first start. Root can
/// read it in the directory of another user, which no worker of root takes.
#[must_use]
pub fn pool_name(state_dir: &Path) -> Option<String> {
    let check: Check = if geteuid().is_root() { accept } else { check_owner };
    let kept = read_checked(&state_dir.join("instance"), check).ok().flatten()?;
    Some(kept.text).filter(|name| !name.is_empty())
}

/// Returns the first instance name of this directory that no other worker uses, and locks it.
///
/// # Errors
/// Fails if a file cannot be read, written or locked, or is damaged.
pub fn own_instance(state_dir: &Path) -> Result<Instance, IdentityError> {
    let mut path = state_dir.join("instance");
    for number in 2.. {
        let name = instance_name(&path)?;
        let lock_path = path.with_extension("lock");
        let failed = |source| IdentityError::Io {
            path: lock_path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&lock_path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {
                lock.set_len(0).map_err(failed)?;
                writeln!(lock, "{}", std::process::id()).map_err(failed)?;
                let place = place_of(&lock).map_err(failed)?;
                return Ok(Instance {
                    name,
                    place,
                    path,
                    _lock: Some(lock),
                });
            }
            Err(TryLockError::WouldBlock) if number <= MAX_INSTANCES => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid).map_err(failed)?;
                if pid.trim().parse().is_ok_and(has_ended) {
                    return Err(IdentityError::NotReleased(lock_path));
                }
            }
            Err(error) => return Err(failed(error.into())),
        }
        path = state_dir.join(format!("instance-{number}"));
    }
    Err(IdentityError::Damaged(path))
}

/// Discards a name that another worker uses. The next [`own_instance`] creates a new one in its place.
///
/// # Errors
/// Fails if the file cannot be replaced.
pub(super) fn rename(instance: Instance) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::Io {
        path: instance.path.clone(),
        source,
    };
    std::fs::remove_file(&instance.path).map_err(failed)?;
    instance_name(&instance.path).map(drop)
}

/// Returns a random word of 32 hexadecimal digits.
///
/// # Errors
/// Fails if the system returns no random numbers.
pub fn random_word() -> Result<String, IdentityError> {
    let mut bytes = [0_u8; 16];
    random(&mut bytes).map_err(|source| IdentityError::Io {
        path: PathBuf::from("/dev/urandom"),
        source,
    })?;
    Ok(hex::encode(bytes))
}

/// Two holders of a lock on the same file of the same boot follow each other. A copy of a disk has other files, and a
/// copy of a machine has another boot.
fn place_of(lock: &File) -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let file = lock.metadata()?;
    Ok(format!("{}/{}/{}", boot.trim(), file.dev(), file.ino()))
}

/// Returns true if no process has this id.
pub(super) fn has_ended(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

fn instance_name(path: &Path) -> Result<String, IdentityError> {
    let name = kept(path, || {
        let mut bytes = [0_u8; INSTANCE_LENGTH];
        random(&mut bytes)?;
        Ok(bytes
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
            .map(|byte| char::from(*byte))
            .collect())
    })?
    .text;
    let plain = name.len() == INSTANCE_LENGTH && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain {
        Ok(name)
    } else {
        Err(IdentityError::Damaged(path.to_owned()))
    }
}

/// Returns the bearer token of the admin API.
///
/// # Errors
/// Fails if the file cannot be read or written, is empty, or can be read by other users.
pub fn admin_token(path: &Path) -> Result<SecretString, IdentityError> {
    // Kubernetes mounts a Secret as links.
    let is_mounted = std::fs::read_link(path).is_ok_and(|to| to.starts_with("..data"));
    if is_mounted {
        return read_secret_file(path).map_err(|error| IdentityError::Io {
            path: path.to_owned(),
            source: io::Error::other(error),
        });
    }
    let token = kept(path, || {
        let mut bytes = [0_u8; TOKEN_BYTES];
        random(&mut bytes)?;
        Ok(hex::encode(bytes))
    })?;
    if token.metadata.permissions().mode() & 0o077 != 0 {
        return Err(IdentityError::Exposed(path.to_owned()));
    }
    if token.text.is_empty() {
        return Err(IdentityError::Damaged(path.to_owned()));
    }
    Ok(SecretString::from(token.text))
}

/// The contents of a small file.
struct Kept {
    text: String,
    metadata: Metadata,
}

/// Reads a small file, or creates it with mode 0600. If two processes create it concurrently, one wins and both read
/// the same text.
fn kept(path: &Path, make: impl FnOnce() -> io::Result<String>) -> Result<Kept, IdentityError> {
    let failed = |source| IdentityError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(kept) = read_kept(path)? {
        return Ok(kept);
    }
    let text = make().map_err(failed)?;
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    remove_leftover(&draft)?;
    // `create_new` follows no link and opens no existing file.
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&draft);
    let mut file = file.map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft).map_err(failed)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
        _ => read_kept(path)?.ok_or_else(|| failed(ErrorKind::NotFound.into())),
    }
}

/// Removes the draft of a killed process with the same id. Anything else at this path was planted.
fn remove_leftover(draft: &Path) -> Result<(), IdentityError> {
    let metadata = match std::fs::symlink_metadata(draft) {
        Ok(metadata) => metadata,
        Err(_) => return Ok(()),
    };
    if !metadata.is_file() {
        return Err(IdentityError::NotAFile(draft.to_owned()));
    }
    check_owner(draft, &metadata)?;
    std::fs::remove_file(draft).map_err(|source| IdentityError::Io {
        path: draft.to_owned(),
        source,
    })
}

/// Returns none if the file does not exist.
fn read_kept(path: &Path) -> Result<Option<Kept>, IdentityError> {
    read_checked(path, check_owner)
}

/// Returns none if the file does not exist. A link, a pipe or a device is not opened.
fn read_checked(path: &Path, check: Check) -> Result<Option<Kept>, IdentityError> {
    let failed = |source| IdentityError::Io {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(IdentityError::NotAFile(path.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let file = File::from(opened);
    let metadata = file.metadata().map_err(failed)?;
    check(path, &metadata)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(failed)?;
    let text = text.trim().to_owned();
    Ok(Some(Kept { text, metadata }))
}

fn random(bytes: &mut [u8]) -> io::Result<()> {
    File::open("/dev/urandom")?.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn name_and_token_are_created_once_and_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("state");
        prepare_state_dir(&state).expect("made");
        let first = shared_instance(&state).expect("made").name;
        assert_eq!(shared_instance(&state).expect("kept").name, first);
        let token = admin_token(&state.join("admin-token")).expect("made");
        let again = admin_token(&state.join("admin-token")).expect("kept");
        assert_eq!(token.expose_secret(), again.expose_secret());
        assert_eq!(token.expose_secret().len(), 64);
        assert_eq!(
            std::fs::read_dir(&state).expect("listed").count(),
            2,
            "drafts are removed"
        );
    }

    #[test]
    fn workers_of_one_directory_have_different_names_and_keep_them() {
        let dir = tempfile::tempdir().expect("a directory");
        let one = own_instance(dir.path()).expect("a name");
        let two = own_instance(dir.path()).expect("another");
        assert_ne!(one.name, two.name);
        let was = one.name.clone();
        drop(one);
        let again = own_instance(dir.path()).expect("the first again");
        assert_eq!(again.name, was);
        assert_ne!(again.place, two.place);
        rename(again).expect("it is given up");
        assert_ne!(own_instance(dir.path()).expect("a new one").name, was);
    }

    #[test]
    fn a_token_that_others_can_read_is_rejected() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin-token");
        admin_token(&path).expect("made");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
        let error = admin_token(&path).expect_err("refused");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}
