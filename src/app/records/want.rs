//! The record of a job that waits for a runner.

use super::access::Record;
use crate::domain::event::JobEvent;
use crate::domain::ids::{DeliveryId, RepositoryName};
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A job that was admitted and did not begin yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The event that asks for a runner. It is decided on again when there is an environment for it.
    pub event: JobEvent,
    /// Its delivery.
    pub delivery: DeliveryId,
    /// When that came in.
    pub received_at: DateTime<Utc>,
    /// Its repository.
    pub repository: RepositoryName,
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// How often it could not be decided on, in a row.
    pub tries: u32,
    /// Before then it is left alone.
    pub not_before: Option<DateTime<Utc>>,
    /// The runner that is being made for it, and by which instance.
    pub holder: Option<Holder>,
}

/// Who makes a runner for a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The instance.
    pub instance: String,
    /// The runner's name.
    pub runner: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

impl Record for Want {
    const KIND: Kind = Kind::Want;
    fn is_unfinished(&self) -> bool {
        true
    }
}
