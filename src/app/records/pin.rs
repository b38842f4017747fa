//! The record of which repository is meant by a configured name.

use super::access::Record;
use crate::domain::ids::RepositoryName;
use crate::domain::pin::RepositoryIds;
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The ids that a name has had since it was first seen, or accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRecord {
    /// The name, `owner/name`.
    pub name: RepositoryName,
    /// GitHub's ids.
    #[serde(flatten)]
    pub ids: RepositoryIds,
    /// Since when.
    pub at: DateTime<Utc>,
    /// The person who accepted them; none where they were seen first.
    pub by: Option<String>,
    /// Why, in the words of that person.
    pub why: Option<String>,
    /// What they took the place of.
    pub before: Option<RepositoryIds>,
}

impl PinRecord {
    /// Its id in the ledger. Case means nothing in names.
    #[must_use]
    pub fn key(name: &RepositoryName) -> String {
        name.as_str().to_ascii_lowercase()
    }
}

impl Record for PinRecord {
    const KIND: Kind = Kind::Pin;
    fn is_unfinished(&self) -> bool {
        true
    }
}
