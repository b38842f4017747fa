//! The input of a decision.

use crate::domain::event::JobEvent;
use crate::domain::facts::Facts;
use crate::domain::ids::{DeliveryId, RepositoryName};
use crate::domain::policy::Policy;
use chrono::{DateTime, Utc};

/// The input of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The GUID of the delivery.
    pub delivery: &'a DeliveryId,
    /// The arrival time of the delivery.
    pub received_at: DateTime<Utc>,
    /// The configured repository.
    pub repository: &'a RepositoryName,
    pub event: &'a JobEvent,
    pub facts: &'a Facts,
    pub policy: &'a Policy,
    pub now: DateTime<Utc>,
}
