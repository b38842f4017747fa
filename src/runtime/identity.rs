//! What a gate keeps about itself in `state_dir`: its instance name and its admin token.
//!
//! Both are made on first start and stay. The directory is 0700 and the token 0600; others' access is refused, not mended,
//! and so is a file that others may have planted.
//! Workers that share the directory have a name each, or they would take each other's runners for their own.

use crate::config::read_secret_file;
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;
use secrecy::SecretString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Characters of an instance name.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Length of an instance name.
const INSTANCE_LENGTH: usize = 8;
/// Workers that can share a directory.
const INSTANCES: u32 = 64;
/// More than is kept in any file.
const MAX_KEPT_BYTES: u64 = 4096;
/// Random bytes of an admin token.
const TOKEN_BYTES: usize = 32;

/// The state directory, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Reading or writing failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// Others may read a secret.
    #[error("{} can be opened by others; run: chmod 600 {}", .0.display(), .0.display())]
    Exposed(PathBuf),
    /// Others may plant files.
    #[error("{} can be written by others (mode {mode:04o})", .0.display(), mode = .1)]
    Shared(PathBuf, u32),
    /// Not made by us.
    #[error("{} belongs to user {owner}, who is neither this one nor root", .0.display(), owner = .1)]
    Foreign(PathBuf, u32),
    /// A link, or something else that is no file.
    #[error("{} is no plain file", .0.display())]
    NotAFile(PathBuf),
    /// A process that has ended still holds a lock: one that it had just begun to start has it for a moment longer.
    #[error("{} is held by what is left of a process that has ended", .0.display())]
    Lingering(PathBuf),
    /// The file does not hold what it should.
    #[error("{} is damaged; remove it, and a new one is made", .0.display())]
    Damaged(PathBuf),
}

impl IdentityError {
    /// What an operator does about it; none where the error says it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } => "make server.state_dir a place that this user can write to".to_owned(),
            Self::Shared(path, _) => format!(
                "run `chmod go-w {0}`, or name a folder in it as server.state_dir, for example {0}/jitgate",
                path.display()
            ),
            Self::Foreign(path, _) | Self::NotAFile(path) => format!(
                "see who made {0}; remove it, and it is made anew, or name another place",
                path.display()
            ),
            Self::Exposed(_) | Self::Lingering(_) | Self::Damaged(_) => return None,
        })
    }
}

/// Whether a file or directory is ours or root's, and nobody else can write to it.
fn check_ours(path: &Path, metadata: &Metadata) -> Result<(), IdentityError> {
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

/// Makes the state directory if it is missing.
///
/// # Errors
/// When it cannot be made, or others can write to it.
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

/// Whether a state directory that is there belongs to us alone.
///
/// # Errors
/// When others can write to it.
pub fn check_state_dir(path: &Path) -> Result<(), IdentityError> {
    match std::fs::metadata(path) {
        Ok(metadata) => check_ours(path, &metadata),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(IdentityError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// This instance's name: eight characters that tell its runners from others'.
#[derive(Debug)]
pub struct Instance {
    /// The name.
    pub name: String,
    /// Of this directory on this machine since it was started, and of nothing else: a copy of the directory has another one.
    pub place: String,
    path: PathBuf,
    /// Locked for as long as a worker goes by that name; the system lets go of it with the process.
    _lock: Option<File>,
}

/// The first instance name of this directory, which is nobody's alone: for processes that make no runners.
///
/// # Errors
/// When the file cannot be read, written or understood.
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

/// The first instance name of this directory that no other worker goes by.
///
/// # Errors
/// When a file cannot be read, written, locked or understood.
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
            Err(TryLockError::WouldBlock) if number <= INSTANCES => {
                let mut pid = String::new();
                lock.read_to_string(&mut pid).map_err(failed)?;
                if pid.trim().parse().is_ok_and(has_ended) {
                    return Err(IdentityError::Lingering(lock_path));
                }
            }
            Err(error) => return Err(failed(error.into())),
        }
        path = state_dir.join(format!("instance-{number}"));
    }
    Err(IdentityError::Damaged(path))
}

/// Gives up a name that turned out to be somebody else's. The next [`own_instance`] finds another one in its place.
///
/// # Errors
/// When the file cannot be replaced.
pub(super) fn rename(instance: Instance) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::Io {
        path: instance.path.clone(),
        source,
    };
    std::fs::remove_file(&instance.path).map_err(failed)?;
    instance_name(&instance.path).map(drop)
}

/// A word for a process that no other one has.
///
/// # Errors
/// When the system gives no random numbers.
pub(super) fn process_word() -> Result<String, IdentityError> {
    let mut bytes = [0_u8; 16];
    random(&mut bytes).map_err(|source| IdentityError::Io {
        path: PathBuf::from("/dev/urandom"),
        source,
    })?;
    Ok(hex::encode(bytes))
}

/// Whoever holds a lock on the same file on the same running machine comes after whoever held it before. A disk that is
/// copied is another file, and a machine that is copied is started by itself.
fn place_of(lock: &File) -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let file = lock.metadata()?;
    Ok(format!("{}/{}/{}", boot.trim(), file.dev(), file.ino()))
}

/// Whether there is no process of this id.
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

/// The admin API's bearer token.
///
/// # Errors
/// When the file cannot be read or written, is empty, or can be read by others.
pub fn admin_token(path: &Path) -> Result<SecretString, IdentityError> {
    // Kubernetes mounts a Secret as links of its own.
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

/// A small file of ours.
struct Kept {
    text: String,
    metadata: Metadata,
}

/// Reads a small file, or makes it with mode 0600. Of two that make it at once, one wins and both read the same.
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
    // Follows no link, and opens nothing that is there.
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

/// What a process of our id left behind, which was killed. Anything else was planted.
fn remove_leftover(draft: &Path) -> Result<(), IdentityError> {
    let metadata = match std::fs::symlink_metadata(draft) {
        Ok(metadata) => metadata,
        Err(_) => return Ok(()),
    };
    if !metadata.is_file() {
        return Err(IdentityError::NotAFile(draft.to_owned()));
    }
    check_ours(draft, &metadata)?;
    std::fs::remove_file(draft).map_err(|source| IdentityError::Io {
        path: draft.to_owned(),
        source,
    })
}

/// None if it is not there. A link, a pipe or a device is opened by nobody.
fn read_kept(path: &Path) -> Result<Option<Kept>, IdentityError> {
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
    check_ours(path, &metadata)?;
    let mut text = String::new();
    file.take(MAX_KEPT_BYTES).read_to_string(&mut text).map_err(failed)?;
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
    fn both_are_made_once_and_kept() {
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
    fn workers_of_one_directory_have_a_name_each_and_have_it_again() {
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
    fn a_token_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("admin-token");
        admin_token(&path).expect("made");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("changed");
        let error = admin_token(&path).expect_err("refused");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}
