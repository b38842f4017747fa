//! Opens the file: checks the access, the contents and the version, and sets the durability.

use super::failure::OpenError;
use super::lock::Lock;
use super::schema;
use rusqlite::{Connection, OpenFlags};
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// The time for which a start or a command waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The time for which a serving process waits. A write that arrives in the meantime waits as long again; the sum stays
/// below the 2 s within which the sender of a delivery gets its answer.
const SERVING_BUSY_TIMEOUT: Duration = Duration::from_millis(700);
/// The size that the write-ahead log is truncated to after a checkpoint.
const MAX_LOG_BYTES: i64 = 64 << 20;

/// The use that a process makes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Serves: only one process at a time can, and a missing file is created.
    Serve,
    /// Reads, or makes a small change, beside the process that serves.
    Command,
}

/// Opens the connection that writes, and takes the lock of a serving process.
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
            // The lock prevents a migration while an earlier version serves.
            let _for_now = lock.is_none().then(|| Lock::take(path)).transpose()?;
            schema::migrate(&mut connection).map_err(refused)?;
        }
    }
    if mode == OpenMode::Serve {
        connection.busy_timeout(SERVING_BUSY_TIMEOUT).map_err(refused)?;
    }
    Ok((connection, lock))
}

/// Opens another connection to an open store, which cannot write.
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

/// Creates the file if it is missing, readable by its owner only, and takes the lock.
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
    // An existing file is not opened: closing it would release the locks of a store that is open in this process.
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
        connection.pragma_update(None, "journal_size_limit", MAX_LOG_BYTES)?;
    }
    Ok(connection)
}
