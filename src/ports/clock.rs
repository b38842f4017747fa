//! Time. Nothing else in the crate reads a clock, so tests and replay move time instead of waiting for it.

use chrono::{DateTime, Utc};

/// A source of the time of day.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}
