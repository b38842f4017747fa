//! All that a decision is made of.

use crate::domain::event::JobEvent;
use crate::domain::facts::Facts;
use crate::domain::ids::{DeliveryId, RepositoryName};
use crate::domain::policy::Policy;
use chrono::{DateTime, Utc};

/// What a decision is made of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// GUID of the delivery.
    pub delivery: &'a DeliveryId,
    /// When it came in.
    pub received_at: DateTime<Utc>,
    /// The repository, as configured.
    pub repository: &'a RepositoryName,
    /// The event.
    pub event: &'a JobEvent,
    /// All that is known about it.
    pub facts: &'a Facts,
    /// The operator's choices.
    pub policy: &'a Policy,
    /// The time now.
    pub now: DateTime<Utc>,
}
