//! GitHub's response bodies, reduced to the fields that jitgate uses, and their conversion to facts.
//!
//! GitHub sends null for deleted objects and omits many fields, so a field is required only where no decision is
//! possible without it. A missing value counts against trust, never for it.

use crate::domain::event::{self, JobStatus};
use crate::domain::facts;
use crate::domain::ids::{AccountId, JobId, RepositoryId, RepositoryName, RunId, RunnerId};
use crate::domain::pin::{self, RepositoryIds};
use crate::domain::rollout;
use crate::ports::github::GitHubRunner;
use chrono::{DateTime, Utc};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Run {
    event: String,
    path: Option<String>,
    run_attempt: Option<u32>,
    head_sha: String,
    head_branch: Option<String>,
    created_at: Option<String>,
    actor: Option<User>,
    triggering_actor: Option<User>,
    repository: OwnRepository,
    head_repository: Option<HeadRepository>,
}

/// The repository that a run or a pull request belongs to.
#[derive(Deserialize)]
pub(super) struct OwnRepository {
    id: u64,
    pub(super) private: Option<bool>,
    owner: Option<Owner>,
}

#[derive(Deserialize)]
struct Owner {
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Repository {
    id: u64,
    default_branch: Option<String>,
}

/// The repository that the code of a run or of a pull request comes from.
#[derive(Deserialize)]
pub(super) struct HeadRepository {
    id: Option<u64>,
    full_name: Option<String>,
    owner: Option<User>,
}

#[derive(Deserialize)]
struct User {
    login: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl OwnRepository {
    pub(super) fn into_ids(self) -> RepositoryIds {
        RepositoryIds {
            id: Some(RepositoryId(self.id)),
            owner_id: self.owner.and_then(|owner| owner.id).map(AccountId),
        }
    }
}

impl Run {
    /// Converts the run to a fact. `owner` owns the repository that the run was requested from.
    pub(super) fn into_fact(self, owner: &str) -> facts::Run {
        facts::Run {
            event: self.event,
            path: self.path.unwrap_or_default(),
            run_attempt: self.run_attempt.unwrap_or(1),
            head_sha: self.head_sha,
            head_branch: self.head_branch,
            created_at: instant(self.created_at.as_deref()),
            actor: self.actor.and_then(User::into_fact),
            triggering_actor: self.triggering_actor.and_then(User::into_fact),
            repository_id: RepositoryId(self.repository.id),
            private: self.repository.private,
            repository_owner_id: self.repository.owner.and_then(|owner| owner.id).map(AccountId),
            head_repository: self.head_repository.and_then(|head| head.into_fact(owner)),
        }
    }
}

/// The progress of a run.
#[derive(Deserialize)]
pub(super) struct RunProgress {
    run_attempt: Option<u32>,
    status: Option<String>,
}

impl From<RunProgress> for rollout::RunProgress {
    fn from(run: RunProgress) -> Self {
        Self {
            attempt: run.run_attempt.unwrap_or(1),
            is_over: run.status.as_deref() == Some("completed"),
        }
    }
}

impl HeadRepository {
    /// The owner is only a search term. The id identifies the repository that the code comes from.
    pub(super) fn into_fact(self, requested_owner: &str) -> Option<facts::HeadRepository> {
        let by_name = self.full_name.as_deref().and_then(|name| Some(name.split_once('/')?.0));
        let by_name = by_name.unwrap_or(requested_owner).to_owned();
        Some(facts::HeadRepository {
            id: RepositoryId(self.id?),
            owner: self.owner.and_then(|owner| owner.login).unwrap_or(by_name),
        })
    }
}

impl User {
    fn into_fact(self) -> Option<facts::User> {
        Some(facts::User {
            login: self.login?,
            kind: self.kind.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Pull {
    number: u64,
    state: Option<String>,
    head: Head,
    user: Option<User>,
    author_association: Option<String>,
    base: Option<Base>,
}

#[derive(Deserialize)]
struct Base {
    #[serde(rename = "ref")]
    branch: Option<String>,
    repo: Option<Repository>,
}

impl Base {
    fn into_fact(self) -> Option<facts::Base> {
        let (branch, default) = (self.branch?, self.repo?.default_branch?);
        Some(facts::Base {
            is_default: branch == default,
            branch,
        })
    }
}

#[derive(Deserialize)]
struct Head {
    sha: String,
    repo: Option<Repository>,
}

impl Pull {
    /// Returns true if the head is in this repository. Returns false if the head repository was deleted.
    pub(super) fn comes_from(&self, repository: RepositoryId) -> bool {
        self.head.repo.as_ref().is_some_and(|repo| repo.id == repository.0)
    }
}

impl From<Pull> for facts::Pull {
    fn from(pull: Pull) -> Self {
        Self {
            number: pull.number,
            open: pull.state.as_deref() == Some("open"),
            head_sha: pull.head.sha,
            author: pull.user.and_then(User::into_fact),
            author_association: pull.author_association.unwrap_or_else(|| "NONE".to_owned()),
            base: pull.base.and_then(Base::into_fact),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct IssueEvent {
    event: Option<String>,
}

impl IssueEvent {
    /// Returns true for a change by the author and for a change by GitHub, because the old base was merged or deleted.
    pub(super) fn changes_the_base(&self) -> bool {
        let event = self.event.as_deref().unwrap_or_default();
        event.starts_with("base_ref") || event.starts_with("automatic_base_change")
    }
}

#[derive(Deserialize)]
pub(super) struct PullCommit {
    sha: String,
    commit: Option<CommitDetails>,
    author: Option<User>,
}

#[derive(Deserialize)]
struct CommitDetails {
    verification: Option<Verification>,
}

#[derive(Deserialize)]
struct Verification {
    verified: Option<bool>,
}

impl From<PullCommit> for facts::Commit {
    fn from(commit: PullCommit) -> Self {
        let verification = commit.commit.and_then(|details| details.verification);
        Self {
            sha: commit.sha,
            author: commit.author.and_then(User::into_fact),
            verified: verification.and_then(|verification| verification.verified) == Some(true),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ChangedFile {
    filename: String,
    previous_filename: Option<String>,
}

impl ChangedFile {
    /// Returns true if the current or the previous name of the file starts with `under`.
    pub(super) fn touches(&self, under: &str) -> bool {
        let names = [Some(&self.filename), self.previous_filename.as_ref()];
        names.into_iter().flatten().any(|name| name.starts_with(under))
    }
}

#[derive(Deserialize)]
pub(super) struct PermissionLevel {
    pub(super) permission: String,
}

#[derive(Deserialize)]
pub(super) struct Jobs {
    pub(super) jobs: Vec<Job>,
}

#[derive(Deserialize)]
pub(super) struct Job {
    id: u64,
    run_id: u64,
    run_attempt: Option<u32>,
    name: Option<String>,
    head_sha: Option<String>,
    labels: Option<Vec<String>>,
    status: String,
    conclusion: Option<String>,
    created_at: Option<String>,
    started_at: Option<String>,
    completed_at: Option<String>,
    runner_id: Option<u64>,
    runner_name: Option<String>,
    steps: Option<Vec<Step>>,
}

#[derive(Deserialize)]
struct Step {
    name: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    started_at: Option<String>,
}

impl From<Step> for event::Step {
    fn from(step: Step) -> Self {
        Self {
            name: step.name.unwrap_or_default(),
            status: step.status.unwrap_or_default(),
            conclusion: step.conclusion,
            started_at: instant(step.started_at.as_deref()),
        }
    }
}

impl From<Job> for event::Job {
    fn from(job: Job) -> Self {
        let name = job.runner_name.unwrap_or_default();
        Self {
            id: JobId(job.id),
            run_id: RunId(job.run_id),
            run_attempt: job.run_attempt.unwrap_or(event::MISSING_ATTEMPT),
            name: job.name.unwrap_or_default(),
            head_sha: job.head_sha.unwrap_or_default(),
            labels: job.labels.unwrap_or_default(),
            status: JobStatus::parse(&job.status),
            conclusion: job.conclusion,
            created_at: instant(job.created_at.as_deref()),
            started_at: instant(job.started_at.as_deref()),
            completed_at: instant(job.completed_at.as_deref()),
            runner: job
                .runner_id
                .filter(|id| *id != 0)
                .map(|id| event::JobRunner { id: RunnerId(id), name }),
            steps: job
                .steps
                .unwrap_or_default()
                .into_iter()
                .map(event::Step::from)
                .collect(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Shown {
    id: u64,
    full_name: Option<String>,
    private: bool,
    owner: Option<Owner>,
}

impl Shown {
    /// Converts the repository to a fact. `requested` is the name that it was requested by.
    pub(super) fn into_fact(self, requested: &RepositoryName) -> pin::Shown {
        pin::Shown {
            ids: RepositoryIds {
                id: Some(RepositoryId(self.id)),
                owner_id: self.owner.and_then(|owner| owner.id).map(AccountId),
            },
            full_name: self.full_name.unwrap_or_else(|| requested.to_string()),
            is_public: !self.private,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Variable {
    value: String,
    updated_at: Option<String>,
}

impl From<Variable> for facts::Variable {
    fn from(variable: Variable) -> Self {
        Self {
            value: variable.value,
            updated_at: instant(variable.updated_at.as_deref()),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct JitConfig {
    pub(super) runner: MadeRunner,
    pub(super) encoded_jit_config: String,
}

#[derive(Deserialize)]
pub(super) struct MadeRunner {
    pub(super) id: u64,
}

#[derive(Deserialize)]
pub(super) struct Runners {
    pub(super) runners: Vec<Runner>,
}

#[derive(Deserialize)]
pub(super) struct Runner {
    id: u64,
    name: String,
    status: Option<String>,
    busy: Option<bool>,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

impl From<Runner> for GitHubRunner {
    fn from(runner: Runner) -> Self {
        Self {
            id: RunnerId(runner.id),
            name: runner.name,
            online: runner.status.as_deref() == Some("online"),
            busy: runner.busy.unwrap_or(false),
            labels: runner.labels.into_iter().map(|label| label.name).collect(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Meta {
    pub(super) simulator: Option<String>,
}

fn instant(text: Option<&str>) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text?).ok().map(|at| at.to_utc())
}
