//! Times as the tables hold them: milliseconds since 1970, UTC.

use chrono::{DateTime, Utc};
use std::time::Duration;

pub(super) fn to_ms(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// Reads a stored time. One that is out of range can only be a wait without end.
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
