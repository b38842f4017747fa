//! Runner groups and the policies for workflows.

use super::adapter::GitHubAdapter;
use super::client::Answer;
use super::request::{PER_PAGE, Request, encoded, under};
use super::token::{Access, Grant};
use crate::domain::ids::{RepositoryId, RepositoryName};
use crate::domain::runner_group::{GroupLimits, Member, RunnerGroup};
use crate::ports::Failure;
use crate::ports::administration::{Administration, ForkApproval, Place, WorkflowToken};
use crate::ports::github::Purpose;
use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Maximum number of pages of a list: no organization has 10,000 runner groups, or repositories in one of them.
const MAX_PAGES: usize = 100;
/// The visibility of a group for selected repositories.
const SELECTED: &str = "selected";

#[derive(Deserialize)]
struct Repository {
    id: u64,
    private: Option<bool>,
    owner: Option<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl From<Repository> for Place {
    fn from(shown: Repository) -> Self {
        Self {
            id: RepositoryId(shown.id),
            // A repository of an unknown kind is treated as the riskier one.
            is_public: shown.private != Some(true),
            is_of_organization: shown.owner.and_then(|owner| owner.kind).as_deref() == Some("Organization"),
        }
    }
}

#[derive(Deserialize)]
struct Group {
    id: u64,
    name: String,
    #[serde(default)]
    default: bool,
    visibility: String,
    #[serde(default)]
    allows_public_repositories: bool,
    #[serde(default)]
    restricted_to_workflows: bool,
    #[serde(default)]
    selected_workflows: Option<Vec<String>>,
}

impl From<Group> for RunnerGroup {
    fn from(shown: Group) -> Self {
        Self {
            id: shown.id,
            name: shown.name,
            is_default: shown.default,
            limits: GroupLimits {
                is_selected: shown.visibility == SELECTED,
                allows_public: shown.allows_public_repositories,
                workflows: shown
                    .restricted_to_workflows
                    .then(|| shown.selected_workflows.unwrap_or_default()),
            },
        }
    }
}

#[derive(Deserialize)]
struct Groups {
    runner_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Members {
    repositories: Vec<ListedRepository>,
}

#[derive(Deserialize)]
struct ListedRepository {
    id: u64,
    full_name: String,
}

#[derive(Deserialize)]
struct Approval {
    approval_policy: String,
}

#[derive(Deserialize)]
struct TokenPermissions {
    default_workflow_permissions: String,
    can_approve_pull_request_reviews: bool,
}

fn limits_body(limits: &GroupLimits) -> Value {
    json!({
        "visibility": if limits.is_selected { SELECTED } else { "all" },
        "allows_public_repositories": limits.allows_public,
        "restricted_to_workflows": limits.workflows.is_some(),
        "selected_workflows": limits.workflows.as_deref().unwrap_or_default(),
    })
}

fn groups_path(repository: &RepositoryName) -> String {
    format!("/orgs/{}/actions/runner-groups", encoded(repository.owner()))
}

fn policy_path(repository: &RepositoryName, policy: &str) -> String {
    under(repository, &format!("actions/permissions/{policy}"))
}

fn read<A: DeserializeOwned>(answer: &Answer) -> Result<A, Failure> {
    match answer.status {
        StatusCode::OK | StatusCode::CREATED => answer.read(),
        _ => Err(answer.unexpected()),
    }
}

fn done(answer: &Answer) -> Result<(), Failure> {
    match answer.status {
        StatusCode::NO_CONTENT | StatusCode::OK => Ok(()),
        _ => Err(answer.unexpected()),
    }
}

impl GitHubAdapter {
    async fn ask_the_organization(&self, repository: &RepositoryName, request: &Request) -> Result<Answer, Failure> {
        self.ask_with(repository, Grant::OrganizationRunners, request).await
    }

    async fn ask_about_policies(&self, repository: &RepositoryName, request: &Request) -> Result<Answer, Failure> {
        self.ask_with(repository, Grant::RepositoryRunners, request).await
    }

    async fn ask_with(&self, repository: &RepositoryName, grant: Grant, request: &Request) -> Result<Answer, Failure> {
        let repository = repository.clone();
        self.ask(&Access { repository, grant }, request).await
    }

    /// Reads all pages of a list of the organization.
    async fn pages<P: DeserializeOwned, T>(
        &self,
        repository: &RepositoryName,
        endpoint: &'static str,
        path: &str,
        items: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let request = Request::get(endpoint, path.to_owned(), Purpose::Admit)
                .with("per_page", PER_PAGE)
                .with("page", page);
            let found = items(read(&self.ask_the_organization(repository, &request).await?)?);
            let was_last = found.len() < PER_PAGE;
            all.extend(found);
            if was_last {
                break;
            }
        }
        Ok(all)
    }
}

#[async_trait]
impl Administration for GitHubAdapter {
    async fn place(&self, repository: &RepositoryName) -> Result<Option<Place>, Failure> {
        let request = Request::get("repository", format!("/repos/{repository}"), Purpose::Admit);
        let found: Option<Repository> = self.find(repository, &request).await?;
        Ok(found.map(Place::from))
    }

    async fn groups(&self, repository: &RepositoryName) -> Result<Vec<RunnerGroup>, Failure> {
        let path = groups_path(repository);
        let groups = |page: Groups| page.runner_groups.into_iter().map(RunnerGroup::from).collect();
        self.pages(repository, "runner_groups", &path, groups).await
    }

    async fn group(&self, repository: &RepositoryName, id: u64) -> Result<Option<RunnerGroup>, Failure> {
        let path = format!("{}/{id}", groups_path(repository));
        let request = Request::get("runner_group", path, Purpose::Admit);
        let answer = self.ask_the_organization(repository, &request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let group: Group = read(&answer)?;
        Ok(Some(group.into()))
    }

    async fn create_group(
        &self,
        repository: &RepositoryName,
        name: &str,
        limits: &GroupLimits,
        member: RepositoryId,
    ) -> Result<RunnerGroup, Failure> {
        let mut body = limits_body(limits);
        body["name"] = json!(name);
        body["selected_repository_ids"] = json!([member.0]);
        let request = Request::change("create_runner_group", Method::POST, groups_path(repository), Some(body));
        let group: Group = read(&self.ask_the_organization(repository, &request).await?)?;
        Ok(group.into())
    }

    async fn limit_group(
        &self,
        repository: &RepositoryName,
        id: u64,
        name: &str,
        limits: &GroupLimits,
    ) -> Result<(), Failure> {
        let mut body = limits_body(limits);
        body["name"] = json!(name);
        let path = format!("{}/{id}", groups_path(repository));
        let request = Request::change("limit_runner_group", Method::PATCH, path, Some(body));
        done(&self.ask_the_organization(repository, &request).await?)
    }

    async fn members(&self, repository: &RepositoryName, group: u64) -> Result<Vec<Member>, Failure> {
        let path = format!("{}/{group}/repositories", groups_path(repository));
        let members = |page: Members| {
            let listed = page.repositories.into_iter();
            listed
                .map(|repository| Member {
                    id: RepositoryId(repository.id),
                    full_name: repository.full_name,
                })
                .collect()
        };
        self.pages(repository, "group_repositories", &path, members).await
    }

    async fn set_member(
        &self,
        repository: &RepositoryName,
        group: u64,
        member: RepositoryId,
        has_access: bool,
    ) -> Result<(), Failure> {
        let path = format!("{}/{group}/repositories/{}", groups_path(repository), member.0);
        let method = if has_access { Method::PUT } else { Method::DELETE };
        let request = Request::change("group_repository", method, path, None);
        done(&self.ask_the_organization(repository, &request).await?)
    }

    async fn fork_approval(&self, repository: &RepositoryName) -> Result<Option<ForkApproval>, Failure> {
        let path = policy_path(repository, "fork-pr-contributor-approval");
        let request = Request::get("fork_approval", path, Purpose::Admit);
        let shown: Approval = read(&self.ask_about_policies(repository, &request).await?)?;
        let mut policies = ForkApproval::ALL.into_iter();
        Ok(policies.find(|policy| policy.as_str() == shown.approval_policy))
    }

    async fn set_fork_approval(&self, repository: &RepositoryName, approval: ForkApproval) -> Result<(), Failure> {
        let path = policy_path(repository, "fork-pr-contributor-approval");
        let body = json!({"approval_policy": approval.as_str()});
        let request = Request::change("set_fork_approval", Method::PUT, path, Some(body));
        done(&self.ask_about_policies(repository, &request).await?)
    }

    async fn workflow_token(&self, repository: &RepositoryName) -> Result<WorkflowToken, Failure> {
        let request = Request::get("workflow_token", policy_path(repository, "workflow"), Purpose::Admit);
        let shown: TokenPermissions = read(&self.ask_about_policies(repository, &request).await?)?;
        Ok(WorkflowToken {
            can_write: shown.default_workflow_permissions != "read",
            can_approve_pull_requests: shown.can_approve_pull_request_reviews,
        })
    }

    async fn set_workflow_token(&self, repository: &RepositoryName, token: WorkflowToken) -> Result<(), Failure> {
        let body = json!({
            "default_workflow_permissions": if token.can_write { "write" } else { "read" },
            "can_approve_pull_request_reviews": token.can_approve_pull_requests,
        });
        let path = policy_path(repository, "workflow");
        let request = Request::change("set_workflow_token", Method::PUT, path, Some(body));
        done(&self.ask_about_policies(repository, &request).await?)
    }
}
