//! The operator's choices, as plain values: made from the validated configuration, one per repository.

use super::labels::LabelPolicy;
use globset::GlobSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything a decision depends on besides facts and time.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Which labels are ours.
    pub labels: LabelPolicy,
    /// Whose pull requests are trusted.
    pub trust: TrustPolicy,
    /// Which runs follow the routing variable.
    pub routing: RoutingPolicy,
    /// Whether GitHub is written to.
    pub mode: Mode,
    /// Whether a contained attempt switches routing off too. Off, or any passer-by could.
    pub rollback_on_attempt: bool,
    /// Whether jobs stuck behind a rollback have their run cancelled and re-run.
    pub rerun_stuck: bool,
}

/// Whose pull requests are trusted.
#[derive(Debug, Clone)]
pub struct TrustPolicy {
    /// Author associations that pass the routing rule, in GitHub's words.
    pub associations: Vec<String>,
    /// What author, actor and triggering actor need on the repository before a runner is made.
    pub min_permission: Permission,
    /// Bots that are exempt from the bot and permission rules.
    pub allow_bots: Vec<AllowedBot>,
    /// Whether GitHub must have verified the signature of every commit of the pull request.
    pub require_verified_commits: bool,
    /// Whether repositories that everybody can see are served on this kind of host.
    pub public_repositories: bool,
}

/// A bot that is exempt from the bot and permission rules.
#[derive(Debug, Clone)]
pub struct AllowedBot {
    /// Its login.
    pub login: String,
    /// Branches of the repository that it may run code from.
    pub branches: GlobSet,
    /// Authors that the commits on those branches may have.
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

/// Which runs follow the routing variable.
#[derive(Debug, Clone)]
pub struct RoutingPolicy {
    /// Branches beside the default one whose pull requests follow the routing rule.
    pub branches: GlobSet,
    /// Paths of workflows whose trusted jobs belong on self-hosted runners.
    pub workflows: GlobSet,
    /// Names of jobs in them that stay hosted by design.
    pub hosted_jobs: GlobSet,
}

impl RoutingPolicy {
    /// Whether jobs of the workflow at `path` are expected on self-hosted runners. GitHub may append `@ref` to it.
    #[must_use]
    pub fn routes(&self, path: &str) -> bool {
        let file = path.split('@').next().unwrap_or_default();
        self.workflows.is_match(file)
    }

    /// Whether a job of this name stays hosted by design. Matrix jobs (`web (1, 2)`) and jobs of reusable workflows
    /// (`route / inner`) go by the name they are shown under and by the part before.
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

/// What a user may do on a repository, in the words of GitHub's permission endpoint; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Nothing, or only what everyone may.
    None,
    /// Read, triage included.
    Read,
    /// Write, maintain included.
    Write,
    /// Everything.
    Admin,
}

impl Permission {
    /// Reads GitHub's word. A word we don't know grants nothing.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "admin" => Self::Admin,
            "write" | "maintain" => Self::Write,
            "read" | "triage" => Self::Read,
            _ => Self::None,
        }
    }

    /// The word used in records.
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
