//! The hard stop: a repository loses its self-hosted runners at GitHub, not only the routing to them.
//!
//! In an organization, the runner group stops serving the repository. A personal account has no groups, so jitgate stops
//! making runners and the records of its idle runners are removed.

use crate::app::records::{self, RepositoryRecord};
use crate::app::settings::Repository;
use crate::domain::rollout::Origin;
use crate::domain::runner::is_of_prefix;
use crate::ports::administration::Administration;
use crate::ports::github::{Deletion, RunnerScope};
use crate::ports::{Failure, GitHub, Ledger};
use serde::Serialize;
use std::time::Duration;

/// The effect of a hard stop at GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Stop {
    /// The runner group that no longer serves the repository.
    pub runner_group: Option<u64>,
    /// The names of the removed runners.
    pub removed: Vec<String>,
    /// The names of the runners that GitHub keeps, because they run a job.
    pub busy: Vec<String>,
}

/// The connections to GitHub.
#[derive(Clone, Copy)]
pub struct Connections<'a> {
    pub github: &'a dyn GitHub,
    pub administration: &'a dyn Administration,
}

/// Takes the runners of a repository away. `prefix` is that of jitgate's runner names. A repeated call changes nothing.
///
/// # Errors
/// The failure of GitHub, or a permanent one if the runner group is open to all repositories.
pub async fn stop(connections: Connections<'_>, repository: &Repository, prefix: &str) -> Result<Stop, Failure> {
    match &repository.scope {
        RunnerScope::Organization(_) => {
            set_access(connections.administration, repository, false).await?;
            Ok(Stop {
                runner_group: Some(repository.runner_group_id),
                ..Stop::default()
            })
        }
        RunnerScope::Repository(_) => remove_runners(connections.github, repository, prefix).await,
    }
}

/// Gives the repository its runner group back. Returns false if there is no group, or the repository had access.
///
/// # Errors
/// The failure of GitHub.
pub async fn restore(administration: &dyn Administration, repository: &Repository) -> Result<bool, Failure> {
    if has_access(administration, repository).await? != Some(false) {
        return Ok(false);
    }
    set_access(administration, repository, true).await?;
    Ok(true)
}

/// Returns true if the runner group serves the repository; none for runners of the repository itself, which have no group.
///
/// # Errors
/// The failure of GitHub, or a permanent one if it does not show the repository or its group.
pub async fn has_access(administration: &dyn Administration, repository: &Repository) -> Result<Option<bool>, Failure> {
    let name = &repository.name;
    let RunnerScope::Organization(_) = &repository.scope else {
        return Ok(None);
    };
    if is_open(administration, repository).await? {
        return Ok(Some(true));
    }
    let members = administration.members(name, repository.runner_group_id).await?;
    Ok(Some(members.iter().any(|member| name.matches(&member.full_name))))
}

/// Returns true if all repositories can use the runner group.
async fn is_open(administration: &dyn Administration, repository: &Repository) -> Result<bool, Failure> {
    let (name, id) = (&repository.name, repository.runner_group_id);
    let group = administration.group(name, id).await?;
    let missing = || Failure::Permanent(format!("{}: GitHub shows no runner group {id}", name.owner()));
    Ok(!group.ok_or_else(missing)?.limits.is_selected)
}

async fn set_access(administration: &dyn Administration, repository: &Repository, on: bool) -> Result<(), Failure> {
    let (name, id) = (&repository.name, repository.runner_group_id);
    let place = administration.place(name).await?;
    let place = place.ok_or_else(|| Failure::Permanent(format!("GitHub shows no repository {name}")))?;
    if is_open(administration, repository).await? {
        // A change of its members would have no effect.
        return Err(Failure::Permanent(format!(
            "runner group {id} is open to all repositories; limit it with `jitgate setup github --repo {name}`"
        )));
    }
    administration.set_member(name, id, place.id, on).await
}

async fn remove_runners(github: &dyn GitHub, repository: &Repository, prefix: &str) -> Result<Stop, Failure> {
    let mut stop = Stop::default();
    for runner in github.runners(&repository.scope).await? {
        if !is_of_prefix(&runner.name, prefix) {
            continue;
        }
        match github.delete_runner(&repository.scope, runner.id).await? {
            Deletion::Gone => stop.removed.push(runner.name),
            Deletion::Busy => stop.busy.push(runner.name),
        }
    }
    Ok(stop)
}

/// Records that jitgate makes no runner for the repository; none ends it.
///
/// # Errors
/// The failure of the ledger.
pub async fn record(
    ledger: &dyn Ledger,
    retention: Duration,
    repository: &Repository,
    stopped: Option<&Origin>,
) -> Result<(), Failure> {
    let id = repository.name.as_str();
    records::update(ledger, id, retention, |record: &mut Option<RepositoryRecord>| {
        let is_stopped = record.as_ref().is_some_and(|record| record.stopped.is_some());
        if is_stopped != stopped.is_some() {
            record.get_or_insert_default().stopped = stopped.cloned();
        }
    })
    .await
}

/// Returns the person who stopped the runners.
///
/// # Errors
/// The failure of the ledger.
pub async fn recorded(ledger: &dyn Ledger, repository: &Repository) -> Result<Option<Origin>, Failure> {
    let record: Option<RepositoryRecord> = records::load(ledger, repository.name.as_str()).await?;
    Ok(record.and_then(|record| record.stopped))
}
