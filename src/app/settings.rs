//! What the operator chose, as plain values: the application does not see the configuration.

use crate::domain::ids::RepositoryName;
use crate::domain::pin::RepositoryIds;
use crate::domain::policy::{Mode, Policy};
use crate::domain::pool::Bounds;
use crate::domain::runner_task::Deadlines;
use crate::ports::github::RunnerScope;
use chrono::TimeDelta;
use globset::GlobSet;

/// Settings of the worker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The repositories that are served; deliveries of others are ignored.
    pub repositories: Vec<Repository>,
    /// First part of every runner's name.
    pub name_prefix: String,
    /// Eight characters that tell this instance's runners from others'.
    pub instance: String,
    /// How many environments there may be.
    pub pool: Bounds,
    /// How often the pool is looked after when nothing wakes it.
    pub pool_interval: std::time::Duration,
    /// How long a runner may take, part by part.
    pub deadlines: Deadlines,
    /// How often a runner is asked for, for one job.
    pub attempts: u32,
    /// Names of self-hosted runners that are meant to be there beside ours.
    pub known_runners: GlobSet,
    /// Where GitHub's API is; shown in the status.
    pub api_url: String,
    /// Whether GitHub is written to; shown in the status.
    pub mode: Mode,
    /// How long finished records are kept.
    pub retention: std::time::Duration,
}

/// A repository that is served.
#[derive(Debug, Clone)]
pub struct Repository {
    /// `owner/name`.
    pub name: RepositoryName,
    /// Where its runners are registered.
    pub scope: RunnerScope,
    /// Runner group of its runners.
    pub runner_group_id: u64,
    /// Name of the routing variable.
    pub variable: String,
    /// Labels, trust and routing.
    pub policy: Policy,
    /// The ids that the configuration gives it.
    pub configured_ids: RepositoryIds,
    /// How long an untrusted job can hold up the runner group.
    pub quarantine: TimeDelta,
}

impl Repository {
    /// Names the runner group, for quarantine: nothing is minted where an untrusted job waits.
    #[must_use]
    pub fn group_key(&self) -> String {
        match &self.scope {
            RunnerScope::Repository(name) => name.to_string(),
            RunnerScope::Organization(name) => format!("{}#{}", name.owner(), self.runner_group_id),
        }
    }
}

impl Settings {
    /// The configured repository a payload names, by GitHub's case-blind comparison.
    #[must_use]
    pub fn repository(&self, full_name: &str) -> Option<&Repository> {
        self.repositories
            .iter()
            .find(|repository| repository.name.matches(full_name))
    }
}
