//! The ledger: versioned records with compare-and-set. It is the truth; the queue only says where to look.
//!
//! Engines see a record as text under a key. What the text means is the business of `app::records`, which gives every
//! payload a version of its own.

use super::Failure;
use async_trait::async_trait;
use std::fmt;
use std::time::Duration;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A workflow job, by its id.
    Job,
    /// A job that waits for a runner, by its id.
    Want,
    /// A workflow run, by its id.
    Run,
    /// A runner of ours, by its name.
    Runner,
    /// A runner of ours of which nothing is left, by its name.
    PastRunner,
    /// A repository, by `owner/name`.
    Repository,
    /// Which repository is meant by `owner/name`, in lower case.
    Pin,
    /// A runner group under quarantine.
    Group,
    /// A worker, by the name of its instance.
    Instance,
    /// An alert, by its id.
    Alert,
    /// An alert that is not over, or that somebody has yet to be told of, by its id.
    LiveAlert,
}

impl Kind {
    /// The word engines put into keys and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Want => "want",
            Self::Run => "run",
            Self::Runner => "runner",
            Self::PastRunner => "past_runner",
            Self::Repository => "repository",
            Self::Pin => "pin",
            Self::Group => "group",
            Self::Instance => "instance",
            Self::Alert => "alert",
            Self::LiveAlert => "live-alert",
        }
    }
}

/// Name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is about.
    pub kind: Kind,
    /// Which one.
    pub id: String,
}

impl Key {
    /// Names a record.
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

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// 1 for the first, one more for every change.
    pub version: u64,
    /// The payload.
    pub value: String,
}

/// How long a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Until it is removed: unfinished work.
    Forever,
    /// For this long after its last change.
    For(Duration),
    /// As [`Keep::For`], and shorter when there are more of these than `Bounds::max_spare_records`: those that were changed
    /// longest ago go first. For what costs us and was asked for by others.
    Spare(Duration),
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Written; this is its version now.
    Written(u64),
    /// Somebody else changed the record in between: read it again.
    Conflict,
}

/// The ledger.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Reads a record.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, Failure>;

    /// Writes a record if its version is still `expected` (none: if there is no such record). After a [`Failure`] the write
    /// may have happened; reading tells.
    async fn put(&self, key: &Key, value: &str, expected: Option<u64>, keep: Keep) -> Result<Put, Failure>;

    /// Removes a record; a missing one is no failure.
    async fn remove(&self, key: &Key) -> Result<(), Failure>;

    /// Records of a kind in ascending order of id, after `after`, at most `limit`.
    async fn list(&self, kind: Kind, after: Option<&str>, limit: usize) -> Result<Vec<(String, Stored)>, Failure>;
}
