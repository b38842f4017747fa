//! Which repository a name means. Names of renamed accounts and repositories can be taken over by anybody; ids cannot. So
//! the ids are pinned at first sight, from GitHub's own answer, and another id under the same name is another repository.

use super::event::JobEvent;
use super::facts::Facts;
use super::ids::{AccountId, RepositoryId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The ids behind a name, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryIds {
    /// The repository's.
    pub id: Option<RepositoryId>,
    /// That of the account it belongs to.
    pub owner_id: Option<AccountId>,
}

impl RepositoryIds {
    /// Whether both are known and one of them is another one. What is not known contradicts nothing.
    #[must_use]
    pub fn contradict(&self, others: &Self) -> bool {
        let differ = |one: Option<u64>, other: Option<u64>| one.zip(other).is_some_and(|(one, other)| one != other);
        let number = |ids: &Self| (ids.id.map(|id| id.0), ids.owner_id.map(|id| id.0));
        let ((id, owner), (other_id, other_owner)) = (number(self), number(others));
        differ(id, other_id) || differ(owner, other_owner)
    }

    /// These ids, and what they leave open as others say.
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

/// A repository as GitHub shows it under some name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its ids.
    pub ids: RepositoryIds,
    /// Its name now, `owner/name`.
    pub full_name: String,
    /// Whether everybody can see it.
    pub is_public: bool,
}

/// Whether an event, or the run that GitHub shows for it, is of another repository than the pinned one; before anything
/// is pinned, whether the two are of different ones.
#[must_use]
pub fn is_changed(event: &JobEvent, facts: &Facts) -> bool {
    let run = facts.run.known().map(|run| run.of()).unwrap_or_default();
    let pinned = facts.ledger.pinned.or(run);
    pinned.contradict(&event.ids) || pinned.contradict(&run)
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
