//! Runner groups of an organization: the repositories and workflows that can use the runners in it.

use super::ids::RepositoryId;

/// A runner group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerGroup {
    pub id: u64,
    pub name: String,
    /// True for the group that GitHub gives to every organization.
    pub is_default: bool,
    pub limits: GroupLimits,
}

/// The limits of a runner group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLimits {
    /// True if only selected repositories can use the group.
    pub is_selected: bool,
    /// True if public repositories can use the group.
    pub allows_public: bool,
    /// The only workflows whose jobs can use the group, as `owner/name/path@ref`; `None` for all workflows.
    pub workflows: Option<Vec<String>>,
}

/// A repository with access to a runner group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: RepositoryId,
    /// `owner/name`.
    pub full_name: String,
}
