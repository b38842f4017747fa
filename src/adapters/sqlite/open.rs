//! Opening the file: who may, what it must be, and how it is made safe.

use super::failure::OpenError;
use super::lock::Lock;
use super::schema;
use rusqlite::{Connection, OpenFlags};
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// How long a start or a command waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a process that serves does. What comes meanwhile waits as long again: both together stay below the 2 s within
/// which a sender of deliveries is answered.
const SERVING_BUSY_TIMEOUT: Duration = Duration::from_millis(700);
/// Size the write-ahead log is cut back to after a checkpoint.
const LOG_BYTES: i64 = 64 << 20;

/// What a process wants of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Work the queue: only one process can, and the file is made when it is missing.
    Serve,
    /// Look, or change something small, beside the one that serves.
    Command,
}

/// The connection that writes, and the lock that a serving process holds for as long.
pub(super) fn open(path: &Path, mode: OpenMode) -> Result<(Connection, Option<Lock>), OpenError> {
    let lock = match mode {
        OpenMode::Serve => Some(claim_file(path)?),
        OpenMode::Command if path.exists() => None,
        OpenMode::Command => return Err(OpenError::Missing { path: path.to_owned() }),
    };
    let refused = |source| OpenError::Database {
        path: path.to_owned(),
        source,
    };
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(refused)?;
    match schema::version(&connection).map_err(refused)? {
        None => return Err(OpenError::Foreign { path: path.to_owned() }),
        Some(schema::CURRENT) => {}
        Some(found) if found > schema::CURRENT => {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                found,
                known: schema::CURRENT,
            });
        }
        Some(_) => {
            // Not under the feet of an earlier version that serves.
            let _for_now = lock.is_none().then(|| Lock::take(path)).transpose()?;
            schema::migrate(&mut connection).map_err(refused)?;
        }
    }
    if mode == OpenMode::Serve {
        connection.busy_timeout(SERVING_BUSY_TIMEOUT).map_err(refused)?;
    }
    Ok((connection, lock))
}

/// Another connection to an open store, which cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let reader = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|reader| {
        reader.busy_timeout(SERVING_BUSY_TIMEOUT)?;
        Ok(reader)
    });
    reader.map_err(|source| OpenError::Database {
        path: path.to_owned(),
        source,
    })
}

/// Sees to it that the file exists, nobody else's to read, and takes the lock.
fn claim_file(path: &Path) -> Result<Lock, OpenError> {
    let failed = |path: &Path, source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| failed(folder, source))?;
    }
    // Not opened when it is there: closing it would let go of the locks of a store that is open in this process.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made.map(drop) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(failed(path, source)),
        _ => Lock::take(path),
    }
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if access == OpenFlags::SQLITE_OPEN_READ_WRITE {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    }
    Ok(connection)
}
