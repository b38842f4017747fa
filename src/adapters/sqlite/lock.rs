//! One `serve` at a time: a lock on a file beside the database. The system lets go of it with the process, however that
//! ends; the file stays.

use super::failure::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The lock, held while this lives.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the database at `database`, which exists, and leaves this process's id in its file.
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

/// The lock, or the process that holds it.
fn try_take(database: &Path) -> io::Result<Result<Lock, Option<u32>>> {
    // One lock, by whatever links the database is reached.
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
