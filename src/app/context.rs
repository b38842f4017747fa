//! The dependencies of the worker. Each use case receives them as its first argument.

use super::alerts::Alerts;
use super::events::budget::Budget;
use super::events::github_cache::GitHubCache;
use super::incidents::Looks;
use super::pool::memory::Pool;
use super::recovery::memory::Recovery;
use super::rollout::tally::Tallies;
use super::settings::Settings;
use crate::ports::{Clock, GitHub, Ledger, Observer, Queue, ReplaceCredentials, RunnerHost};
use std::sync::Arc;
use tokio::sync::Notify;

/// The ports, settings and memory of one worker process.
pub struct Context {
    /// The queue of deliveries.
    pub queue: Arc<dyn Queue>,
    /// The records of jobs, runners, alerts and repositories.
    pub ledger: Arc<dyn Ledger>,
    /// GitHub API client.
    pub github: Arc<dyn GitHub>,
    /// The credentials of the GitHub API client.
    pub credentials: Arc<dyn ReplaceCredentials>,
    /// The runner host; `None` if this worker creates no runners.
    pub host: Option<Arc<dyn RunnerHost>>,
    /// Alert store.
    pub alerts: Arc<Alerts>,
    /// Metrics.
    pub observer: Arc<dyn Observer>,
    /// System clock.
    pub clock: Arc<dyn Clock>,
    /// The operator's settings.
    pub settings: Settings,
    /// Recent answers of GitHub.
    pub github_cache: GitHubCache,
    /// GitHub calls and worker places that outsiders have used.
    pub budget: Budget,
    /// The questions to GitHub about the routing of repositories with an incident.
    pub looks: Looks,
    /// Tasks of the pool and their results.
    pub pool: Pool,
    /// Routing verdicts that are not written yet.
    pub tallies: Tallies,
    /// The memory of the search for lost deliveries.
    pub recovery: Recovery,
    /// Wakes the loop of the rollout, after an event of a measured run.
    pub rollout_woken: Notify,
}
