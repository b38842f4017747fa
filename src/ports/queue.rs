//! The queue of deliveries: taken once, worked on under a lease, and acknowledged only after the ledger has changed.
//!
//! What every engine promises:
//! * [`Queue::accept`] dedupes and enqueues in one step: a GUID is never known without being queued or finished.
//! * A claimed delivery that is neither acknowledged, returned nor held on to comes back when its lease ends.
//! * [`Queue::ack`], [`Queue::retry`] and [`Queue::dead_letter`] consume the lease: acting twice does not compile. A lease
//!   that ended meanwhile changes nothing and is no failure.
//! * Of one job's deliveries one at a time is handed out, the oldest that is due. One that waits for a later try holds up
//!   none of the others: the news that a thief runs must not wait for GitHub to answer about an earlier event.
//! * Only [`Queue::dead_letter`] makes dead letters, and [`Work::Bury`]; a crash never does.
//! * A dead letter, and only that, is queued again when its GUID arrives again.

use super::Failure;
use crate::domain::event::Action;
use crate::domain::ids::{DeliveryId, JobId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A verified delivery on its way into the queue.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its GUID.
    pub id: DeliveryId,
    /// `X-GitHub-Event`.
    pub event: String,
    /// When the ingress had it whole.
    pub received_at: DateTime<Utc>,
    /// Whether it is to be worked on.
    pub work: Work,
}

/// Whether an arrival is to be worked on.
#[derive(Debug, Clone)]
pub enum Work {
    /// Queue it.
    Queue {
        /// The action.
        action: Action,
        /// The configured repository, `owner/name`. Engines shard by it.
        repository: String,
        /// The job: of its deliveries, one at a time is worked on.
        job: JobId,
        /// Which half of the bound it may fill.
        priority: Priority,
        /// The raw body.
        body: Vec<u8>,
    },
    /// Keep it as a dead letter at once: it is signed and may be ours, and this version cannot read it.
    Bury {
        /// The action, if that could be read.
        action: Option<Action>,
        /// The configured repository; none if it is not known whether it is of one.
        repository: Option<String>,
        /// The job, if that could be read.
        job: Option<JobId>,
        /// Why it is given up on.
        cause: String,
        /// The raw body.
        body: Vec<u8>,
    },
    /// Only remember the GUID.
    Remember,
}

/// What is still taken when the queue is filling up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Could reach a runner of ours: taken to the last.
    Reaching,
    /// Could not: turned away first.
    Other,
}

/// How much an engine keeps. What waits or is worked on is never dropped, so arrivals are turned away instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Unfinished deliveries at most.
    pub max_entries: u64,
    /// Unfinished deliveries at which [`Priority::Other`] is turned away; half the body bytes do so too.
    pub max_entries_other: u64,
    /// Bytes of bodies at most, as received. Bodies of finished deliveries make room first, the dead ones last of all.
    pub bodies_max_bytes: u64,
    /// How long a finished delivery is remembered; its body too, room permitting.
    pub retention: Duration,
    /// Records of the ledger at most that are kept as `Keep::Spare`.
    pub max_spare_records: u64,
}

impl Bounds {
    /// Whether one more body of `bytes` may come in, given what is unfinished now.
    #[must_use]
    pub fn have_room(&self, priority: Priority, bytes: u64, unfinished: u64, unfinished_bytes: u64) -> bool {
        let (entries, bodies) = match priority {
            Priority::Reaching => (self.max_entries, self.bodies_max_bytes),
            Priority::Other => (self.max_entries_other, self.bodies_max_bytes / 2),
        };
        unfinished < entries && unfinished_bytes.saturating_add(bytes) <= bodies
    }
}

/// What became of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is durable, and queued if it asked to be.
    Taken,
    /// Its GUID was seen before.
    AlreadySeen,
    /// The queue is at its bound; nothing was kept, the GUID included.
    Full,
}

/// A delivery somebody works on. Engines hand it out; giving it back consumes it.
#[derive(Debug)]
pub struct Lease {
    /// Its GUID.
    pub id: DeliveryId,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// How often it was tried before.
    pub attempts: u32,
    /// The raw body.
    pub body: Vec<u8>,
    /// The engine's own proof of ownership.
    pub token: String,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Waits for a worker, or for its next try.
    Queued,
    /// Is worked on.
    Leased,
    /// Took effect.
    Done,
    /// Was remembered and not worked on.
    Ignored,
    /// Given up on, for a reported reason.
    Dead,
}

impl DeliveryState {
    /// Every state there is.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Leased, Self::Done, Self::Ignored, Self::Dead];

    /// The word used in records and commands.
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

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A delivery as the store knows it, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its GUID.
    pub id: DeliveryId,
    /// `X-GitHub-Event`.
    pub event: String,
    /// The action; none for deliveries that were ignored.
    pub action: Option<Action>,
    /// The repository; none for deliveries that were ignored.
    pub repository: Option<String>,
    /// The job; none for deliveries that were ignored.
    pub job: Option<JobId>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, for a delivery that waits.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it was returned or given up on, the last time.
    pub cause: Option<String>,
}

/// Which deliveries are meant. What is left open does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// In one of these states; in any where there is none.
    pub states: Vec<DeliveryState>,
    /// Of this repository, whatever the case of its ASCII letters.
    pub repository: Option<String>,
    /// About this job.
    pub job: Option<JobId>,
    /// Received then or later.
    pub since: Option<DateTime<Utc>>,
}

impl Filter {
    /// What of a job's deliveries is not over.
    #[must_use]
    pub fn unfinished_of(job: JobId) -> Self {
        Self {
            states: vec![DeliveryState::Queued, DeliveryState::Leased],
            job: Some(job),
            ..Self::default()
        }
    }

    /// Whether a delivery is meant.
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

/// How full the queue is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Depth {
    /// Waiting and due.
    pub ready: u64,
    /// Waiting for a later try.
    pub delayed: u64,
    /// Worked on.
    pub leased: u64,
    /// Given up on.
    pub dead: u64,
    /// Bytes of stored bodies.
    pub body_bytes: u64,
    /// When the oldest unfinished delivery was received.
    pub oldest: Option<DateTime<Utc>>,
}

/// The queue of deliveries.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Dedupes and enqueues, durably, in one step.
    async fn accept(&self, arrival: Arrival) -> Result<Accepted, Failure>;

    /// Hands out up to `limit` due deliveries for `lease_for`, the oldest first.
    async fn claim(&self, consumer: &str, limit: usize, lease_for: Duration) -> Result<Vec<Lease>, Failure>;

    /// Goes on working on it: the lease ends `lease_for` from now. False when it had ended, and somebody else may have it.
    async fn hold(&self, lease: &Lease, lease_for: Duration) -> Result<bool, Failure>;

    /// Done: it has taken effect.
    async fn ack(&self, lease: Lease) -> Result<(), Failure>;

    /// Not done: hand it out again after `delay`.
    async fn retry(&self, lease: Lease, delay: Duration, cause: &str) -> Result<(), Failure>;

    /// Given up on, for a cause a person can read.
    async fn dead_letter(&self, lease: Lease, cause: &str) -> Result<(), Failure>;

    /// Hands a finished or dead delivery out again, as new. False when it is unknown or its body is gone; one that still
    /// waits or is worked on stays as it is.
    async fn requeue(&self, id: &DeliveryId) -> Result<bool, Failure>;

    /// Returns once something may be due, or after `at_most`.
    async fn wait(&self, at_most: Duration);

    /// One delivery.
    async fn delivery(&self, id: &DeliveryId) -> Result<Option<Delivery>, Failure>;

    /// Forgets a dead letter with its body and its GUID, so that it is new if it arrives again. False when there is no such
    /// dead letter; nothing else is forgotten.
    async fn forget_dead(&self, id: &DeliveryId) -> Result<bool, Failure>;

    /// The newest deliveries that `filter` means, newest first, at most `limit`. [`Filter::unfinished_of`] a job is answered
    /// without looking at what is over, however much that is; other filters may look at all that is kept.
    async fn deliveries(&self, filter: &Filter, limit: usize) -> Result<Vec<Delivery>, Failure>;

    /// The body of a delivery while it is kept.
    async fn body(&self, id: &DeliveryId) -> Result<Option<Vec<u8>>, Failure>;

    /// How full the queue is.
    async fn depth(&self) -> Result<Depth, Failure>;
}
