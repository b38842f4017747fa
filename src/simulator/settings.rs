//! The settings of repositories and organizations: policies for workflows, and runner groups.

use std::collections::BTreeSet;

/// The policies of a repository for workflows. The default is that of a new repository.
pub(super) struct Policies {
    pub(super) fork_approval: String,
    pub(super) token_can_write: bool,
    pub(super) token_can_approve: bool,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            fork_approval: "first_time_contributors".to_owned(),
            token_can_write: false,
            token_can_approve: false,
        }
    }
}

/// A runner group of an organization.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) visibility: String,
    /// The ids of the selected repositories.
    pub(super) members: BTreeSet<u64>,
    pub(super) allows_public: bool,
    pub(super) restricted: bool,
    pub(super) workflows: BTreeSet<String>,
}

impl Group {
    /// Returns a group that all repositories can use.
    pub(super) fn open(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            visibility: "all".to_owned(),
            members: BTreeSet::new(),
            allows_public: true,
            restricted: false,
            workflows: BTreeSet::new(),
        }
    }

    /// Returns true if jobs of a repository can use the group.
    pub(super) fn serves(&self, repository: u64, is_private: bool) -> bool {
        let is_selected = self.visibility != "selected" || self.members.contains(&repository);
        is_selected && (is_private || self.allows_public)
    }
}
