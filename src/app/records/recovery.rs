//! The records of recovery: the state of its passes, the requests for redeliveries, and lost jobs.

use super::access::Record;
use crate::domain::ids::{JobId, RepositoryName, RunId};
use crate::domain::recovery::log::Asked;
use crate::ports::ledger::{Keep, Kind};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Retention of requests for redeliveries: longer than GitHub's delivery log.
const RETENTION_OF_REQUESTS: Duration = Duration::from_secs(4 * 24 * 3600);

/// The state of a kind of pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecoveryRecord {
    /// The instance that makes these passes, so that several workers do not use the quota several times.
    pub claimed_by: Option<String>,
    /// The time at which another instance takes over.
    pub claimed_until: Option<DateTime<Utc>>,
    /// The point up to which everything in the delivery log is settled.
    pub covered_until: Option<DateTime<Utc>>,
    /// The time until which a trusted pull request counts as open, so that the worker that polls knows what another one
    /// has decided.
    pub open_until: Option<DateTime<Utc>>,
}

impl RecoveryRecord {
    /// The id of the passes over the delivery log.
    pub const LOG: &'static str = "log";
    /// The id of the polls of runs.
    pub const POLL: &'static str = "poll";
}

impl Record for RecoveryRecord {
    const KIND: Kind = Kind::Recovery;
    fn is_unfinished(&self) -> bool {
        true
    }
}

/// The requests for one redelivery. It is written before a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedeliveryRecord(pub Asked);

impl Record for RedeliveryRecord {
    const KIND: Kind = Kind::Redelivery;
    fn is_unfinished(&self) -> bool {
        false
    }

    /// Everyone who causes jobs causes deliveries, so their number is bounded. A lost record costs one more request.
    fn keep(&self, _: Duration) -> Keep {
        Keep::Spare(RETENTION_OF_REQUESTS)
    }
}

/// A job that ended with its runner after it had started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRecord {
    pub job: JobId,
    pub run: RunId,
    pub attempt: u32,
    pub repository: RepositoryName,
    /// The name of its runner.
    pub runner: String,
    /// The time at which its end was seen.
    pub at: DateTime<Utc>,
    /// True if it is reported, and its run is re-run if that was to be done.
    #[serde(default)]
    pub is_settled: bool,
}

impl Record for LostRecord {
    const KIND: Kind = Kind::Lost;
    fn is_unfinished(&self) -> bool {
        !self.is_settled
    }
}
