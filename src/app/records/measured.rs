//! The records of measurements: measured runs, and the routing verdicts of all other jobs.

use super::access::Record;
use crate::domain::ids::{JobId, RepositoryName, RunId};
use crate::domain::rollout::{MeasuredRun, Mismatch, Tally};
use crate::domain::routing_verdict::RoutingVerdict;
use crate::ports::ledger::{Keep, Kind};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Number of mismatches kept for each repository; the newest ones are kept.
const MAX_MISMATCHES: usize = 64;
/// Number of jobs that the tally remembers. A delivery that is processed again after a crash is among them.
const MAX_RECENT: usize = 256;
/// Retention of measured runs: a quiet repository needs months for the window of a service level.
const RETENTION_OF_MEASURED_RUNS: Duration = Duration::from_secs(400 * 24 * 3600);

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
    /// The jobs that were counted last, with the verdict that they count with.
    pub recent: Vec<(JobId, Option<RoutingVerdict>)>,
    /// The service level objectives that are missed, by name. Their alert was raised.
    pub missed: BTreeSet<String>,
}

/// A change of the verdict that one job counts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountChange {
    pub job: JobId,
    pub from: Option<RoutingVerdict>,
    pub to: Option<RoutingVerdict>,
    /// True if an earlier attempt may have made this change.
    pub is_redo: bool,
}

impl VerdictsRecord {
    /// Counts a job, once although a crash can repeat the change.
    pub fn count(&mut self, change: CountChange) {
        let CountChange { job, from, to, is_redo } = change;
        let known = self.recent.iter().rev().find(|(known, _)| *known == job);
        if is_redo && known.is_some_and(|(_, counted)| *counted == to) {
            return;
        }
        if let Some(from) = from {
            self.tally.take_back(from);
        }
        if let Some(to) = to {
            self.tally.add(to);
        }
        self.recent.retain(|(known, _)| *known != job);
        self.recent.push((job, to));
        let surplus = self.recent.len().saturating_sub(MAX_RECENT);
        self.recent.drain(..surplus);
    }

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
    fn a_job_counts_once_and_a_changed_verdict_moves_it() {
        let correct = CountChange {
            job: JobId(1),
            from: None,
            to: Some(RoutingVerdict::Correct),
            is_redo: false,
        };
        let mut verdicts = VerdictsRecord::default();
        verdicts.count(correct);
        verdicts.count(CountChange {
            is_redo: true,
            ..correct
        });
        let counts = |verdicts: &VerdictsRecord| (verdicts.tally.correct, verdicts.tally.wrong);
        assert_eq!(counts(&verdicts), (1, 0), "a repetition changes nothing");
        let never_made = CountChange {
            job: JobId(2),
            is_redo: true,
            ..correct
        };
        verdicts.count(never_made);
        assert_eq!(counts(&verdicts), (2, 0), "the first attempt did not change the tally");
        let wrong = CountChange {
            from: correct.to,
            to: Some(RoutingVerdict::Misroute),
            ..correct
        };
        verdicts.count(wrong);
        verdicts.count(CountChange { is_redo: true, ..wrong });
        assert_eq!(counts(&verdicts), (1, 1));
        for job in 10..2000 {
            verdicts.count(CountChange {
                job: JobId(job),
                ..correct
            });
        }
        assert_eq!(verdicts.recent.len(), MAX_RECENT);
    }

    #[test]
    fn a_measured_run_can_be_read_back_from_the_form_of_the_store() {
        #[derive(Serialize, Deserialize)]
        struct Versioned {
            v: u32,
            #[serde(flatten)]
            record: MeasuredRecord,
        }
        let job =
            r#"{"id":101,"verdict":"correct","created_at":null,"started_at":null,"setup_ms":7,"lifecycle":"running"}"#;
        let text = format!(
            r#"{{"v":1,"run":20,"attempt":2,"pull_request":7,"created_at":"1970-01-01T00:00:09Z","jobs":[{job}]}}"#
        );
        let read: Versioned = serde_json::from_str(&text).expect("a record");
        assert_eq!(read.record.0.jobs[&JobId(101)].setup_ms, Some(7));
        let stored = serde_json::to_string(&read).expect("text");
        let again: Versioned = serde_json::from_str(&stored).expect("a record");
        assert_eq!(again.record, read.record);
    }

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
