//! The errors of opening a database, and how a caller must handle an error of SQLite.

use crate::ports::Failure;
use rusqlite::ErrorCode;
use std::io;
use std::path::PathBuf;

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves it, or an earlier version of us does and the file would have to be migrated.
    #[error("{} is held by another jitgate serve{}", path.display(), as_process(*pid))]
    Held {
        /// The database.
        path: PathBuf,
        /// The process that holds it; none in the instant before it has said so.
        pid: Option<u32>,
    },
    /// Only `serve` makes a new file.
    #[error("{} does not exist; jitgate serve makes it", path.display())]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// A database of some other program.
    #[error("{} is a database, but not one of jitgate", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// Written by a later version of jitgate.
    #[error("{} has layout {found}, and this jitgate knows {known} at most; use a newer one", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// The file system refused.
    #[error("cannot open {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot open {}: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

fn as_process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", process {pid}"))
}

/// Classifies an error. A full disk, an I/O error and a busy file are temporary. A damaged or read-only file stays so until the
/// operator repairs it.
pub(super) fn failure(error: &rusqlite::Error) -> Failure {
    let text = format!("the store cannot do it: {error}");
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ReadOnly | ErrorCode::PermissionDenied,
        ) => Failure::Permanent(text),
        _ => Failure::Transient(text),
    }
}
