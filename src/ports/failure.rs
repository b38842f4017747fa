//! The failure of a port, classified by what the caller must do next.

use chrono::{DateTime, Utc};

/// A failed call, classified by what the caller must do next. The text names the fault and the object; it holds no
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Retry later: the other side is unreachable, too slow or has an internal error.
    #[error("{0}")]
    Transient(String),
    /// Retry, but not before `until`.
    #[error("{detail} (limited until {until})")]
    RateLimited {
        /// The end of the limit.
        until: DateTime<Utc>,
        /// The call that was limited.
        detail: String,
    },
    /// A retry is useless until an operator changes something.
    #[error("{0}")]
    Permanent(String),
}
