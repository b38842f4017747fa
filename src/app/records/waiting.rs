//! The record of a job that waits for a runner.

use super::access::Record;
use crate::domain::event::JobEvent;
use crate::domain::ids::{DeliveryId, RepositoryName};
use crate::domain::slot::SlotSize;
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// An admitted job that has not started yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRecord {
    /// The event that asks for a runner. It is decided again when a slot is free.
    pub event: JobEvent,
    pub delivery: DeliveryId,
    /// The arrival time of the delivery.
    pub received_at: DateTime<Utc>,
    pub repository: RepositoryName,
    /// The size that the job requests.
    #[serde(default)]
    pub size: SlotSize,
    /// The start of the wait.
    pub since: DateTime<Utc>,
    /// Number of consecutive attempts without a decision.
    pub tries: u32,
    /// The earliest time of the next attempt.
    pub not_before: Option<DateTime<Utc>>,
    /// The runner that is being created for the job, and the instance that creates it.
    pub holder: Option<Holder>,
}

/// The instance that creates a runner for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub instance: String,
    pub runner: String,
    pub since: DateTime<Utc>,
}

impl Record for WaitingRecord {
    const KIND: Kind = Kind::Want;
    fn is_unfinished(&self) -> bool {
        true
    }
}
