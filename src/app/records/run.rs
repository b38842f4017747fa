//! The records of jitgate's changes to runs and to the routing of repositories.

use super::access::Record;
use crate::domain::ids::JobId;
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The executed actions on a run, by attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunRecord {
    /// The latest cancelled attempt.
    pub cancelled_attempt: Option<u32>,
    /// The latest force-cancelled attempt.
    pub force_cancelled_attempt: Option<u32>,
    /// The latest attempt that jitgate re-ran.
    pub rerun_attempt: Option<u32>,
    /// The latest attempt that jitgate re-ran, or was about to re-run, because a job was lost with its machine. It is
    /// recorded before the request, so that the jobs of the new attempt find it.
    #[serde(default)]
    pub rerun_lost_attempt: Option<u32>,
    /// True if the run has switched routing off. Its late events do not do so again after an operator has switched
    /// routing on.
    #[serde(default)]
    pub rolled_back: bool,
}

impl Record for RunRecord {
    const KIND: Kind = Kind::Run;
    fn is_unfinished(&self) -> bool {
        false
    }
}

/// jitgate's changes to the routing of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepositoryRecord {
    /// The rollback, while routing is off because of it.
    pub rolled_back: Option<RolledBack>,
    /// The paths of the workflows whose trusted jobs have carried a run label.
    #[serde(default)]
    pub labelled_workflows: BTreeSet<String>,
}

/// A rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    pub at: DateTime<Utc>,
    /// The job that caused it, if it was one job.
    #[serde(default)]
    pub job: Option<JobId>,
}

impl Record for RepositoryRecord {
    const KIND: Kind = Kind::Repository;
    fn is_unfinished(&self) -> bool {
        true
    }
}
