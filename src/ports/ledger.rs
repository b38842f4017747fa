//! The ledger: versioned records with compare-and-set. The ledger is the source of truth; the queue only points to
//! it.
//!
//! Engines store a record as text under a key. `app::records` defines the meaning of the text and gives every payload
//! its own version.

use super::Failure;
use async_trait::async_trait;
use std::fmt;
use std::time::Duration;

/// The kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A workflow job, by its id.
    Job,
    /// A job that waits for a runner, by its id.
    Want,
    /// A workflow run, by its id.
    Run,
    /// A runner of jitgate, by its name.
    Runner,
    /// A runner of jitgate that does not exist any more, by its name.
    PastRunner,
    /// A repository, by `owner/name`.
    Repository,
    /// The rollout of a repository, by `owner/name`.
    Rollout,
    /// A measured run, by its repository and in descending order of its creation.
    MeasuredRun,
    /// The routing verdicts of a repository, by `owner/name`.
    Verdicts,
    /// The pin of a repository, by `owner/name` in lower case.
    Pin,
    /// A runner group under quarantine.
    Group,
    /// The state of the passes that look for lost deliveries, by their kind.
    Recovery,
    /// The requests for a redelivery, by GUID.
    Redelivery,
    /// A job that was lost with its runner, by its id.
    Lost,
    /// A worker, by the name of its instance.
    Instance,
    /// The runners that a worker misses, by the name of its instance.
    Offline,
    /// The bounds of a pool that an operator set, by the name of the pool.
    Bounds,
    /// The last pass of a worker's pool, by the name of its instance.
    Pool,
    /// A change that a person made with a command, in descending order of its time.
    OperatorChange,
    /// An alert, by its id.
    Alert,
    /// An alert that is not resolved or has unsent messages, by its id.
    LiveAlert,
    /// An incident, in descending order of its start.
    Incident,
}

impl Kind {
    /// Returns the word that engines use in keys and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Want => "want",
            Self::Run => "run",
            Self::Runner => "runner",
            Self::PastRunner => "past_runner",
            Self::Repository => "repository",
            Self::Rollout => "rollout",
            Self::MeasuredRun => "measured-run",
            Self::Verdicts => "verdicts",
            Self::Pin => "pin",
            Self::Group => "group",
            Self::Recovery => "recovery",
            Self::Redelivery => "redelivery",
            Self::Lost => "lost",
            Self::Instance => "instance",
            Self::Offline => "offline",
            Self::Bounds => "bounds",
            Self::Pool => "pool",
            Self::OperatorChange => "operator-change",
            Self::Alert => "alert",
            Self::LiveAlert => "live-alert",
            Self::Incident => "incident",
        }
    }
}

/// The key of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: Kind,
    pub id: String,
}

impl Key {
    /// Returns the key of the record of this kind with this id.
    #[must_use]
    pub fn new(kind: Kind, id: impl fmt::Display) -> Self {
        Self {
            kind,
            id: id.to_string(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.id)
    }
}

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version: 1 for a new record, one more after every change.
    pub version: u64,
    pub value: String,
}

/// The retention of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Until it is removed: unfinished work.
    Forever,
    /// For this long after its last change.
    For(Duration),
    /// Like [`Keep::For`], but shorter if there are more than `Bounds::max_spare_records` of these: the least recently
    /// changed go first. For records that outsiders can cause.
    Spare(Duration),
}

/// The result of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The record was written and has this version now.
    Written(u64),
    /// Another writer changed the record in the meantime. The caller reads it again.
    Conflict,
}

/// The store of records.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Returns a record.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure>;

    /// Writes a record if its version is still `expected` (none: if it does not exist). After a [`Failure`] the write
    /// may have happened; the caller must read the record.
    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure>;

    /// Removes a record; a missing record is not an error.
    async fn remove(&self, key: &Key) -> Result<(), Failure>;

    /// Returns at most `limit` records of a kind in ascending order of id, after `after`.
    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure>;
}
