//! Facts about a job from GitHub and the ledger, separate from the conclusions.

use super::event::{Job, JobEvent, JobStatus, MISSING_ATTEMPT};
use super::ids::{AccountId, JobId, RepositoryId, RunId, RunnerId};
use super::pin::RepositoryIds;
use super::policy::Permission;
use super::routing_verdict::{RoutingState, RoutingVerdict};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A fact, or the reason for its absence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// The question was not asked yet.
    #[default]
    NotAsked,
    /// GitHub's answer.
    Known(T),
    /// GitHub answered that the object does not exist.
    Gone,
    /// GitHub did not answer, or its answer is not readable.
    Failed(Cause),
}

impl<T> Fact<T> {
    /// Returns the answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// Returns true if the question was not asked yet.
    pub fn is_unasked(&self) -> bool {
        matches!(self, Self::NotAsked)
    }
}

/// The reason for a missing answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// GitHub is unreachable, too slow, failed, or sent an unreadable answer.
    Unavailable,
    /// The API quota is exhausted.
    RateLimited,
    /// The person behind the run has exhausted their budget of API calls.
    OverBudget,
}

/// The facts about one job event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    pub run: Fact<Run>,
    /// The pull requests of the run's head repository and branch, independent of their current head.
    pub pulls: Fact<Vec<Pull>>,
    /// True if those pull requests change a file under `.github/`.
    pub changes_workflows: Fact<bool>,
    /// True if the base of one of those pull requests was changed after it was opened.
    pub retargeted: Fact<bool>,
    /// The commits of the accepted pull request.
    pub commits: Fact<Vec<Commit>>,
    pub variable: Fact<Variable>,
    /// The login of the bot of jitgate's own App. A token that is not an App's has none.
    pub own_bot: Fact<String>,
    /// The permissions that were asked for so far, by login.
    pub permissions: BTreeMap<String, Fact<Permission>>,
    /// GitHub's live record of the job.
    pub live_job: Fact<LiveJob>,
    pub ledger: LedgerFacts,
}

impl Facts {
    /// Returns the permission of a user. A deleted account, or one that GitHub does not know in this repository, has
    /// none.
    #[must_use]
    pub fn permission_of(&self, user: Option<&User>) -> Fact<Permission> {
        match user.map(|user| self.permissions.get(&user.login)) {
            None => Fact::Known(Permission::None),
            Some(None) => Fact::NotAsked,
            Some(Some(fact)) => fact.clone(),
        }
    }

    /// Returns true if the event or GitHub's run belongs to a repository other than the pinned one. Before the first
    /// pin, it compares the two with each other.
    #[must_use]
    pub fn show_another_repository(&self, event: &JobEvent) -> bool {
        let run = self.run.known().map(Run::of).unwrap_or_default();
        let pinned = self.ledger.pinned.or(run);
        pinned.contradict(&event.ids) || pinned.contradict(&run)
    }
}

/// The ledger's facts about a job. They are never unknown, because no decision is made without the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerFacts {
    /// The pinned ids of the repository.
    pub pinned: RepositoryIds,
    /// True if the job has or had a runner that was created for it.
    pub served: bool,
    /// True if a newer event already showed the job in progress or completed.
    pub overtaken: bool,
    /// True if an untrusted job is queued that could reach the same runners.
    pub quarantined: bool,
    /// True if the maximum number of runners is alive.
    pub at_capacity: bool,
    /// True if jitgate, not an operator, switched routing off.
    pub rolled_back: bool,
    /// The latest attempt of the run that jitgate re-ran because a job was lost with its machine.
    pub rerun_lost_attempt: Option<u32>,
    /// The paths of the workflows whose trusted jobs have carried a run label.
    pub labelled_workflows: BTreeSet<String>,
    /// The runner that took the job, if it is one of ours.
    pub taken_by: Option<OurRunner>,
    /// The number of previous attempts to process this delivery.
    pub attempts: u32,
    /// True if the event is so recent that GitHub's lists may not show its cause yet. An absence or an older state is
    /// then no answer.
    pub catching_up: bool,
    /// True if the job is on one of our runners and waits at the job gate.
    pub at_gate: bool,
    /// The verdict with which the job passed the job gate. It stays valid as long as the job exists.
    pub admitted: Option<Admitted>,
}

/// The verdict with which a job passed the job gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The number of the pull request that the job was admitted for.
    pub pull_request: Option<u64>,
    /// The author of that pull request.
    pub author: Option<String>,
    /// The state of the routing variable at that time.
    pub state: RoutingState,
    /// The routing verdict at that time.
    pub verdict: RoutingVerdict,
}

/// One of our runners that GitHub gave the job to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurRunner {
    pub id: RunnerId,
    /// The job that the runner was created for.
    pub made_for: JobId,
    /// True if the host let the job start. The host, not the guest, reports this.
    pub passed_gate: bool,
}

/// A workflow run, reduced to the fields that trust depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The triggering event: `pull_request`, `push`, ...
    pub event: String,
    /// The path of the workflow file, possibly followed by `@ref`.
    pub path: String,
    pub run_attempt: u32,
    pub head_sha: String,
    /// The branch of the head repository. A branch of a fork can be called `main`.
    pub head_branch: Option<String>,
    /// The creation time of the first attempt. Re-runs keep it.
    pub created_at: Option<DateTime<Utc>>,
    /// The user who caused the run. A re-run keeps this user's privileges.
    pub actor: Option<User>,
    /// The user who started this attempt.
    pub triggering_actor: Option<User>,
    pub repository_id: RepositoryId,
    #[serde(default)]
    pub repository_owner_id: Option<AccountId>,
    /// The repository of the code; `None` if it was deleted.
    pub head_repository: Option<HeadRepository>,
    /// True if the repository is private. An absent value counts as public.
    #[serde(default)]
    pub private: Option<bool>,
}

impl Run {
    /// Returns the ids of the repository that the workflow runs in.
    #[must_use]
    pub fn of(&self) -> RepositoryIds {
        RepositoryIds {
            id: Some(self.repository_id),
            owner_id: self.repository_owner_id,
        }
    }

    /// Returns the path of the workflow file, without `@ref`.
    #[must_use]
    pub fn workflow(&self) -> &str {
        self.path.split('@').next().unwrap_or_default()
    }
}

/// The repository that a run's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadRepository {
    pub id: RepositoryId,
    pub owner: String,
}

/// A GitHub account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub login: String,
    /// `User`, `Bot`, `Organization`, `Mannequin`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl User {
    /// Returns true for an App or another machine account.
    #[must_use]
    pub fn is_bot(&self) -> bool {
        self.kind.eq_ignore_ascii_case("bot") || self.login.to_ascii_lowercase().ends_with("[bot]")
    }
}

/// A pull request in GitHub's list of a head branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    pub number: u64,
    pub open: bool,
    /// The current head commit.
    pub head_sha: String,
    /// The user who opened it; `None` if the account was deleted.
    pub author: Option<User>,
    /// GitHub's name of the author's association with the repository.
    pub author_association: String,
    /// The current base branch. The author can change it.
    #[serde(default)]
    pub base: Option<Base>,
}

/// The base branch of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    pub branch: String,
    /// True if it is the repository's default branch.
    pub is_default: bool,
}

/// A commit of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub sha: String,
    /// The account that owns the author's email address. The creator of a commit can write any address.
    pub author: Option<User>,
    /// True if GitHub verified the signature.
    pub verified: bool,
}

/// A repository variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub value: String,
    pub updated_at: Option<DateTime<Utc>>,
}

impl Variable {
    /// Returns true if a workflow that compares the value with `true` finds them equal. GitHub's expressions ignore
    /// case.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.value.eq_ignore_ascii_case("true")
    }
}

/// GitHub's live record of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveJob {
    pub id: JobId,
    pub run_id: RunId,
    pub run_attempt: u32,
    pub head_sha: String,
    pub labels: Vec<String>,
    pub status: JobStatus,
    pub runner_id: Option<RunnerId>,
}

impl LiveJob {
    /// Returns true if this is the job of the event: all immutable fields must be equal.
    #[must_use]
    pub fn agrees_with(&self, job: &Job) -> bool {
        let sorted = |labels: &[String]| {
            let mut labels: Vec<String> = labels.iter().map(|label| label.to_ascii_lowercase()).collect();
            labels.sort_unstable();
            labels
        };
        let attempt_agrees = self.run_attempt == MISSING_ATTEMPT || self.run_attempt == job.run_attempt;
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
