//! What GitHub and the ledger said about a job, kept apart from what follows from it.

use super::event::{Job, JobStatus, UNSAID_ATTEMPT};
use super::ids::{AccountId, JobId, RepositoryId, RunId, RunnerId};
use super::pin::RepositoryIds;
use super::policy::Permission;
use super::routing_verdict::{RoutingState, RoutingVerdict};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One fact: what we know, or why we don't.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// Nobody asked yet.
    #[default]
    NotAsked,
    /// GitHub's answer.
    Known(T),
    /// GitHub says there is no such thing.
    Gone,
    /// GitHub did not answer, or not in a way we can read.
    Failed(Cause),
}

impl<T> Fact<T> {
    /// The answer, where there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// Whether nobody asked yet.
    pub fn is_unasked(&self) -> bool {
        matches!(self, Self::NotAsked)
    }
}

/// Why GitHub gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Out of reach, too slow, an error of its own, or an answer we can't read.
    Unavailable,
    /// Our quota is used up.
    RateLimited,
    /// Whoever is behind the run has used up their budget of calls.
    OverBudget,
}

/// All facts about one job event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The workflow run.
    pub run: Fact<Run>,
    /// Pull requests of the run's head repository and branch, whatever their head is now.
    pub pulls: Fact<Vec<Pull>>,
    /// Whether those pull requests change anything under `.github/`.
    pub changes_workflows: Fact<bool>,
    /// Whether the base of one of those pull requests was changed after it was opened.
    pub retargeted: Fact<bool>,
    /// Commits of the accepted pull request.
    pub commits: Fact<Vec<Commit>>,
    /// The routing variable.
    pub variable: Fact<Variable>,
    /// Permissions asked for so far, by login.
    pub permissions: BTreeMap<String, Fact<Permission>>,
    /// The job as GitHub has it now.
    pub live_job: Fact<LiveJob>,
    /// What our own ledger says.
    pub ledger: LedgerFacts,
}

impl Facts {
    /// What somebody may do. A deleted account, and one that GitHub does not know here, may do nothing.
    #[must_use]
    pub fn permission_of(&self, user: Option<&User>) -> Fact<Permission> {
        match user.map(|user| self.permissions.get(&user.login)) {
            None => Fact::Known(Permission::None),
            Some(None) => Fact::NotAsked,
            Some(Some(fact)) => fact.clone(),
        }
    }
}

/// What our own ledger says around a job; never unknown, since without the store nothing is decided at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerFacts {
    /// The repository that the name means.
    pub pinned: RepositoryIds,
    /// The job has, or has had, the runner that was made for it.
    pub served: bool,
    /// A newer event already showed the job running or over.
    pub overtaken: bool,
    /// An untrusted job that could reach the same runners is queued.
    pub quarantined: bool,
    /// As many runners are alive as may be.
    pub at_capacity: bool,
    /// Routing was switched off by jitgate, not by a person.
    pub rolled_back: bool,
    /// The runner that took the job, where it is one of ours.
    pub taken_by: Option<OurRunner>,
    /// How often this delivery was tried before.
    pub attempts: u32,
    /// The event is so recent that GitHub's lists may not show its cause yet: an absence, or an older state, is no answer.
    pub catching_up: bool,
    /// The job is on a runner of ours and waits at its gate.
    pub at_gate: bool,
    /// The verdict with which the job passed its gate. It stands for as long as the job exists.
    pub admitted: Option<Admitted>,
}

/// The verdict with which a job passed its gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// Number of the pull request it was admitted for.
    pub pull_request: Option<u64>,
    /// Author of that pull request.
    pub author: Option<String>,
    /// State of the routing variable then.
    pub state: RoutingState,
    /// Routing verdict then.
    pub verdict: RoutingVerdict,
}

/// A runner of ours that GitHub gave the job to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurRunner {
    /// GitHub's id of it.
    pub id: RunnerId,
    /// The job it was made for.
    pub made_for: JobId,
    /// Whether the host let the job begin. The host's word, not the guest's.
    pub passed_gate: bool,
}

/// A workflow run, reduced to what trust is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What triggered it: `pull_request`, `push`, ...
    pub event: String,
    /// The workflow file, possibly with `@ref` behind it.
    pub path: String,
    /// The current attempt.
    pub run_attempt: u32,
    /// The commit it runs for.
    pub head_sha: String,
    /// The branch of the head repository. A fork's may be called `main`.
    pub head_branch: Option<String>,
    /// When the first attempt was created; survives re-runs.
    pub created_at: Option<DateTime<Utc>>,
    /// Who made it; a re-run keeps this one's privileges.
    pub actor: Option<User>,
    /// Who pressed the button of this attempt.
    pub triggering_actor: Option<User>,
    /// The repository the workflow runs in.
    pub repository_id: RepositoryId,
    /// The account that owns that repository.
    #[serde(default)]
    pub repository_owner_id: Option<AccountId>,
    /// Where the code comes from; none when that repository was deleted.
    pub head_repository: Option<HeadRepository>,
    /// Whether only some people can see the repository; not said counts as public.
    #[serde(default)]
    pub private: Option<bool>,
}

impl Run {
    /// The repository the workflow runs in.
    #[must_use]
    pub fn of(&self) -> RepositoryIds {
        RepositoryIds {
            id: Some(self.repository_id),
            owner_id: self.repository_owner_id,
        }
    }
}

/// The repository a run's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRepository {
    /// Its id.
    pub id: RepositoryId,
    /// The account that owns it.
    pub owner: String,
}

/// A GitHub account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub login: String,
    /// `User`, `Bot`, `Organization`, `Mannequin`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl User {
    /// Whether it is an App or another machine account.
    #[must_use]
    pub fn is_bot(&self) -> bool {
        self.kind.eq_ignore_ascii_case("bot") || self.login.to_ascii_lowercase().ends_with("[bot]")
    }
}

/// A pull request, as listed by its head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Whether it is open.
    pub open: bool,
    /// The commit its head is at now.
    pub head_sha: String,
    /// Who opened it; none when the account is gone.
    pub author: Option<User>,
    /// What the author is to the repository, in GitHub's words.
    pub author_association: String,
    /// The branch it is to be merged into, as it is now: its author can change it.
    #[serde(default)]
    pub base: Option<Base>,
}

/// The branch a pull request is to be merged into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its name.
    pub branch: String,
    /// Whether it is the repository's default branch.
    pub is_default: bool,
}

/// A commit of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its id.
    pub sha: String,
    /// The account its author's address belongs to. Whoever makes a commit writes that address.
    pub author: Option<User>,
    /// Whether GitHub has verified its signature.
    pub verified: bool,
}

/// A repository variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its text.
    pub value: String,
    /// When it last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

impl Variable {
    /// Whether a workflow that compares it with `true` finds it so: GitHub's expressions don't look at case.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.value.eq_ignore_ascii_case("true")
    }
}

/// A job as GitHub has it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveJob {
    /// Its id.
    pub id: JobId,
    /// Its run.
    pub run_id: RunId,
    /// The attempt of that run.
    pub run_attempt: u32,
    /// The commit it runs for.
    pub head_sha: String,
    /// Labels its `runs-on` asked for.
    pub labels: Vec<String>,
    /// Its status.
    pub status: JobStatus,
    /// The runner it was given to.
    pub runner_id: Option<RunnerId>,
}

impl LiveJob {
    /// Whether this is the job that an event speaks of. What never changes about a job has to be the same.
    #[must_use]
    pub fn agrees_with(&self, job: &Job) -> bool {
        let sorted = |labels: &[String]| {
            let mut labels: Vec<String> = labels.iter().map(|label| label.to_ascii_lowercase()).collect();
            labels.sort_unstable();
            labels
        };
        let attempt_agrees = self.run_attempt == UNSAID_ATTEMPT || self.run_attempt == job.run_attempt;
        (self.id, self.run_id) == (job.id, job.run_id)
            && attempt_agrees
            && self.head_sha == job.head_sha
            && sorted(&self.labels) == sorted(&job.labels)
    }
}

impl From<&Job> for LiveJob {
    fn from(job: &Job) -> Self {
        Self {
            id: job.id,
            run_id: job.run_id,
            run_attempt: job.run_attempt,
            head_sha: job.head_sha.clone(),
            labels: job.labels.clone(),
            status: job.status,
            runner_id: job.runner.as_ref().map(|runner| runner.id),
        }
    }
}
