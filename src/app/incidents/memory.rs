//! The times at which this process asked GitHub for the routing of a repository.

use crate::domain::ids::RepositoryName;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The minimum time between two questions about one repository.
const LOOK_INTERVAL: TimeDelta = TimeDelta::seconds(30);

/// The latest question about each repository.
#[derive(Debug, Default)]
pub struct Looks(Mutex<HashMap<RepositoryName, DateTime<Utc>>>);

impl Looks {
    /// Returns true if a question is due, and records it. `must` asks for a question regardless of the interval.
    pub(super) fn begin(&self, repository: &RepositoryName, must: bool, now: DateTime<Utc>) -> bool {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &DateTime<Utc>| *at <= now && now - *at < LOOK_INTERVAL;
        if !must && looks.get(repository).is_some_and(is_recent) {
            return false;
        }
        looks.insert(repository.clone(), now);
        true
    }
}
