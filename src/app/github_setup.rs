//! Prepares a repository at GitHub: finds the present state, plans the steps, takes them one by one.
//!
//! Each step can be repeated, so a run that was interrupted is followed by another one.

use crate::domain::github_setup::{Found, Group, Step, Wanted, steps};
use crate::domain::runner_group::RunnerGroup;
use crate::ports::administration::{Administration, ForkApproval, Place, WorkflowToken};
use crate::ports::github::Purpose;
use crate::ports::{Failure, GitHub};

/// The connections to GitHub.
#[derive(Clone, Copy)]
pub struct Connections<'a> {
    pub github: &'a dyn GitHub,
    pub administration: &'a dyn Administration,
}

/// The steps of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub place: Place,
    pub group: Option<RunnerGroup>,
    pub steps: Vec<Step>,
}

/// Returns the repository and its owner.
///
/// # Errors
/// The failure of GitHub, or a permanent one if GitHub shows no such repository.
pub async fn place(administration: &dyn Administration, wanted: &Wanted) -> Result<Place, Failure> {
    let place = administration.place(&wanted.name).await?;
    place.ok_or_else(|| Failure::Permanent(format!("GitHub shows no repository {}", wanted.name)))
}

/// Plans the steps without changing anything.
///
/// # Errors
/// The failure of GitHub, or a permanent one if the group with the wanted name is the default group.
pub async fn plan(
    connections: Connections<'_>,
    place: Place,
    wanted: &Wanted,
    with_policies: bool,
) -> Result<Plan, Failure> {
    let Connections { github, administration } = connections;
    let name = &wanted.name;
    let group = match &wanted.group {
        None => None,
        Some(group) => {
            let groups = administration.groups(name).await?;
            groups.into_iter().find(|known| known.name.eq_ignore_ascii_case(group))
        }
    };
    if group.as_ref().is_some_and(|group| group.is_default) {
        return Err(Failure::Permanent(format!(
            "the default runner group of {} cannot be limited to one repository",
            name.owner()
        )));
    }
    let variable = github.variable(name, &wanted.variable, Purpose::Admit).await?;
    let (approval, token) = match with_policies {
        false => (None, None),
        true => (
            Some(administration.fork_approval(name).await? == Some(ForkApproval::AllExternal)),
            Some(administration.workflow_token(name).await? == WorkflowToken::LEAST),
        ),
    };
    let found = Found {
        repository: place.id,
        is_public: place.is_public,
        group: match &group {
            None => None,
            Some(group) => Some(Group {
                id: group.id,
                name: group.name.clone(),
                limits: group.limits.clone(),
                members: match group.limits.is_selected {
                    true => administration.members(name, group.id).await?,
                    false => Vec::new(),
                },
            }),
        },
        has_variable: variable.is_some(),
        requires_approval: approval,
        has_least_token: token,
    };
    let steps = steps(&found, wanted);
    Ok(Plan { place, group, steps })
}

/// Takes one step. Returns the group that it created.
///
/// # Errors
/// The failure of GitHub. The step can be repeated.
pub async fn take(
    connections: Connections<'_>,
    plan: &Plan,
    wanted: &Wanted,
    step: &Step,
) -> Result<Option<RunnerGroup>, Failure> {
    let Connections { github, administration } = connections;
    let (name, own) = (&wanted.name, plan.place.id);
    match step {
        Step::CreateGroup { name: group, limits } => {
            return administration.create_group(name, group, limits, own).await.map(Some);
        }
        Step::LimitGroup {
            id,
            name: group,
            limits,
        } => administration.limit_group(name, *id, group, limits).await?,
        Step::AddToGroup { id, .. } => administration.set_member(name, *id, own, true).await?,
        Step::RemoveFromGroup { id, other, .. } => administration.set_member(name, *id, other.id, false).await?,
        Step::CreateVariable { name: variable } => github.set_variable(name, variable, "false").await?,
        Step::RequireApproval => {
            administration
                .set_fork_approval(name, ForkApproval::AllExternal)
                .await?
        }
        Step::RestrictToken => administration.set_workflow_token(name, WorkflowToken::LEAST).await?,
    }
    Ok(None)
}
