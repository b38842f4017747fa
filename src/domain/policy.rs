//! The operator's settings for one repository, as plain values from the validated configuration.

use super::labels::LabelPolicy;
use globset::GlobSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that a decision depends on, except facts and time.
#[derive(Debug, Clone)]
pub struct Policy {
    pub labels: LabelPolicy,
    pub trust: TrustPolicy,
    pub routing: RoutingPolicy,
    pub mode: Mode,
    /// True if a contained attempt also switches routing off. Any outsider can then do so.
    pub rollback_on_attempt: bool,
    /// True if the runs of jobs that wait after a rollback are cancelled and re-run.
    pub rerun_stuck: bool,
}

/// The rules for trusted pull requests.
#[derive(Debug, Clone)]
pub struct TrustPolicy {
    /// Author associations that pass the routing rule, by GitHub's names.
    pub associations: Vec<String>,
    /// The permission that author, actor and triggering actor need before a runner is created.
    pub min_permission: Permission,
    pub allow_bots: Vec<AllowedBot>,
    /// True if every commit of the pull request needs a signature that GitHub verified.
    pub require_verified_commits: bool,
    /// True if this kind of host serves public repositories.
    pub public_repositories: bool,
}

/// A bot that is exempt from the bot and permission rules.
#[derive(Debug, Clone)]
pub struct AllowedBot {
    pub login: String,
    /// The branches of the repository that the bot may run code from.
    pub branches: GlobSet,
    /// The permitted authors of the commits on those branches.
    pub commits_by: CommitsBy,
}

/// The permitted authors of the commits of an allowed bot's pull request: the bot alone, or also people with
/// `min_permission`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CommitsBy {
    Bot,
    PeopleWithPermission,
}

/// The runs that follow the routing variable.
#[derive(Debug, Clone)]
pub struct RoutingPolicy {
    /// Base branches, in addition to the default branch, that the routing rule covers.
    pub branches: GlobSet,
    /// Paths of the workflows whose trusted jobs belong on self-hosted runners.
    pub workflows: GlobSet,
    /// Names of the jobs in these workflows that stay on hosted runners by design.
    pub hosted_jobs: GlobSet,
}

impl RoutingPolicy {
    /// Returns true if trusted jobs of the workflow at `path` belong on self-hosted runners. GitHub can append `@ref`
    /// to the path.
    #[must_use]
    pub fn routes(&self, path: &str) -> bool {
        let file = path.split('@').next().unwrap_or_default();
        self.workflows.is_match(file)
    }

    /// Returns true if a job of this name stays on hosted runners by design. Matrix jobs (`web (1, 2)`) and jobs of
    /// reusable workflows (`route / inner`) match by their displayed name and by its first part.
    #[must_use]
    pub fn stays_hosted(&self, job_name: &str) -> bool {
        let caller = job_name.split(" / ").next().unwrap_or(job_name);
        let base = caller.split(" (").next().unwrap_or(caller);
        [job_name, caller, base]
            .iter()
            .any(|name| self.hosted_jobs.is_match(name))
    }
}

/// The writes to GitHub. In `observe` jitgate makes runners and reports which other actions it would take; in `enforce` it
/// also cancels runs and switches routing off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Observe,
    Enforce,
}

/// A user's permission in a repository, in ascending order, as in GitHub's permission endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// No permission beyond those of the public.
    None,
    /// Read, including triage.
    Read,
    /// Write, including maintain.
    Write,
    /// Administration.
    Admin,
}

impl Permission {
    /// Parses GitHub's name of the permission. An unknown name grants nothing.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "admin" => Self::Admin,
            "write" | "maintain" => Self::Write,
            "read" | "triage" => Self::Read,
            _ => Self::None,
        }
    }

    /// Returns the name used in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}
