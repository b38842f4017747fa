//! The records of recovery: the state of its passes, and the requests for redeliveries.

use super::access::Record;
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
