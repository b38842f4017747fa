//! The primary rate limit: a number of calls per hour.

use super::world::RateLimitChange;
use chrono::{DateTime, TimeDelta, Utc};

const HOURLY_LIMIT: u64 = 5000;

pub(super) struct Quota {
    limit: u64,
    pub(super) used: u64,
    resets_at: Option<DateTime<Utc>>,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            limit: HOURLY_LIMIT,
            used: 0,
            resets_at: None,
        }
    }
}

impl Quota {
    pub(super) fn set(&mut self, change: RateLimitChange, now: DateTime<Utc>) {
        self.renew(now);
        self.limit = change.limit.unwrap_or(self.limit);
        if let Some(remaining) = change.remaining {
            self.used = self.limit.saturating_sub(remaining);
        }
    }

    /// Starts a new hour if the old one is over, and returns its end.
    fn renew(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self.resets_at {
            Some(at) if now < at => at,
            _ => {
                self.used = 0;
                *self.resets_at.insert(now + TimeDelta::hours(1))
            }
        }
    }

    /// Returns the limit, the used and the remaining calls, and the time of the reset.
    pub(super) fn figures(&mut self, now: DateTime<Utc>) -> (u64, u64, u64, i64) {
        let resets_at = self.renew(now).timestamp();
        (self.limit, self.used, self.limit.saturating_sub(self.used), resets_at)
    }
}
