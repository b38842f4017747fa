//! The records of what jitgate did to a run, and to a repository's routing.

use super::access::Record;
use crate::domain::ids::JobId;
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What was already done to a run, per attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunRecord {
    /// The latest attempt that was cancelled.
    pub cancelled_attempt: Option<u32>,
    /// The latest attempt that was force-cancelled.
    pub force_cancelled_attempt: Option<u32>,
    /// The latest attempt that was followed by a re-run of ours.
    pub rerun_attempt: Option<u32>,
    /// Whether it has switched routing off. Late events of it don't do so again once a person has switched it on.
    #[serde(default)]
    pub rolled_back: bool,
}

impl Record for RunRecord {
    const KIND: Kind = Kind::Run;
    fn is_unfinished(&self) -> bool {
        false
    }
}

/// What jitgate did to a repository's routing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepositoryRecord {
    /// Set while routing is off because jitgate switched it off.
    pub rolled_back: Option<RolledBack>,
}

/// A rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// When.
    pub at: DateTime<Utc>,
    /// Because of which job.
    pub job: JobId,
}

impl Record for RepositoryRecord {
    const KIND: Kind = Kind::Repository;
    fn is_unfinished(&self) -> bool {
        true
    }
}
