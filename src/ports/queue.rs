//! The queue of deliveries. A delivery is accepted once, processed under a lease, and acknowledged after the ledger
//! has changed.
//!
//! Every engine guarantees:
//! * [`Queue::accept`] deduplicates and enqueues in one step: a GUID is never known without being queued or finished.
//! * A claimed delivery that is neither acknowledged, returned nor renewed is handed out again when its lease ends.
//! * [`Queue::ack`], [`Queue::retry`] and [`Queue::dead_letter`] consume the lease, so a second call does not compile.
//!   An expired lease changes nothing and is not an error.
//! * One delivery of a job is handed out at a time, the oldest that is due. A delivery that waits for its retry blocks
//!   no other: the report of a theft must not wait until GitHub answers about an earlier event.
//! * Only [`Queue::dead_letter`] and [`Work::Bury`] create dead letters; a crash never does.
//! * A dead letter, and only a dead letter, is queued again when its GUID arrives again.

use super::Failure;
use crate::domain::event::Action;
use crate::domain::ids::{DeliveryId, JobId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A verified delivery before it is queued.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub id: DeliveryId,
    /// The `X-GitHub-Event` header.
    pub event: String,
    /// The time at which the ingress had received the whole body.
    pub received_at: DateTime<Utc>,
    pub work: Work,
}

/// The treatment of an arrival.
#[derive(Debug, Clone)]
pub enum Work {
    /// Queue it.
    Queue {
        action: Action,
        /// The configured repository, `owner/name`. Engines shard by it.
        repository: String,
        /// The job. One delivery of a job is processed at a time.
        job: JobId,
        /// The part of the bound that it may fill.
        priority: Priority,
        body: Vec<u8>,
    },
    /// Store it as a dead letter at once: it is signed and may belong to jitgate, but this version cannot parse it.
    Bury {
        /// The action, if it could be parsed.
        action: Option<Action>,
        /// The configured repository; none if it is unknown.
        repository: Option<String>,
        /// The job, if it could be parsed.
        job: Option<JobId>,
        /// The reason for the dead letter.
        cause: String,
        body: Vec<u8>,
    },
    /// Store only the GUID.
    Remember,
}

/// The priority of an arrival while the queue fills up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// The job could reach a runner of jitgate: accepted up to the full bound.
    Reaching,
    /// The job could not: rejected first.
    Other,
}

/// The bounds of an engine. Unfinished deliveries are never dropped; arrivals are rejected instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most unfinished deliveries.
    pub max_entries: u64,
    /// The number of unfinished deliveries from which [`Priority::Other`] is rejected; half of the body bytes has the
    /// same effect.
    pub max_entries_other: u64,
    /// The most bytes of bodies, as received. Bodies of finished deliveries are dropped first, those of dead letters
    /// last.
    pub bodies_max_bytes: u64,
    /// The time for which a finished delivery is remembered, and its body if there is room.
    pub retention: Duration,
    /// The most records of the ledger that are kept as `Keep::Spare`.
    pub max_spare_records: u64,
}

impl Bounds {
    /// Returns true if one more body of `bytes` fits, with these unfinished deliveries.
    #[must_use]
    pub fn have_room(&self, priority: Priority, bytes: u64, unfinished: u64, unfinished_bytes: u64) -> bool {
        let (entries, bodies) = match priority {
            Priority::Reaching => (self.max_entries, self.bodies_max_bytes),
            Priority::Other => (self.max_entries_other, self.bodies_max_bytes / 2),
        };
        unfinished < entries && unfinished_bytes.saturating_add(bytes) <= bodies
    }
}

/// The result of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is durable, and queued if it was to be queued.
    Taken,
    /// Its GUID is known.
    AlreadySeen,
    /// The queue is full; nothing was stored, not even the GUID.
    Full,
}

/// A delivery that a worker processes. Engines create it; giving it back consumes it.
#[derive(Debug)]
pub struct Lease {
    pub id: DeliveryId,
    pub received_at: DateTime<Utc>,
    /// The number of earlier attempts.
    pub attempts: u32,
    pub body: Vec<u8>,
    /// The engine's proof of ownership.
    pub token: String,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for a worker or for its next attempt.
    Queued,
    /// A worker processes it.
    Leased,
    /// It took effect.
    Done,
    /// Only its GUID was stored.
    Ignored,
    /// A dead letter, with a recorded cause.
    Dead,
}

impl DeliveryState {
    pub const ALL: [Self; 5] = [Self::Queued, Self::Leased, Self::Done, Self::Ignored, Self::Dead];

    /// Returns the word used in records and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Dead => "dead",
        }
    }

    /// Parses the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A delivery as stored, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: DeliveryId,
    /// The `X-GitHub-Event` header.
    pub event: String,
    /// The action; none for ignored deliveries.
    pub action: Option<Action>,
    /// The repository; none for ignored deliveries.
    pub repository: Option<String>,
    /// The job; none for ignored deliveries.
    pub job: Option<JobId>,
    pub received_at: DateTime<Utc>,
    pub state: DeliveryState,
    /// The number of attempts.
    pub attempts: u32,
    /// The time of the next attempt, for a waiting delivery.
    pub due_at: Option<DateTime<Utc>>,
    /// The cause of the last retry or of the dead letter.
    pub cause: Option<String>,
    /// True if jitgate synthesized the event because GitHub's delivery did not arrive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub synthesized: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A filter for deliveries. An empty field matches every delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The states; empty for any.
    pub states: Vec<DeliveryState>,
    /// The repository, in any case of its ASCII letters.
    pub repository: Option<String>,
    pub job: Option<JobId>,
    /// Received at this time or later.
    pub since: Option<DateTime<Utc>>,
}

impl Filter {
    /// Returns the filter for the unfinished deliveries of a job.
    #[must_use]
    pub fn unfinished_of(job: JobId) -> Self {
        Self {
            states: vec![DeliveryState::Queued, DeliveryState::Leased],
            job: Some(job),
            ..Self::default()
        }
    }

    /// Returns true if the filter matches the delivery.
    #[must_use]
    pub fn matches(&self, delivery: &Delivery) -> bool {
        let is =
            |wanted: &str, given: &Option<String>| given.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(wanted));
        (self.states.is_empty() || self.states.contains(&delivery.state))
            && self
                .repository
                .as_ref()
                .is_none_or(|name| is(name, &delivery.repository))
            && (self.job.is_none() || delivery.job == self.job)
            && self.since.is_none_or(|since| delivery.received_at >= since)
    }
}

/// The fill level of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Depth {
    /// Waiting and due.
    pub ready: u64,
    /// Waiting for a later attempt.
    pub delayed: u64,
    /// Being processed.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// The bytes of stored bodies.
    pub body_bytes: u64,
    /// The time at which the oldest unfinished delivery was received.
    pub oldest: Option<DateTime<Utc>>,
}

/// The queue of deliveries.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Deduplicates and enqueues an arrival durably, in one step.
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failure>;

    /// Hands out up to `limit` due deliveries for `lease_for`, the oldest first.
    async fn claim(&self, consumer: &str, limit: usize, lease_for: Duration) -> Result<Vec<Lease>, Failure>;

    /// Renews a lease: it ends `lease_for` from now. Returns false if it had ended; another worker may have the
    /// delivery.
    async fn hold(&self, lease: &Lease, lease_for: Duration) -> Result<bool, Failure>;

    /// Marks a delivery as done: it has taken effect.
    async fn ack(&self, lease: Lease) -> Result<(), Failure>;

    /// Returns a delivery to the queue, to be handed out again after `delay`.
    async fn retry(&self, lease: Lease, delay: Duration, cause: &str) -> Result<(), Failure>;

    /// Makes a delivery a dead letter, with a cause that people can read.
    async fn dead_letter(&self, lease: Lease, cause: &str) -> Result<(), Failure>;

    /// Queues a finished or dead delivery again, as new. Returns false if it is unknown or has no body any more. An
    /// unfinished delivery remains unchanged.
    async fn requeue(&self, id: &DeliveryId) -> Result<bool, Failure>;

    /// Returns when a delivery may be due, or after `at_most`.
    async fn wait(&self, at_most: Duration);

    /// Returns one delivery.
    async fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, Failure>;

    /// Removes a dead letter with its body and its GUID, so that a later arrival is new. Returns false if there is no
    /// such dead letter; other deliveries are never removed.
    async fn forget_dead(&self, id: &DeliveryId) -> Result<bool, Failure>;

    /// Returns at most `limit` deliveries that match `filter`, the newest first. [`Filter::unfinished_of`] reads no finished
    /// deliveries; other filters may read everything that is stored.
    async fn deliveries(&self, filter: &Filter, limit: usize) -> Result<Vec<Delivery>, Failure>;

    /// Returns the body of a delivery while it is stored.
    async fn body(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, Failure>;

    /// Returns the fill level.
    async fn depth(&self) -> Result<Depth, Failure>;
}
