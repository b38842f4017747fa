//! The lock of the one serving process, on a file beside the database. The system releases it when the process ends,
//! for any reason; the file stays.

use super::failure::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The lock, which is held until this value is dropped.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the existing database at `database`, and writes the id of this process to the lock file.
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        match try_take(database) {
            Ok(Ok(lock)) => Ok(lock),
            Ok(Err(pid)) => Err(OpenError::Held {
                path: database.to_owned(),
                pid,
            }),
            Err(source) => Err(OpenError::File {
                path: database.to_owned(),
                source,
            }),
        }
    }
}

/// Returns the lock, or the id of the process that holds it.
fn try_take(database: &Path) -> io::Result<Result<Lock, Option<u32>>> {
    // The canonical path gives one lock for all links to the database.
    let mut path = database.canonicalize()?;
    path.as_mut_os_string().push(".lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())?;
            Ok(Ok(Lock { _file: file }))
        }
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid)?;
            Ok(Err(pid.trim().parse().ok()))
        }
        Err(TryLockError::Error(source)) => Err(source),
    }
}
