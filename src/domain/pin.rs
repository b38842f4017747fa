//! Pinned repository ids. Anyone can take over the name of a renamed account or repository, but not its id. The ids are
//! pinned at first sight from GitHub's own answer, and a different id under the same name is a different repository.

use super::ids::{AccountId, RepositoryId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The ids of a repository, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryIds {
    /// The id of the repository.
    pub id: Option<RepositoryId>,
    /// The id of the account that owns it.
    pub owner_id: Option<AccountId>,
}

impl RepositoryIds {
    /// Returns true if an id is known on both sides and differs.
    #[must_use]
    pub fn contradict(&self, others: &Self) -> bool {
        let differ = |one: Option<u64>, other: Option<u64>| one.zip(other).is_some_and(|(one, other)| one != other);
        let number = |ids: &Self| (ids.id.map(|id| id.0), ids.owner_id.map(|id| id.0));
        let ((id, owner), (other_id, other_owner)) = (number(self), number(others));
        differ(id, other_id) || differ(owner, other_owner)
    }

    /// Returns these ids, with missing ones filled from `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            id: self.id.or(others.id),
            owner_id: self.owner_id.or(others.owner_id),
        }
    }
}

impl fmt::Display for RepositoryIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "repository {id}")?,
            None => f.write_str("a repository")?,
        }
        match self.owner_id {
            Some(owner) => write!(f, " of account {owner}"),
            None => Ok(()),
        }
    }
}

/// A repository as GitHub shows it under a given name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub ids: RepositoryIds,
    /// The current name, `owner/name`.
    pub full_name: String,
    /// True if the repository is public.
    pub is_public: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(id: u64, owner: u64) -> RepositoryIds {
        let some = |number: u64| (number > 0).then_some(number);
        RepositoryIds {
            id: some(id).map(RepositoryId),
            owner_id: some(owner).map(AccountId),
        }
    }

    #[test]
    fn only_what_is_known_of_both_can_differ() {
        assert!(ids(1, 2).contradict(&ids(3, 2)), "the name was taken over");
        assert!(ids(1, 2).contradict(&ids(1, 3)), "it was transferred");
        assert!(ids(1, 0).contradict(&ids(2, 9)));
        for same in [ids(1, 2), ids(1, 0), ids(0, 2), ids(0, 0)] {
            assert!(!ids(1, 2).contradict(&same), "{same}");
            assert!(!same.contradict(&ids(1, 2)), "{same}");
        }
    }
}
