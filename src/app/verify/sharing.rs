//! The runner group of a repository, and the approval of workflows from forks.

use super::unanswered::unanswered;
use crate::app::settings::Repository;
use crate::domain::finding::{Finding, Subject};
use crate::domain::pin::Shown;
use crate::domain::runner_group::{Member, RunnerGroup};
use crate::ports::Administration;
use crate::ports::administration::ForkApproval;
use crate::ports::github::RunnerScope;

/// Maximum number of repositories that a finding names.
const MAX_NAMES: usize = 3;

/// Checks that the runner group serves this repository and no other one.
pub(super) async fn group(administration: &dyn Administration, repository: &Repository, shown: &Shown) -> Vec<Finding> {
    let (name, id) = (&repository.name, repository.runner_group_id);
    if let RunnerScope::Repository(_) = repository.scope {
        return Vec::new();
    }
    let group = match administration.group(name, id).await {
        Ok(Some(group)) => group,
        Ok(None) => {
            return vec![problem(
                format!("{name}: {} has no runner group {id}", name.owner()),
                format!("run: jitgate setup github --repo {name}; then set repositories.runner_group_id to its id"),
            )];
        }
        Err(failure) => return vec![unanswered(format!("{name}: runner group {id}"), &failure)],
    };
    let mut found = vec![workflows(repository, &group)];
    if shown.is_public && !group.limits.allows_public {
        found.push(problem(
            format!("{name} is public, and runner group {id} serves no public repository"),
            format!("run: jitgate setup github --repo {name}"),
        ));
    }
    if group.limits.is_selected {
        match administration.members(name, id).await {
            Ok(members) => found.extend(served(repository, &members)),
            Err(failure) => found.push(unanswered(
                format!("{name}: repositories of runner group {id}"),
                &failure,
            )),
        }
    } else {
        found.push(Finding::warning(
            Subject::Repository,
            format!("{name}: all repositories of {} can use runner group {id}", name.owner()),
            format!("limit it: jitgate setup github --repo {name}"),
        ));
    }
    found
}

fn problem(what: String, remedy: String) -> Finding {
    Finding::problem(Subject::Repository, what, remedy)
}

/// Names the workflows that GitHub limits the group to.
fn workflows(repository: &Repository, group: &RunnerGroup) -> Finding {
    let (name, id) = (&repository.name, group.id);
    let what = match &group.limits.workflows {
        Some(workflows) => format!(
            "{name}: runner group {id} serves only the workflows {}",
            workflows.join(", ")
        ),
        None => format!("{name}: runner group {id} serves any workflow; setup github --workflow limits it"),
    };
    Finding::ok(Subject::Repository, what)
}

fn served(repository: &Repository, members: &[Member]) -> Vec<Finding> {
    let (name, id) = (&repository.name, repository.runner_group_id);
    let is_other = |member: &&Member| !name.matches(&member.full_name);
    let others: Vec<&str> = members
        .iter()
        .filter(is_other)
        .map(|member| member.full_name.as_str())
        .collect();
    let mut found = Vec::new();
    if others.len() == members.len() {
        found.push(problem(
            format!("{name}: runner group {id} does not serve it, so its jobs wait without a runner"),
            format!("run: jitgate setup github --repo {name}; after a hard stop: jitgate routing enable"),
        ));
    } else if others.is_empty() {
        found.push(Finding::ok(
            Subject::Repository,
            format!("{name}: runner group {id} serves no other repository"),
        ));
    }
    if !others.is_empty() {
        let listed = others.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
        let rest = match others.len().saturating_sub(MAX_NAMES) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        found.push(Finding::warning(
            Subject::Repository,
            format!("{name}: runner group {id} also serves {listed}{rest}"),
            format!("limit it: jitgate setup github --repo {name}"),
        ));
    }
    found
}

/// Checks that workflows of outsiders need an approval.
pub(super) async fn fork_approval(
    administration: &dyn Administration,
    repository: &Repository,
    is_public: bool,
) -> Option<Finding> {
    let name = &repository.name;
    match administration.fork_approval(name).await {
        Ok(Some(ForkApproval::AllExternal)) => Some(Finding::ok(
            Subject::Repository,
            format!("{name}: workflows of all external contributors need an approval"),
        )),
        Ok(policy) => {
            let policy = policy.map_or("unknown", ForkApproval::as_str);
            let what = format!("{name}: not all workflows of outsiders need an approval (policy {policy})");
            let remedy = format!("run: jitgate setup github --repo {name} --protect");
            Some(Finding::warning(Subject::Repository, what, remedy))
        }
        // GitHub answers for public repositories only.
        Err(crate::ports::Failure::Permanent(why)) if !is_public => Some(Finding::unknown(
            Subject::Repository,
            &format!("{name}: approval of workflows of outsiders"),
            why,
        )),
        Err(failure) => Some(unanswered(
            format!("{name}: approval of workflows of outsiders"),
            &failure,
        )),
    }
}
