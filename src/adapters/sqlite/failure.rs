//! What the caller must do about an error of SQLite.

use crate::ports::Failure;
use rusqlite::ErrorCode;

/// A full disk, an I/O error and a busy file may pass. A damaged or read-only file stays so until somebody acts.
pub(super) fn failure(error: &rusqlite::Error) -> Failure {
    let text = format!("the store cannot do it: {error}");
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ReadOnly | ErrorCode::PermissionDenied,
        ) => Failure::Permanent(text),
        _ => Failure::Transient(text),
    }
}
