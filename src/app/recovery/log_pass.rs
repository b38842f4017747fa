//! A pass over the delivery log that is under way. It survives an interruption by GitHub.

use crate::domain::recovery::log::Log;
use chrono::{DateTime, Utc};

/// A pass under way.
pub(super) struct LogPass {
    pub(super) began: DateTime<Utc>,
    pub(super) back_to: DateTime<Utc>,
    /// The cursor of the next page.
    pub(super) cursor: Option<String>,
    pub(super) pages: u32,
    pub(super) attempts: usize,
    pub(super) is_read: bool,
    pub(super) log: Log,
}

impl LogPass {
    pub(super) fn begin(now: DateTime<Utc>, back_to: DateTime<Utc>) -> Self {
        Self {
            began: now,
            back_to,
            cursor: None,
            pages: 0,
            attempts: 0,
            is_read: false,
            log: Log::default(),
        }
    }
}
