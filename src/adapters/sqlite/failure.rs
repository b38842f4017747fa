//! The errors of opening a database, and how a caller must handle an error of SQLite.

use crate::ports::Failure;
use rusqlite::ErrorCode;
use std::io;
use std::path::PathBuf;

/// The reason why a file was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves it, or an earlier version of jitgate does and the file would have to be migrated.
    #[error("{} is in use by another jitgate serve{}; stop that process", path.display(), process_suffix(*pid))]
    Held {
        path: PathBuf,
        /// The process that holds it; none just after it has taken the lock.
        pid: Option<u32>,
    },
    /// Only `serve` creates a new file.
    #[error("{} does not exist; start jitgate serve to create it", path.display())]
    Missing { path: PathBuf },
    /// It is the database of another program.
    #[error("{} is not a database of jitgate", path.display())]
    Foreign { path: PathBuf },
    /// A later version of jitgate wrote it.
    #[error("{} has layout {found}, but this version supports at most {known}; use a newer version", path.display())]
    Newer {
        path: PathBuf,
        /// The version of the file.
        found: usize,
        /// The latest version that this jitgate supports.
        known: usize,
    },
    /// The file system reported an error.
    #[error("cannot open {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
    /// SQLite reported an error.
    #[error("cannot open {}: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
}

fn process_suffix(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// Classifies an error. A full disk, an I/O error and a busy file are temporary. A damaged or read-only file stays so until the
/// operator repairs it.
pub(super) fn failure(error: &rusqlite::Error) -> Failure {
    let text = format!("the store failed: {error}");
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ReadOnly | ErrorCode::PermissionDenied,
        ) => Failure::Permanent(text),
        _ => Failure::Transient(text),
    }
}
