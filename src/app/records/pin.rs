//! The record of the repository behind a configured name.

use super::access::Record;
use crate::domain::ids::RepositoryName;
use crate::domain::pin::RepositoryIds;
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The ids of a repository since it was first seen or accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRecord {
    /// The name, `owner/name`.
    pub name: RepositoryName,
    #[serde(flatten)]
    pub ids: RepositoryIds,
    pub at: DateTime<Utc>,
    /// The operator who accepted them; `None` if they were pinned at first sight.
    pub by: Option<String>,
    /// The operator's explanation.
    pub why: Option<String>,
    /// The previous ids.
    pub before: Option<RepositoryIds>,
}

impl PinRecord {
    /// Returns the id of the record. GitHub's names ignore case.
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
