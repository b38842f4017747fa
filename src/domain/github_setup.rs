//! The steps that make a repository at GitHub ready for jitgate: the runner group, the routing variable, the policies.

use super::ids::{RepositoryId, RepositoryName};
use super::runner_group::{GroupLimits, Member};
use std::fmt;

/// One change at GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    CreateGroup {
        name: String,
        limits: GroupLimits,
    },
    LimitGroup {
        id: u64,
        name: String,
        limits: GroupLimits,
    },
    AddToGroup {
        id: u64,
        name: String,
    },
    /// Takes the access of another repository away.
    RemoveFromGroup {
        id: u64,
        name: String,
        other: Member,
    },
    /// Creates the routing variable as `false`.
    CreateVariable {
        name: String,
    },
    /// Requires the approval of a maintainer for every outsider's pull request.
    RequireApproval,
    /// Restricts the token of a workflow to reading, unless the workflow asks for more.
    RestrictToken,
}

/// The existing runner group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: u64,
    pub name: String,
    pub limits: GroupLimits,
    /// Empty while all repositories can use the group.
    pub members: Vec<Member>,
}

/// The state at GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub repository: RepositoryId,
    pub is_public: bool,
    /// The runner group with the wanted name.
    pub group: Option<Group>,
    /// True if the routing variable exists, with any value.
    pub has_variable: bool,
    /// True if every outsider's pull request needs an approval; `None` if the policies are not asked for.
    pub requires_approval: Option<bool>,
    /// True if the token of a workflow can only read; `None` if the policies are not asked for.
    pub has_least_token: Option<bool>,
}

/// The wanted state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub name: RepositoryName,
    pub variable: String,
    /// The name of the runner group; `None` for a personal account, which has no groups.
    pub group: Option<String>,
    /// Other repositories that may keep their access to the group.
    pub others: Vec<RepositoryName>,
    /// The only workflow that can use the group, as `owner/name/path@ref`. `None` keeps the present limit.
    pub workflow: Option<String>,
}

/// Returns the steps from the state that was found to the wanted one. No steps mean that nothing is to do.
#[must_use]
pub fn steps(found: &Found, wanted: &Wanted) -> Vec<Step> {
    let mut steps = wanted
        .group
        .as_ref()
        .map_or_else(Vec::new, |name| group(found, wanted, name));
    if !found.has_variable {
        let name = wanted.variable.clone();
        steps.push(Step::CreateVariable { name });
    }
    if found.requires_approval == Some(false) {
        steps.push(Step::RequireApproval);
    }
    if found.has_least_token == Some(false) {
        steps.push(Step::RestrictToken);
    }
    steps
}

fn group(found: &Found, wanted: &Wanted, name: &str) -> Vec<Step> {
    let present = found.group.as_ref().and_then(|group| group.limits.workflows.clone());
    let limits = GroupLimits {
        is_selected: true,
        allows_public: found.is_public,
        workflows: wanted.workflow.clone().map(|workflow| vec![workflow]).or(present),
    };
    let Some(group) = &found.group else {
        let name = name.to_owned();
        return vec![Step::CreateGroup { name, limits }];
    };
    let (id, name) = (group.id, group.name.clone());
    // Members are corrected before the group is opened to selected repositories only.
    let mut steps = Vec::new();
    if !group.members.iter().any(|member| member.id == found.repository) {
        let name = name.clone();
        steps.push(Step::AddToGroup { id, name });
    }
    let may_stay = |member: &Member| {
        let is_other = |other: &RepositoryName| other.matches(&member.full_name);
        member.id == found.repository || wanted.others.iter().any(is_other)
    };
    let strangers = group.members.iter().filter(|member| !may_stay(member));
    steps.extend(strangers.map(|other| Step::RemoveFromGroup {
        id,
        name: name.clone(),
        other: other.clone(),
    }));
    if group.limits != limits {
        steps.insert(0, Step::LimitGroup { id, name, limits });
    }
    steps
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateGroup { name, limits } => {
                write!(f, "create the runner group \"{name}\" for this repository only")?;
                in_words(f, limits)
            }
            Self::LimitGroup { name, limits, .. } => {
                write!(f, "limit the runner group \"{name}\" to selected repositories")?;
                in_words(f, limits)
            }
            Self::AddToGroup { name, .. } => write!(f, "give this repository access to the runner group \"{name}\""),
            Self::RemoveFromGroup { name, other, .. } => {
                write!(
                    f,
                    "take the access of {} to the runner group \"{name}\" away",
                    other.full_name
                )
            }
            Self::CreateVariable { name } => write!(f, "create the variable {name} as false"),
            Self::RequireApproval => {
                f.write_str("require an approval for workflows of every pull request by an outsider")
            }
            Self::RestrictToken => {
                f.write_str("restrict the default token of workflows to reading, without approvals of pull requests")
            }
        }
    }
}

fn in_words(f: &mut fmt::Formatter<'_>, limits: &GroupLimits) -> fmt::Result {
    if let Some(workflows) = &limits.workflows {
        write!(f, ", and to jobs of {}", workflows.join(", "))?;
    }
    if limits.allows_public {
        f.write_str("; public repositories included, because this one is public")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: RepositoryId = RepositoryId(7);

    fn wanted() -> Wanted {
        Wanted {
            name: RepositoryName::parse("octo/chem").expect("a name"),
            variable: "ROUTING".to_owned(),
            group: Some("jitgate".to_owned()),
            others: vec![RepositoryName::parse("octo/Second").expect("a name")],
            workflow: None,
        }
    }

    fn member(id: u64, full_name: &str) -> Member {
        Member {
            id: RepositoryId(id),
            full_name: full_name.to_owned(),
        }
    }

    fn limits() -> GroupLimits {
        GroupLimits {
            is_selected: true,
            allows_public: false,
            workflows: None,
        }
    }

    /// Everything is as wanted.
    fn ready() -> Found {
        Found {
            repository: OURS,
            is_public: false,
            group: Some(Group {
                id: 3,
                name: "jitgate".to_owned(),
                limits: limits(),
                members: vec![member(7, "octo/chem"), member(8, "octo/second")],
            }),
            has_variable: true,
            requires_approval: Some(true),
            has_least_token: Some(true),
        }
    }

    fn with_group(change: impl FnOnce(&mut Group)) -> Found {
        let mut found = ready();
        if let Some(group) = &mut found.group {
            change(group);
        }
        found
    }

    #[test]
    fn nothing_is_to_do_where_everything_is_as_wanted() {
        assert_eq!(steps(&ready(), &wanted()), []);
        let unasked = Found {
            requires_approval: None,
            has_least_token: None,
            ..ready()
        };
        assert_eq!(steps(&unasked, &wanted()), []);
    }

    #[test]
    fn a_new_repository_gets_a_group_of_its_own_and_a_variable_that_is_false() {
        let new = Found {
            group: None,
            has_variable: false,
            requires_approval: Some(false),
            has_least_token: Some(false),
            ..ready()
        };
        let created = Step::CreateGroup {
            name: "jitgate".to_owned(),
            limits: limits(),
        };
        let variable = Step::CreateVariable {
            name: "ROUTING".to_owned(),
        };
        let all = [created, variable.clone(), Step::RequireApproval, Step::RestrictToken];
        assert_eq!(steps(&new, &wanted()), all);
        // A personal account has no groups.
        let personal = Wanted {
            group: None,
            ..wanted()
        };
        assert_eq!(
            steps(&new, &personal),
            [variable, Step::RequireApproval, Step::RestrictToken]
        );
    }

    #[test]
    fn an_open_group_is_closed_before_its_members_count() {
        let open = with_group(|group| {
            group.limits.is_selected = false;
            group.members.clear();
        });
        let (id, name) = (3, "jitgate".to_owned());
        let limit = Step::LimitGroup {
            id,
            name: name.clone(),
            limits: limits(),
        };
        assert_eq!(steps(&open, &wanted()), [limit, Step::AddToGroup { id, name }]);
    }

    #[test]
    fn a_stranger_loses_access_and_a_configured_repository_keeps_it() {
        let shared = with_group(|group| group.members.push(member(9, "octo/stranger")));
        let removed = Step::RemoveFromGroup {
            id: 3,
            name: "jitgate".to_owned(),
            other: member(9, "octo/stranger"),
        };
        assert_eq!(steps(&shared, &wanted()), [removed]);
    }

    #[test]
    fn a_workflow_restricts_the_group_and_a_later_run_without_it_does_not_lift_the_restriction() {
        let workflow = "octo/chem/.github/workflows/trusted.yml@refs/heads/main".to_owned();
        let restricted = Wanted {
            workflow: Some(workflow.clone()),
            ..wanted()
        };
        let Some(Step::LimitGroup { limits, .. }) = steps(&ready(), &restricted).pop() else {
            panic!("the group is not restricted");
        };
        assert_eq!(limits.workflows, Some(vec![workflow]));
        let later = with_group(|group| group.limits = limits);
        assert_eq!(steps(&later, &wanted()), []);
    }

    #[test]
    fn only_a_public_repository_opens_the_group_to_public_ones() {
        let public = Found {
            is_public: true,
            ..ready()
        };
        let [step @ Step::LimitGroup { .. }] = &steps(&public, &wanted())[..] else {
            panic!("the group stays closed to it");
        };
        assert!(step.to_string().contains("public repositories included"), "{step}");
    }
}
