//! GitHub's API as jitgate uses it. Each method is one API call, or one per page.
//!
//! `Ok(None)` means that GitHub answered that the object does not exist. A [`Failure`] means that GitHub gave no
//! answer. The two never mix: trust is decided on the first and never on the second.

use super::Failure;
use crate::domain::event::Job;
use crate::domain::facts::{Commit, Pull, Run, Variable};
use crate::domain::ids::{DeliveryId, JobId, RepositoryId, RepositoryName, RunId, RunnerId};
use crate::domain::imagined::PullRequest;
use crate::domain::pin::{RepositoryIds, Shown};
use crate::domain::policy::Permission;
use crate::domain::rollout::RunProgress;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use std::collections::BTreeMap;

/// The purpose of a call. A part of the API quota is reserved for admissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To find deliveries and jobs that GitHub did not report. Refused locally when less than half of the quota is left.
    Recover,
    /// To gather facts about a job or to cancel its run. Refused locally when only the reserve is left.
    Judge,
    /// To find the origin of a run that may request a runner. May use half of the reserve.
    Sight,
    /// To create a runner or to undo a fault. May use the whole quota.
    Admit,
}

/// The place where runners are registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunnerScope {
    /// One repository.
    Repository(RepositoryName),
    /// The organization that owns this repository. The organization's App installation is the repository's.
    Organization(RepositoryName),
}

impl RunnerScope {
    /// Returns the repository whose installation gives access.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        match self {
            Self::Repository(name) | Self::Organization(name) => name,
        }
    }
}

/// The most pages of changed files that GitHub lists for a pull request.
pub const MAX_FILE_PAGES: u32 = 30;

/// The result of a search through the changed files of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// True if a file is, or was, below the requested path, or if there are more files than GitHub lists.
    pub touches: bool,
    /// The pages, and so the calls, that the search took.
    pub pages: u32,
}

/// A request for a just-in-time runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JitRequest {
    /// The runner's name, which is in the ledger before the request is sent.
    pub name: String,
    /// The id of the runner group; 1 for repositories.
    pub runner_group_id: u64,
    /// Exactly the labels that the job asked for.
    pub labels: Vec<String>,
}

/// A just-in-time runner as GitHub created it.
#[derive(Debug)]
pub struct JitRunner {
    /// GitHub's id of the runner record.
    pub id: RunnerId,
    /// `encoded_jit_config`, which holds a private key. It is never stored, logged or put on a command line.
    pub config: SecretString,
}

/// The result of a request for a just-in-time runner.
#[derive(Debug)]
pub enum JitOutcome {
    /// The runner record exists.
    Made(JitRunner),
    /// 409: the name is taken, perhaps by a request whose answer was lost. The caller looks it up by name.
    NameTaken,
    /// 404 or 422: GitHub refuses, for the given reason.
    Refused(String),
}

/// A runner record at GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubRunner {
    pub id: RunnerId,
    pub name: String,
    pub online: bool,
    /// True if a job runs on it.
    pub busy: bool,
    /// The runner's labels. GitHub assigns it a job whose labels are a subset of these.
    pub labels: Vec<String>,
}

/// The result of the deletion of a runner record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The record does not exist any more, or did not exist before.
    Gone,
    /// 422: a job runs on it.
    Busy,
}

/// The result of a request to cancel or re-run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCommand {
    /// GitHub accepted it; it takes effect later.
    Accepted,
    /// The run is over or in a state that does not allow it.
    TooLate,
    /// The run does not exist.
    Gone,
}

/// One attempt of GitHub to send a delivery, from the App's delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedDelivery {
    /// The id of the attempt. A redelivery has an id of its own and a higher one.
    pub id: u64,
    /// The GUID, which a redelivery keeps.
    pub guid: DeliveryId,
    pub delivered_at: DateTime<Utc>,
    /// True if the attempt was requested.
    pub redelivery: bool,
    /// GitHub's words about the result, such as `OK`.
    pub status: String,
    /// The status of the response; 0 if there was none.
    pub status_code: u16,
    /// The `X-GitHub-Event` header.
    pub event: String,
    pub action: Option<String>,
    pub repository_id: Option<RepositoryId>,
    pub installation_id: Option<u64>,
}

/// A page of the delivery log, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryPage {
    pub deliveries: Vec<LoggedDelivery>,
    /// The cursor of the next page, with older attempts; none on the last page.
    pub next: Option<String>,
}

/// The result of a request to send a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// GitHub accepted it; the delivery follows.
    Accepted,
    /// GitHub does not have the delivery any more, or refuses to send it again.
    Impossible,
}

/// The state of the runs in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    Queued,
    InProgress,
}

impl RunState {
    /// Both states.
    pub const ALL: [Self; 2] = [Self::Queued, Self::InProgress];

    /// Returns GitHub's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
        }
    }
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRun {
    pub id: RunId,
    pub attempt: u32,
    /// The event that triggered the run.
    pub event: String,
    /// The ids of its repository.
    pub of: RepositoryIds,
    /// True if its code comes from another repository, or from one that does not exist any more.
    pub from_fork: bool,
    pub created_at: Option<DateTime<Utc>>,
}

/// GitHub, reduced to the calls that jitgate makes.
#[async_trait]
pub trait GitHub: Send + Sync + 'static {
    /// `GET /repos/{o}/{r}`: returns the repository, or none if it does not exist or is not visible.
    async fn repository(&self, repository: &RepositoryName, purpose: Purpose) -> Result<Option<Shown>, Failure>;

    /// `GET /repos/{o}/{r}/actions/runs/{id}`.
    async fn run(&self, repository: &RepositoryName, run: RunId, purpose: Purpose) -> Result<Option<Run>, Failure>;

    /// `GET /repos/{o}/{r}/actions/runs/{id}`, for the current attempt and its end.
    async fn run_progress(
        &self,
        repository: &RepositoryName,
        run: RunId,
        purpose: Purpose,
    ) -> Result<Option<RunProgress>, Failure>;

    /// `GET /repos/{o}/{r}/pulls?state=all&head={owner}:{branch}`: returns those whose head repository is
    /// `head_repository`, because a fork and its parent can have branches of one name.
    async fn pulls_of_head(
        &self,
        repository: &RepositoryName,
        owner: &str,
        branch: &str,
        head_repository: RepositoryId,
        purpose: Purpose,
    ) -> Result<Vec<Pull>, Failure>;

    /// `GET /repos/{o}/{r}/pulls/{number}`.
    async fn pull_request(
        &self,
        repository: &RepositoryName,
        number: u64,
        purpose: Purpose,
    ) -> Result<Option<PullRequest>, Failure>;

    /// `GET /repos/{o}/{r}/pulls/{number}/files`: reports whether a path or a former path starts with `under`.
    async fn pull_changes(
        &self,
        repository: &RepositoryName,
        number: u64,
        under: &str,
        purpose: Purpose,
    ) -> Result<Changes, Failure>;

    /// `GET /repos/{o}/{r}/issues/{number}/events`: returns true if the base of a pull request was changed since it was
    /// opened, or if it has more events than are read.
    async fn base_changed(&self, repository: &RepositoryName, number: u64, purpose: Purpose) -> Result<bool, Failure>;

    /// `GET /repos/{o}/{r}/pulls/{number}/commits`: returns the commits, or none if there are more than GitHub lists.
    async fn commits(
        &self,
        repository: &RepositoryName,
        number: u64,
        purpose: Purpose,
    ) -> Result<Option<Vec<Commit>>, Failure>;

    /// `GET /repos/{o}/{r}/collaborators/{user}/permission`: returns none if the user does not exist or has no
    /// permission.
    async fn permission(
        &self,
        repository: &RepositoryName,
        login: &str,
        purpose: Purpose,
    ) -> Result<Option<Permission>, Failure>;

    /// `GET /repos/{o}/{r}/actions/jobs/{id}`.
    async fn job(&self, repository: &RepositoryName, job: JobId, purpose: Purpose) -> Result<Option<Job>, Failure>;

    /// `GET /repos/{o}/{r}/actions/runs/{id}/jobs`: returns the jobs of the latest attempt; empty if the run does not
    /// exist.
    async fn jobs_of_run(&self, repository: &RepositoryName, run: RunId, purpose: Purpose)
    -> Result<Vec<Job>, Failure>;

    /// `GET /repos/{o}/{r}/actions/runs?status={state}`: returns the runs in this state, newest first; at most 1,000.
    async fn runs(
        &self,
        repository: &RepositoryName,
        state: RunState,
        purpose: Purpose,
    ) -> Result<Vec<ListedRun>, Failure>;

    /// `GET /repos/{o}/{r}/actions/runs?head_sha={commit}`: returns the newest runs of a commit, at most one page.
    async fn runs_of_commit(
        &self,
        repository: &RepositoryName,
        commit: &str,
        purpose: Purpose,
    ) -> Result<Vec<ListedRun>, Failure>;

    /// Returns true if the credentials are those of an App, which has a delivery log.
    fn has_delivery_log(&self) -> bool;

    /// `GET /app/hook/deliveries`: returns a page of the App's delivery log, the first one without a cursor. The list is
    /// never filtered by status, because GitHub would hide a successful redelivery.
    async fn deliveries(&self, cursor: Option<&str>) -> Result<DeliveryPage, Failure>;

    /// `POST /app/hook/deliveries/{id}/attempts`: requests that GitHub sends a delivery again.
    async fn redeliver(&self, id: u64) -> Result<Redelivery, Failure>;

    /// `GET /repos/{o}/{r}/actions/variables/{name}`.
    async fn variable(
        &self,
        repository: &RepositoryName,
        name: &str,
        purpose: Purpose,
    ) -> Result<Option<Variable>, Failure>;

    /// `PATCH` of the variable, or `POST` if it does not exist.
    async fn set_variable(&self, repository: &RepositoryName, name: &str, value: &str) -> Result<(), Failure>;

    /// `POST /repos/{o}/{r}/actions/runs/{id}/cancel`.
    async fn cancel_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure>;

    /// `POST /repos/{o}/{r}/actions/runs/{id}/force-cancel`: also skips `always()` steps.
    async fn force_cancel_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure>;

    /// `POST /repos/{o}/{r}/actions/runs/{id}/rerun`: re-runs the whole run, so that it is routed again.
    async fn rerun_run(&self, repository: &RepositoryName, run: RunId) -> Result<RunCommand, Failure>;

    /// `POST .../actions/runners/generate-jitconfig`. The implementation never repeats it: after a [`Failure`] the
    /// record may exist, and only a look-up by name shows whether it does.
    async fn generate_jit(&self, scope: &RunnerScope, request: &JitRequest) -> Result<JitOutcome, Failure>;

    /// Returns the time before which a request for a runner would be refused, as far as is known. Sends no request.
    fn jit_not_before(&self) -> Option<DateTime<Utc>>;

    /// `GET .../actions/runners?name={name}`: returns exact matches only.
    async fn runners_named(&self, scope: &RunnerScope, name: &str) -> Result<Vec<GitHubRunner>, Failure>;

    /// `GET .../actions/runners`: returns all runners of the scope.
    async fn runners(&self, scope: &RunnerScope) -> Result<Vec<GitHubRunner>, Failure>;

    /// `DELETE .../actions/runners/{id}`.
    async fn delete_runner(&self, scope: &RunnerScope, id: RunnerId) -> Result<Deletion, Failure>;

    /// `GET /app`: returns the login of the bot of jitgate's own App, or none if the credentials are not an App's.
    async fn own_bot(&self) -> Result<Option<String>, Failure>;

    /// Checks that GitHub is reachable, with the cheapest call.
    async fn reachable(&self) -> Result<(), Failure>;

    /// Returns the remaining calls by resource (`core`, ...) as GitHub last reported them. Sends no request.
    fn remaining_quota(&self) -> BTreeMap<String, u64>;

    /// Returns the percentage of the quota that is left, as GitHub last reported it; the lowest of all accounts. Returns
    /// none before the first report. Sends no request.
    fn quota_left_percent(&self) -> Option<u64>;

    /// Reports whether this is a simulated GitHub, according to `GET /meta`.
    async fn is_simulated(&self) -> Result<bool, Failure>;
}
