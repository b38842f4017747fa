//! The implementation of the port: the request of each call and the meaning of each status.

use super::adapter::GitHubAdapter;
use super::answers;
use super::client::Answer;
use super::request::{PER_PAGE, Request, encoded, under};
use super::token::{Access, Grant};
use crate::domain::event::Job;
use crate::domain::facts::{Commit, Pull, Run, Variable};
use crate::domain::ids::{JobId, RepositoryId, RepositoryName, RunId, RunnerId};
use crate::domain::imagined::PullRequest;
use crate::domain::pin::Shown;
use crate::domain::policy::Permission;
use crate::domain::rollout::RunProgress;
use crate::ports::Failure;
use crate::ports::github::{
    Changes, Deletion, DeliveryPage, GitHub, GitHubRunner, JitOutcome, JitRequest, JitRunner, ListedRun, Purpose,
    Redelivery, RunCommand, RunState, RunnerScope,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::json;
use std::collections::BTreeMap;

/// One matrix has at most 256 jobs; a workflow run with more than 1,000 jobs is not a real workload.
const MAX_JOB_PAGES: usize = 10;
/// GitHub accepts 10,000 runners in a group.
const MAX_RUNNER_PAGES: usize = 100;

impl GitHubAdapter {
    pub(super) async fn ask_about_runners(&self, scope: &RunnerScope, request: &Request) -> Result<Answer, Failure> {
        let access = Access {
            repository: scope.repository().clone(),
            grant: match scope {
                RunnerScope::Repository(_) => Grant::RepositoryRunners,
                RunnerScope::Organization(_) => Grant::OrganizationRunners,
            },
        };
        self.ask(&access, request).await
    }

    async fn command_run(
        &self,
        repository: &RepositoryName,
        run: RunId,
        endpoint: &'static str,
        verb: &str,
    ) -> Result<RunCommand, Failure> {
        let path = under(repository, &format!("actions/runs/{run}/{verb}"));
        let mut request = Request::change(endpoint, Method::POST, path, None);
        if verb != "rerun" {
            // Outsiders cause cancellations, in any number.
            request.purpose = Purpose::Judge;
        }
        let answer = self.ask_about_jobs(repository, &request).await?;
        match answer.status {
            StatusCode::CREATED | StatusCode::ACCEPTED => Ok(RunCommand::Accepted),
            StatusCode::CONFLICT => Ok(RunCommand::TooLate),
            // 403 also means that the run still runs or is too old to be re-run. The message tells this from a missing
            // permission.
            StatusCode::FORBIDDEN if !lacks_permission(&answer.message()) => Ok(RunCommand::TooLate),
            StatusCode::NOT_FOUND => Ok(RunCommand::Gone),
            _ => Err(answer.unexpected()),
        }
    }
}

#[async_trait]
impl GitHub for GitHubAdapter {
    async fn repository(&self, repository: &RepositoryName, purpose: Purpose) -> Result<Option<Shown>, Failure> {
        let path = format!("/repos/{}/{}", encoded(repository.owner()), encoded(repository.name()));
        let found: Option<answers::Shown> = self
            .find(repository, &Request::get("repository", path, purpose))
            .await?;
        Ok(found.map(|found| found.into_fact(repository)))
    }

    async fn run(&self, repository: &RepositoryName, run: RunId, purpose: Purpose) -> Result<Option<Run>, Failure> {
        let request = Request::get("run", under(repository, &format!("actions/runs/{run}")), purpose);
        let found: Option<answers::Run> = self.find(repository, &request).await?;
        Ok(found.map(|run| run.into_fact(repository.owner())))
    }

    async fn run_progress(
        &self,
        repository: &RepositoryName,
        run: RunId,
        purpose: Purpose,
    ) -> Result<Option<RunProgress>, Failure> {
        let request = Request::get("run", under(repository, &format!("actions/runs/{run}")), purpose);
        let found: Option<answers::RunProgress> = self.find(repository, &request).await?;
        Ok(found.map(RunProgress::from))
    }

    async fn pulls_of_head(
        &self,
        repository: &RepositoryName,
        owner: &str,
        branch: &str,
        head_repository: RepositoryId,
        purpose: Purpose,
    ) -> Result<Vec<Pull>, Failure> {
        self.list_pulls(repository, owner, branch, head_repository, purpose)
            .await
    }

    async fn pull_request(
        &self,
        repository: &RepositoryName,
        number: u64,
        purpose: Purpose,
    ) -> Result<Option<PullRequest>, Failure> {
        self.find_pull_request(repository, number, purpose).await
    }

    async fn pull_changes(
        &self,
        repository: &RepositoryName,
        number: u64,
        prefix: &str,
        purpose: Purpose,
    ) -> Result<Changes, Failure> {
        self.find_changed_file(repository, number, prefix, purpose).await
    }

    async fn base_changed(&self, repository: &RepositoryName, number: u64, purpose: Purpose) -> Result<bool, Failure> {
        self.find_base_change(repository, number, purpose).await
    }

    async fn commits(
        &self,
        repository: &RepositoryName,
        number: u64,
        purpose: Purpose,
    ) -> Result<Option<Vec<Commit>>, Failure> {
        self.list_commits(repository, number, purpose).await
    }

    async fn permission(
        &self,
        repository: &RepositoryName,
        login: &str,
        purpose: Purpose,
    ) -> Result<Option<Permission>, Failure> {
        let path = under(repository, &format!("collaborators/{}/permission", encoded(login)));
        let found: Option<answers::PermissionLevel> = self
            .find(repository, &Request::get("permission", path, purpose))
            .await?;
        Ok(found.map(|level| Permission::parse(&level.permission)))
    }

    async fn job(&self, repository: &RepositoryName, job: JobId, purpose: Purpose) -> Result<Option<Job>, Failure> {
        let request = Request::get("job", under(repository, &format!("actions/jobs/{job}")), purpose);
        let found: Option<answers::Job> = self.find(repository, &request).await?;
        Ok(found.map(Job::from))
    }

    async fn jobs_of_run(
        &self,
        repository: &RepositoryName,
        run: RunId,
        purpose: Purpose,
    ) -> Result<Vec<Job>, Failure> {
        let mut jobs = Vec::new();
        for page in 1..=MAX_JOB_PAGES {
            let request = Request::get(
                "run_jobs",
                under(repository, &format!("actions/runs/{run}/jobs")),
                purpose,
            )
            .with("per_page", PER_PAGE)
            .with("page", page);
            let Some(found): Option<answers::Jobs> = self.find(repository, &request).await? else {
                break;
            };
            let was_last = found.jobs.len() < PER_PAGE;
            jobs.extend(found.jobs.into_iter().map(Job::from));
            if was_last {
                break;
            }
        }
        Ok(jobs)
    }

    async fn runs(
        &self,
        repository: &RepositoryName,
        state: RunState,
        purpose: Purpose,
    ) -> Result<Vec<ListedRun>, Failure> {
        self.list_runs(repository, state, purpose).await
    }

    async fn runs_of_commit(
        &self,
        repository: &RepositoryName,
        commit: &str,
        purpose: Purpose,
    ) -> Result<Vec<ListedRun>, Failure> {
        self.list_runs_of_commit(repository, commit, purpose).await
    }

    fn has_delivery_log(&self) -> bool {
        self.tokens().are_of_an_app()
    }

    async fn deliveries(&self, cursor: Option<&str>) -> Result<DeliveryPage, Failure> {
        self.list_deliveries(cursor).await
    }

    async fn redeliver(&self, id: u64) -> Result<Redelivery, Failure> {
        self.request_redelivery(id).await
    }

    async fn variable(
        &self,
        repository: &RepositoryName,
        name: &str,
        purpose: Purpose,
    ) -> Result<Option<Variable>, Failure> {
        let request = Request::get("variable", variable_path(repository, name), purpose);
        let found: Option<answers::Variable> = self.find(repository, &request).await?;
        Ok(found.map(Variable::from))
    }

    async fn set_variable(&self, repository: &RepositoryName, name: &str, value: &str) -> Result<(), Failure> {
        let body = json!({"name": name, "value": value});
        let path = variable_path(repository, name);
        let request = Request::change("set_variable", Method::PATCH, path, Some(body.clone()));
        let answer = self.ask_about_jobs(repository, &request).await?;
        match answer.status {
            StatusCode::NO_CONTENT => return Ok(()),
            StatusCode::NOT_FOUND => {}
            _ => return Err(answer.unexpected()),
        }
        let path = under(repository, "actions/variables");
        let request = Request::change("create_variable", Method::POST, path, Some(body));
        let answer = self.ask_about_jobs(repository, &request).await?;
        match answer.status {
            StatusCode::CREATED => Ok(()),
            // Another writer created the variable between the two calls, with an unknown value.
            StatusCode::CONFLICT => Err(Failure::Transient(answer.to_string())),
            _ => Err(answer.unexpected()),
        }
    }

    async fn cancel_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure> {
        self.command_run(repository, run, "cancel_run", "cancel").await
    }

    async fn force_cancel_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure> {
        self.command_run(repository, run, "force_cancel_run", "force-cancel")
            .await
    }

    async fn rerun_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure> {
        self.command_run(repository, run, "rerun_run", "rerun").await
    }

    async fn generate_jit(&self, scope: &RunnerScope, request: &JitRequest) -> Result<JitOutcome, Failure> {
        self.client.limits.take_jit_request(self.client.clock.now())?;
        let body = json!({
            "name": request.name,
            "runner_group_id": request.runner_group_id,
            "labels": request.labels,
        });
        let path = format!("{}/generate-jitconfig", runners_path(scope));
        let request = Request::change("generate_jit", Method::POST, path, Some(body));
        let answer = self.ask_about_runners(scope, &request).await?;
        match answer.status {
            StatusCode::CREATED => {
                let made: answers::JitConfig = answer.read()?;
                Ok(JitOutcome::Made(JitRunner {
                    id: RunnerId(made.runner.id),
                    config: SecretString::from(made.encoded_jit_config),
                }))
            }
            StatusCode::CONFLICT => Ok(JitOutcome::NameTaken),
            StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => Ok(JitOutcome::Refused(answer.to_string())),
            _ => Err(answer.unexpected()),
        }
    }

    fn jit_not_before(&self) -> Option<DateTime<Utc>> {
        self.client.limits.jit_not_before(self.client.clock.now())
    }

    async fn runners_named(&self, scope: &RunnerScope, name: &str) -> Result<Vec<GitHubRunner>, Failure> {
        let request = Request::get("runners_named", runners_path(scope), Purpose::Admit)
            .with("name", name)
            .with("per_page", PER_PAGE);
        let answer = self.ask_about_runners(scope, &request).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.unexpected());
        }
        let found: answers::Runners = answer.read()?;
        let runners = found.runners.into_iter().map(GitHubRunner::from);
        Ok(runners.filter(|runner| runner.name == name).collect())
    }

    async fn runners(&self, scope: &RunnerScope) -> Result<Vec<GitHubRunner>, Failure> {
        let mut runners = Vec::new();
        for page in 1..=MAX_RUNNER_PAGES {
            let request = Request::get("runners", runners_path(scope), Purpose::Admit)
                .with("per_page", PER_PAGE)
                .with("page", page);
            let answer = self.ask_about_runners(scope, &request).await?;
            if answer.status != StatusCode::OK {
                return Err(answer.unexpected());
            }
            let found: answers::Runners = answer.read()?;
            let was_last = found.runners.len() < PER_PAGE;
            runners.extend(found.runners.into_iter().map(GitHubRunner::from));
            if was_last {
                break;
            }
        }
        Ok(runners)
    }

    async fn delete_runner(&self, scope: &RunnerScope, id: RunnerId) -> Result<Deletion, Failure> {
        let path = format!("{}/{id}", runners_path(scope));
        let request = Request::change("delete_runner", Method::DELETE, path, None);
        let answer = self.ask_about_runners(scope, &request).await?;
        match answer.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(Deletion::Gone),
            StatusCode::UNPROCESSABLE_ENTITY => Ok(Deletion::Busy),
            _ => Err(answer.unexpected()),
        }
    }

    /// Sends the one request that counts against no quota. Any response proves that GitHub is reachable.
    async fn own_bot(&self) -> Result<Option<String>, Failure> {
        self.find_own_bot().await
    }

    async fn reachable(&self) -> Result<(), Failure> {
        let request = Request::get("rate_limit", "/rate_limit".to_owned(), Purpose::Admit);
        self.ask_anonymously(&request).await.map(|_| ())
    }

    async fn is_simulated(&self) -> Result<bool, Failure> {
        let request = Request::get("meta", "/meta".to_owned(), Purpose::Admit);
        let answer = self.ask_anonymously(&request).await?;
        if answer.status != StatusCode::OK {
            return Ok(false);
        }
        let meta: answers::Meta = answer.read()?;
        Ok(meta.simulator.as_deref() == Some("jitgate"))
    }

    fn quota_left_percent(&self) -> Option<u64> {
        self.client.limits.left_percent(self.client.clock.now())
    }

    fn remaining_quota(&self) -> BTreeMap<String, u64> {
        self.client.limits.remaining()
    }
}

fn variable_path(repository: &RepositoryName, name: &str) -> String {
    under(repository, &format!("actions/variables/{}", encoded(name)))
}

pub(super) fn runners_path(scope: &RunnerScope) -> String {
    match scope {
        RunnerScope::Repository(name) => under(name, "actions/runners"),
        RunnerScope::Organization(name) => format!("/orgs/{}/actions/runners", encoded(name.owner())),
    }
}

fn lacks_permission(message: &str) -> bool {
    ["Resource not accessible", "Must have"]
        .iter()
        .any(|start| message.starts_with(start))
}
