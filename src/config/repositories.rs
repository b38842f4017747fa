//! `[[repositories]]`: the served repositories, each with its policy.

use super::check::{Check, Reported};
use super::mask::masked;
use super::rollout::Rollout;
use super::routing::{RawRouting, Routing};
use crate::domain::ids::{AccountId, RepositoryId, RepositoryName};
use crate::domain::pin::RepositoryIds;
use crate::domain::policy::{Policy, TrustPolicy};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// The default runner group, and the only one outside of organizations.
const DEFAULT_RUNNER_GROUP: u64 = 1;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRepository {
    /// `OWNER/NAME`.
    full_name: String,
    /// GitHub's id of the repository. A different repository with this name gets no runner. By default the first id
    /// that GitHub shows.
    #[schemars(range(min = 1))]
    id: Option<u64>,
    /// GitHub's id of the owner. By default the first id that GitHub shows.
    #[schemars(range(min = 1))]
    owner_id: Option<u64>,
    /// Registration scope of the runners.
    #[serde(default)]
    scope: Scope,
    /// Runner group; required with `scope = "org"`. By default 1.
    #[schemars(range(min = 1), extend("default" = 1))]
    runner_group_id: Option<u64>,
    /// Actions variable that switches self-hosted routing on (`true`) and off.
    #[serde(default = "default_variable")]
    variable: String,
    /// Overrides `routing.labels`.
    #[schemars(length(min = 1))]
    labels: Option<Vec<String>>,
    /// Overrides `routing.trust_label`.
    trust_label: Option<String>,
    /// Overrides `routing.run_label_prefix`.
    run_label_prefix: Option<String>,
    /// Overrides `routing.workflows`.
    workflows: Option<Vec<String>>,
    /// Overrides `routing.branches`.
    branches: Option<Vec<String>>,
    /// Overrides `routing.hosted_jobs`.
    hosted_jobs: Option<Vec<String>>,
    /// Overrides `routing.quarantine_s`.
    #[schemars(range(max = 3600))]
    quarantine_s: Option<u64>,
}

/// The routing variable of a repository without a configured one.
pub const DEFAULT_VARIABLE: &str = "CI_SELF_HOSTED_TRUSTED_ROUTING";

fn default_variable() -> String {
    DEFAULT_VARIABLE.to_owned()
}

/// A served repository.
#[derive(Debug, Clone)]
pub struct Repository {
    pub name: RepositoryName,
    /// The configured ids.
    pub ids: RepositoryIds,
    pub scope: Scope,
    pub runner_group_id: u64,
    pub variable: String,
    pub policy: Policy,
    /// Maximum time that an untrusted job delays the creation of runners.
    pub quarantine: Duration,
}

/// The registration scope of runners: the repository, or the organization that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize, JsonSchema)]
pub enum Scope {
    #[default]
    #[serde(rename = "repo")]
    Repository,
    #[serde(rename = "org")]
    Organization,
}

/// The parts of every repository's policy that other sections define.
pub(super) struct Shared {
    /// The raw `[routing]` section, for repositories that override a part of it.
    pub(super) raw_routing: RawRouting,
    /// The labels of the sizes of slots.
    pub(super) sizes: Vec<String>,
    pub(super) routing: Result<Routing, Reported>,
    pub(super) trust: Result<TrustPolicy, Reported>,
    pub(super) rollout: Result<Rollout, Reported>,
}

/// Returns the prefix of a repository's keys. Its name is not used, because it can be a URL with a token.
pub(super) fn section(full_name: &str) -> String {
    format!("repositories[{}]", masked(full_name))
}

/// Validates all repositories and rejects duplicates.
pub(super) fn validate(
    repositories: Vec<RawRepository>,
    shared: &Shared,
    check: &mut Check<'_>,
) -> Result<Vec<Repository>, Reported> {
    let mut names: Vec<String> = Vec::new();
    let mut validated = Vec::new();
    for raw in repositories {
        let section = section(&raw.full_name);
        let name = raw.full_name.to_ascii_lowercase();
        if names.contains(&name) {
            let remedy = "remove one of them (names ignore case)";
            check.problem(&format!("{section}.full_name"), "is a duplicate", remedy);
        }
        names.push(name);
        validated.push(raw.validate(&section, shared, check));
    }
    validated.into_iter().collect()
}

impl RawRepository {
    fn validate(self, section: &str, shared: &Shared, check: &mut Check<'_>) -> Result<Repository, Reported> {
        let key = |name: &str| format!("{section}.{name}");
        let name = RepositoryName::parse(&self.full_name).map_err(|_| {
            let remedy = "use OWNER/NAME as in the URL of the repository";
            check.problem(&key("full_name"), "is not a repository name", remedy)
        });
        let runner_group_id = self.runner_group_id(check, &key("runner_group_id"));
        let variable = check_variable(check, &key("variable"), &self.variable);
        let routing = self.routing(section, shared, check)?;
        let rollout = shared.rollout.as_ref().map_err(|reported| *reported)?;
        variable?;
        Ok(Repository {
            name: name?,
            ids: RepositoryIds {
                id: self.id.map(RepositoryId),
                owner_id: self.owner_id.map(AccountId),
            },
            scope: self.scope,
            runner_group_id: runner_group_id?,
            variable: self.variable,
            policy: Policy {
                labels: routing.labels,
                trust: shared.trust.clone()?,
                routing: routing.runs,
                mode: rollout.mode,
                rollback_on_attempt: rollout.rollback_on_attempt,
                rerun_stuck: rollout.rerun_stuck,
            },
            quarantine: routing.quarantine,
        })
    }

    fn runner_group_id(&self, check: &mut Check<'_>, key: &str) -> Result<u64, Reported> {
        match (self.scope, self.runner_group_id) {
            (Scope::Repository, None | Some(DEFAULT_RUNNER_GROUP)) => Ok(DEFAULT_RUNNER_GROUP),
            (Scope::Repository, Some(_)) => {
                let what = format!("is not {DEFAULT_RUNNER_GROUP}, the only group a repository has");
                Err(check.problem(key, what, "remove it, or set scope = \"org\""))
            }
            (Scope::Organization, Some(group)) => {
                if group == DEFAULT_RUNNER_GROUP {
                    let remedy = "create a group that only this repository can use";
                    check.warn(
                        key,
                        "is the group that every repository of the organization can use",
                        remedy,
                    );
                }
                Ok(group)
            }
            (Scope::Organization, None) => {
                let remedy = "set it to a group that only this repository can use (its id is in the group's URL)";
                Err(check.problem(key, "is required if scope is \"org\"", remedy))
            }
        }
    }

    /// Returns `[routing]` with the overrides of this repository. Without overrides, its problems are already reported.
    fn routing(&self, section: &str, shared: &Shared, check: &mut Check<'_>) -> Result<Routing, Reported> {
        let overrides = self.labels.is_some()
            || self.trust_label.is_some()
            || self.run_label_prefix.is_some()
            || self.workflows.is_some()
            || self.branches.is_some()
            || self.hosted_jobs.is_some()
            || self.quarantine_s.is_some();
        if !overrides {
            return shared.routing.clone();
        }
        let base = shared.raw_routing.clone();
        let routing = RawRouting {
            labels: self.labels.clone().unwrap_or(base.labels),
            trust_label: self.trust_label.clone().unwrap_or(base.trust_label),
            run_label_prefix: self.run_label_prefix.clone().unwrap_or(base.run_label_prefix),
            workflows: self.workflows.clone().unwrap_or(base.workflows),
            branches: self.branches.clone().unwrap_or(base.branches),
            hosted_jobs: self.hosted_jobs.clone().unwrap_or(base.hosted_jobs),
            quarantine_s: self.quarantine_s.unwrap_or(base.quarantine_s),
        };
        routing.validate(check, section, &shared.sizes)
    }
}

/// Checks a name against GitHub's rule for variables.
fn check_variable(check: &mut Check<'_>, key: &str, name: &str) -> Result<(), Reported> {
    let reserved = name.to_ascii_uppercase().starts_with("GITHUB_");
    if reserved || name.starts_with(|c: char| c.is_ascii_digit()) {
        let remedy = "use a name that starts neither with a digit nor with GITHUB_";
        return Err(check.problem(key, "is not a valid name of a variable at GitHub", remedy));
    }
    check.name(key, name, "_", 255)
}
