//! The port to the settings of repositories and organizations at GitHub: runner groups and policies for workflows.

use super::Failure;
use crate::domain::ids::{RepositoryId, RepositoryName};
use crate::domain::runner_group::{GroupLimits, Member, RunnerGroup};
use async_trait::async_trait;

/// A repository and its owner, as far as the settings depend on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub id: RepositoryId,
    pub is_public: bool,
    /// True if an organization owns it. Only organizations have runner groups.
    pub is_of_organization: bool,
}

/// The authors whose pull requests from forks run no workflow before a maintainer approves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkApproval {
    NewToGithub,
    FirstTime,
    AllExternal,
}

impl ForkApproval {
    pub const ALL: [Self; 3] = [Self::NewToGithub, Self::FirstTime, Self::AllExternal];

    /// Returns GitHub's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewToGithub => "first_time_contributors_new_to_github",
            Self::FirstTime => "first_time_contributors",
            Self::AllExternal => "all_external_contributors",
        }
    }
}

/// The default permissions of the token of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkflowToken {
    pub can_write: bool,
    pub can_approve_pull_requests: bool,
}

impl WorkflowToken {
    /// The least that GitHub offers.
    pub const LEAST: Self = Self {
        can_write: false,
        can_approve_pull_requests: false,
    };
}

/// The settings of repositories and organizations. `None` for an object means that GitHub shows none.
#[async_trait]
pub trait Administration: Send + Sync + 'static {
    /// Returns the repository and the kind of its owner.
    async fn place(&self, repository: &RepositoryName) -> Result<Option<Place>, Failure>;

    /// Lists the runner groups of the organization that owns the repository.
    async fn groups(&self, repository: &RepositoryName) -> Result<Vec<RunnerGroup>, Failure>;

    /// Returns one of these runner groups.
    async fn group(&self, repository: &RepositoryName, id: u64) -> Result<Option<RunnerGroup>, Failure>;

    /// Creates a runner group that one repository can use.
    ///
    /// # Errors
    /// A permanent failure if a group has this name already.
    async fn create_group(
        &self,
        repository: &RepositoryName,
        name: &str,
        limits: &GroupLimits,
        member: RepositoryId,
    ) -> Result<RunnerGroup, Failure>;

    /// Changes the limits of a runner group. GitHub demands its name, too.
    async fn limit_group(
        &self,
        repository: &RepositoryName,
        id: u64,
        name: &str,
        limits: &GroupLimits,
    ) -> Result<(), Failure>;

    /// Lists the repositories with access to a runner group.
    async fn members(&self, repository: &RepositoryName, group: u64) -> Result<Vec<Member>, Failure>;

    /// Gives a repository access to a runner group, or takes it away. A repeated call changes nothing.
    async fn set_member(
        &self,
        repository: &RepositoryName,
        group: u64,
        member: RepositoryId,
        has_access: bool,
    ) -> Result<(), Failure>;

    /// Returns the approval policy for pull requests from forks; none for a policy that this version does not know.
    async fn fork_approval(&self, repository: &RepositoryName) -> Result<Option<ForkApproval>, Failure>;

    /// Changes the approval policy for pull requests from forks.
    async fn set_fork_approval(&self, repository: &RepositoryName, approval: ForkApproval) -> Result<(), Failure>;

    /// Returns the default permissions of the token of a workflow.
    async fn workflow_token(&self, repository: &RepositoryName) -> Result<WorkflowToken, Failure>;

    /// Changes the default permissions of the token of a workflow.
    async fn set_workflow_token(&self, repository: &RepositoryName, token: WorkflowToken) -> Result<(), Failure>;
}
