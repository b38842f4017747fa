//! The records of the rollout of a repository: its state, its measured runs, and its routing verdicts.

use super::access::Record;
use crate::domain::ids::{RepositoryName, RunId};
use crate::domain::rollout::{Change, MeasuredRun, Mismatch, Tally};
use crate::ports::ledger::{Keep, Kind};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Number of changes kept for each repository; the newest ones are kept.
const MAX_CHANGES: usize = 200;
/// Number of mismatches kept for each repository; the newest ones are kept.
const MAX_MISMATCHES: usize = 64;
/// Retention of measured runs: a quiet repository needs months for the window of a service level.
const RETENTION_OF_MEASURED_RUNS: Duration = Duration::from_secs(400 * 24 * 3600);

/// The state of the rollout of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutRecord {
    /// The time when routing was last switched on, by GitHub's clock. Triggers judge only runs that were created later.
    pub enabled_at: Option<DateTime<Utc>>,
    /// The history, oldest first.
    pub history: Vec<Change>,
}

impl RolloutRecord {
    /// Adds a change to the history.
    pub fn note(&mut self, change: Change) {
        self.history.push(change);
        let surplus = self.history.len().saturating_sub(MAX_CHANGES);
        self.history.drain(..surplus);
    }
}

impl Record for RolloutRecord {
    const KIND: Kind = Kind::Rollout;
    fn is_unfinished(&self) -> bool {
        true
    }
}

/// A measured run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MeasuredRecord(pub MeasuredRun);

impl MeasuredRecord {
    /// Returns the beginning of the ids of all measured runs of a repository. It is less than each of them.
    #[must_use]
    pub fn ids_of(repository: &RepositoryName) -> String {
        format!("{}#", repository.as_str().to_ascii_lowercase())
    }

    /// Returns the id of a measured run. A list of these ids in ascending order begins with the newest run.
    #[must_use]
    pub fn id(repository: &RepositoryName, created_at: DateTime<Utc>, run: RunId, attempt: u32) -> String {
        let age = u64::MAX - created_at.timestamp_millis().unsigned_abs();
        let (run, attempt) = (u64::MAX - run.0, u32::MAX - attempt);
        format!("{}{age:020}-{run:020}-{attempt:010}", Self::ids_of(repository))
    }
}

impl Record for MeasuredRecord {
    const KIND: Kind = Kind::MeasuredRun;
    fn is_unfinished(&self) -> bool {
        false
    }

    fn keep(&self, retention: Duration) -> Keep {
        Keep::For(retention.max(RETENTION_OF_MEASURED_RUNS))
    }
}

/// The routing verdicts of a repository outside its measured runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VerdictsRecord {
    pub tally: Tally,
    /// The mismatches, oldest first.
    pub mismatches: Vec<Mismatch>,
}

impl VerdictsRecord {
    /// Adds a mismatch, once for each job.
    pub fn note(&mut self, mismatch: Mismatch) {
        if self.mismatches.iter().any(|known| known.job == mismatch.job) {
            return;
        }
        self.mismatches.push(mismatch);
        let surplus = self.mismatches.len().saturating_sub(MAX_MISMATCHES);
        self.mismatches.drain(..surplus);
    }
}

impl Record for VerdictsRecord {
    const KIND: Kind = Kind::Verdicts;
    fn is_unfinished(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn the_newest_run_is_listed_first() {
        let repository = RepositoryName::parse("octo/Chem").expect("a name");
        let at = |second| DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        let ids = [(9, 1, 2), (9, 1, 1), (8, 7, 1), (7, 9, 1), (0, 1, 1)]
            .map(|(second, run, attempt)| MeasuredRecord::id(&repository, at(second), RunId(run), attempt));
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(
            ids.iter()
                .all(|id| id.starts_with("octo/chem#") && *id > MeasuredRecord::ids_of(&repository))
        );
    }
}
