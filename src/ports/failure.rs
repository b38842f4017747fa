//! How a port fails: not what broke, but what the caller must do next.

use chrono::{DateTime, Utc};

/// A failed call, by what the caller must do next. The text says what failed and for which object; it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Try again later: out of reach, too slow, an error of the other side.
    #[error("{0}")]
    Transient(String),
    /// Try again, but not before `until`.
    #[error("{detail} (limited until {until})")]
    RateLimited {
        /// When the limit ends.
        until: DateTime<Utc>,
        /// What was limited.
        detail: String,
    },
    /// Trying again is useless until somebody changes something.
    #[error("{0}")]
    Permanent(String),
}
