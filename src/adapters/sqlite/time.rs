//! The times in the tables: milliseconds since 1970, UTC.

use chrono::{DateTime, Utc};
use std::time::Duration;

pub(super) fn to_ms(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// Parses a stored time. A time out of range can only be an endless wait.
pub(super) fn from_ms(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(super) fn later(now: i64, by: Duration) -> i64 {
    now.saturating_add(length(by))
}

pub(super) fn earlier(now: i64, by: Duration) -> i64 {
    now.saturating_sub(length(by))
}

fn length(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
