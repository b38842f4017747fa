//! What we ask of GitHub. Each method is one API call, or one a page.
//!
//! `Ok(None)` means GitHub answered that there is no such thing; a [`Failure`] means it gave no answer. The two never mix:
//! trust is decided on the first and never on the second.

use super::Failure;
use crate::domain::event::Job;
use crate::domain::facts::{Commit, Pull, Run, Variable};
use crate::domain::ids::{JobId, RepositoryId, RepositoryName, RunId, RunnerId};
use crate::domain::pin::Shown;
use crate::domain::policy::Permission;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use std::collections::BTreeMap;

/// What a call is for. Part of the API quota is kept for admissions: the reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Finding out about a job, or cancelling its run. Refused locally when nothing but the reserve is left.
    Judge,
    /// Finding out whose run it is that may ask for a runner. Gets at half of the reserve.
    Sight,
    /// Making a runner, or undoing something that went wrong. Served to the last.
    Admit,
}

/// Where runners are registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunnerScope {
    /// At one repository.
    Repository(RepositoryName),
    /// At the organization that owns this repository; its App installation is the repository's.
    Organization(RepositoryName),
}

impl RunnerScope {
    /// The repository whose installation gives access.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        match self {
            Self::Repository(name) | Self::Organization(name) => name,
        }
    }
}

/// Pages of changed files that GitHub lists of a pull request, and no more.
pub const MAX_FILE_PAGES: u32 = 30;

/// What the files of a pull request show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Whether one of them is, or was, below the path asked for; true too when there are more than GitHub lists.
    pub touches: bool,
    /// Pages, and so calls, that it took to find out.
    pub pages: u32,
}

/// A request for a just-in-time runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JitRequest {
    /// The runner's name; recorded in the ledger before the request goes out.
    pub name: String,
    /// Runner group; 1 for repositories.
    pub runner_group_id: u64,
    /// Exactly the labels the job asked for.
    pub labels: Vec<String>,
}

/// A just-in-time runner as GitHub made it.
#[derive(Debug)]
pub struct JitRunner {
    /// GitHub's id of the runner record.
    pub id: RunnerId,
    /// `encoded_jit_config`: holds a private key. Never stored, logged or put on a command line.
    pub config: SecretString,
}

/// What became of a request for a just-in-time runner.
#[derive(Debug)]
pub enum JitOutcome {
    /// The runner record exists.
    Made(JitRunner),
    /// 409: the name is taken, perhaps by a request whose answer was lost. Look it up by name.
    NameTaken,
    /// 404 or 422: GitHub won't, for the reason given.
    Refused(String),
}

/// A runner record at GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubRunner {
    /// GitHub's id.
    pub id: RunnerId,
    /// Its name.
    pub name: String,
    /// Whether it is connected.
    pub online: bool,
    /// Whether a job runs on it.
    pub busy: bool,
    /// What jobs have to ask for, all or some of it, to be given to it.
    pub labels: Vec<String>,
}

/// What became of a runner record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone, or was gone before.
    Gone,
    /// 422: a job runs on it.
    Busy,
}

/// What became of a request to cancel or re-run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCommand {
    /// GitHub took it; the effect comes later.
    Accepted,
    /// The run is over, or not in a state for it.
    TooLate,
    /// There is no such run.
    Gone,
}

/// GitHub, reduced to what we ask of it.
#[async_trait]
pub trait GitHub: Send + Sync + 'static {
    /// `GET /repos/{o}/{r}`: which repository that is; none if there is no such repository for us.
    async fn repository(&self, repository: &RepositoryName, purpose: Purpose) -> Result<Option<Shown>, Failure>;

    /// `GET /repos/{o}/{r}/actions/runs/{id}`.
    async fn run(&self, repository: &RepositoryName, run: RunId, purpose: Purpose) -> Result<Option<Run>, Failure>;

    /// `GET /repos/{o}/{r}/pulls?state=all&head={owner}:{branch}`, reduced to those whose head repository is
    /// `head_repository` (a fork and its parent can have branches of one name).
    async fn pulls_of_head(
        &self,
        repository: &RepositoryName,
        owner: &str,
        branch: &str,
        head_repository: RepositoryId,
        purpose: Purpose,
    ) -> Result<Vec<Pull>, Failure>;

    /// Whether `GET /repos/{o}/{r}/pulls/{number}/files` names a path (or a former path) that `under` is a prefix of.
    async fn pull_changes(
        &self,
        repository: &RepositoryName,
        number: u64,
        under: &str,
        purpose: Purpose,
    ) -> Result<Changes, Failure>;

    /// Whether `GET /repos/{o}/{r}/issues/{number}/events` says that the base of a pull request was changed since it was opened. One
    /// with more events than are read counts as changed.
    async fn base_changed(&self, repository: &RepositoryName, number: u64, purpose: Purpose) -> Result<bool, Failure>;

    /// `GET /repos/{o}/{r}/pulls/{number}/commits`; none when there are more than GitHub lists.
    async fn commits(
        &self,
        repository: &RepositoryName,
        number: u64,
        purpose: Purpose,
    ) -> Result<Option<Vec<Commit>>, Failure>;

    /// `GET /repos/{o}/{r}/collaborators/{user}/permission`; none if there is no such user, or none of this repository.
    async fn permission(
        &self,
        repository: &RepositoryName,
        login: &str,
        purpose: Purpose,
    ) -> Result<Option<Permission>, Failure>;

    /// `GET /repos/{o}/{r}/actions/jobs/{id}`.
    async fn job(&self, repository: &RepositoryName, job: JobId, purpose: Purpose) -> Result<Option<Job>, Failure>;

    /// `GET /repos/{o}/{r}/actions/runs/{id}/jobs`: those of its latest attempt; none when there is no such run.
    async fn jobs_of_run(&self, repository: &RepositoryName, run: RunId, purpose: Purpose)
    -> Result<Vec<Job>, Failure>;

    /// `GET /repos/{o}/{r}/actions/variables/{name}`.
    async fn variable(
        &self,
        repository: &RepositoryName,
        name: &str,
        purpose: Purpose,
    ) -> Result<Option<Variable>, Failure>;

    /// `PATCH` of the variable, or `POST` when it does not exist.
    async fn set_variable(&self, repository: &RepositoryName, name: &str, value: &str) -> Result<(), Failure>;

    /// `POST /repos/{o}/{r}/actions/runs/{id}/cancel`.
    async fn cancel_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure>;

    /// `POST /repos/{o}/{r}/actions/runs/{id}/force-cancel`: past `always()` steps.
    async fn force_cancel_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure>;

    /// `POST /repos/{o}/{r}/actions/runs/{id}/rerun`: the whole run, so that it is routed anew.
    async fn rerun_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure>;

    /// `POST .../actions/runners/generate-jitconfig`. Never repeated by the implementation: after a [`Failure`] the record
    /// may exist, and only a look-up by name tells.
    async fn generate_jit(&self, scope: &RunnerScope, request: &JitRequest) -> Result<JitOutcome, Failure>;

    /// Before when a request for a runner would be refused, as far as is known. Asks nothing.
    fn jit_not_before(&self) -> Option<DateTime<Utc>>;

    /// `GET .../actions/runners?name={name}`, exact matches only.
    async fn runners_named(&self, scope: &RunnerScope, name: &str) -> Result<Vec<GitHubRunner>, Failure>;

    /// `GET .../actions/runners`: all there are in this scope.
    async fn runners(&self, scope: &RunnerScope) -> Result<Vec<GitHubRunner>, Failure>;

    /// `DELETE .../actions/runners/{id}`.
    async fn delete_runner(&self, scope: &RunnerScope, id: RunnerId) -> Result<Deletion, Failure>;

    /// Whether GitHub can be reached at all, by the cheapest call there is.
    async fn reachable(&self) -> Result<(), Failure>;

    /// Calls left by resource (`core`, ...), as GitHub last said in passing. Asks nothing.
    fn remaining_quota(&self) -> BTreeMap<String, u64>;

    /// Whether this is a simulated GitHub, by what `GET /meta` says.
    async fn is_simulated(&self) -> Result<bool, Failure>;
}
