//! The operator's settings as plain values. The application does not import the configuration.

use crate::domain::alert::Owners;
use crate::domain::ids::RepositoryName;
use crate::domain::incident::Deadlines as IncidentDeadlines;
use crate::domain::pin::RepositoryIds;
use crate::domain::policy::{Mode, Policy};
use crate::domain::pool::Bounds;
use crate::domain::rollout::{RolloutPolicy, SloPolicy};
use crate::domain::runner_task::Deadlines;
use crate::ports::github::RunnerScope;
use chrono::TimeDelta;
use globset::GlobSet;

/// The settings of a worker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The served repositories. Deliveries of other repositories are ignored.
    pub repositories: Vec<Repository>,
    /// The prefix of every runner's name.
    pub name_prefix: String,
    /// Eight characters that identify the runners of this instance.
    pub instance: String,
    /// The configured bounds of the number of slots.
    pub pool: Bounds,
    /// The name of the pool, under which an operator's bounds are stored.
    pub pool_name: String,
    /// The interval between passes of the pool without an event.
    pub pool_interval: std::time::Duration,
    /// The time limits of a runner.
    pub deadlines: Deadlines,
    /// Maximum number of runners for one job.
    pub attempts: u32,
    /// Names of other self-hosted runners that are permitted.
    pub known_runners: GlobSet,
    /// Names of the operator's own runners that should be online.
    pub base_runners: Vec<String>,
    /// The URL of GitHub's API, for the status.
    pub api_url: String,
    /// True if the run of a job that was lost with its machine is re-run once.
    pub rerun_lost: bool,
    /// The rollout mode.
    pub mode: Mode,
    pub rollout: RolloutPolicy,
    pub slo: SloPolicy,
    /// The escalation of critical alerts.
    pub escalation: EscalationPolicy,
    /// The retention of finished records.
    pub retention: std::time::Duration,
}

/// The deadlines and the owners of critical alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscalationPolicy {
    pub deadlines: IncidentDeadlines,
    pub owners: Owners,
}

/// A served repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// `owner/name`.
    pub name: RepositoryName,
    /// The registration scope of its runners.
    pub scope: RunnerScope,
    /// The runner group of its runners.
    pub runner_group_id: u64,
    /// The name of the routing variable.
    pub variable: String,
    pub policy: Policy,
    /// The configured ids.
    pub configured_ids: RepositoryIds,
    /// Maximum time that an untrusted job can delay the runner group.
    pub quarantine: TimeDelta,
}

impl Repository {
    /// Returns the key of the runner group for quarantine.
    #[must_use]
    pub fn group_key(&self) -> String {
        match &self.scope {
            RunnerScope::Repository(name) => name.to_string(),
            RunnerScope::Organization(name) => format!("{}#{}", name.owner(), self.runner_group_id),
        }
    }
}

impl Settings {
    /// Returns the configured repository with the name in a payload. GitHub's names ignore case.
    #[must_use]
    pub fn repository(&self, full_name: &str) -> Option<&Repository> {
        self.repositories
            .iter()
            .find(|repository| repository.name.matches(full_name))
    }
}
