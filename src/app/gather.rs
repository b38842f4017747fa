//! Gathers facts: asks GitHub the questions the domain names, and remembers answers for as long as that is safe.
//!
//! | answer | remembered for | because |
//! |---|---|---|
//! | run | [`RUN`], per attempt | what trust reads of it does not change within an attempt |
//! | pull requests | [`PULLS`]; [`PULLS_AT_ADMISSION`] before a runner is made | they are closed, and their heads move |
//! | changed files | not at all | asked only where somebody is accused |
//! | variable | [`VARIABLE`]; not at all where it would accuse or refuse somebody | a person flips it rarely; the adapter revalidates it for free |
//! | permission | [`PERMISSION`] | the jobs of one run ask for the same few people |
//! | live job | not at all | it is asked right before a runner is made |
//!
//! Only answers are remembered, never failures or absences.

use super::gate::Gate;
use super::settings::Repository;
use crate::domain::event::JobEvent;
use crate::domain::facts::{Cause, Fact, Facts, LiveJob, Pull, Run, Variable};
use crate::domain::ids::{RepositoryName, RunId};
use crate::domain::labels::LabelsClass;
use crate::domain::policy::{Permission, TrustPolicy};
use crate::domain::question::{self, Question};
use crate::domain::trust;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// See the module's table.
pub const RUN: TimeDelta = TimeDelta::minutes(10);
/// See the module's table.
pub const PULLS: TimeDelta = TimeDelta::minutes(5);
/// See the module's table.
pub const PULLS_AT_ADMISSION: TimeDelta = TimeDelta::seconds(2);
/// See the module's table.
pub const VARIABLE: TimeDelta = TimeDelta::seconds(10);
/// See the module's table.
pub const PERMISSION: TimeDelta = TimeDelta::seconds(30);
/// Where a change lets a pull request choose its own `runs-on`.
const WORKFLOWS: &str = ".github/";

type RunKey = (RepositoryName, RunId, u32);

/// GitHub's recent answers.
#[derive(Default)]
pub struct Recall {
    runs: Recent<RunKey, Run>,
    pulls: Recent<RunKey, Vec<Pull>>,
    variables: Recent<RepositoryName, Option<Variable>>,
    permissions: Recent<(RepositoryName, String), Permission>,
}

impl Recall {
    /// When GitHub was last asked for the variable.
    pub(super) fn variable_asked_at(&self, repository: &RepositoryName) -> Option<DateTime<Utc>> {
        self.variables.asked_at(repository)
    }

    /// Has the variable asked for again: it was just changed.
    pub(super) fn forget_variable(&self, repository: &RepositoryName) {
        self.variables.forget(repository);
    }
}

/// Asks until nothing is left to ask. Gives the time before which asking again is useless, where GitHub named one.
pub(super) async fn gather(
    gate: &Gate,
    repository: &Repository,
    event: &JobEvent,
    facts: &mut Facts,
) -> Option<DateTime<Utc>> {
    let mut not_before = None;
    while let Some(question) = question::next(event, facts, &repository.policy, gate.clock.now()) {
        if let Err(failure) = ask(gate, repository, event, &question, facts).await {
            let cause = match &failure {
                Failure::RateLimited { until, .. } => {
                    not_before = not_before.max(Some(*until));
                    Cause::RateLimited
                }
                Failure::Transient(_) | Failure::Permanent(_) => Cause::Unavailable,
            };
            tracing::warn!(job = event.job.id.0, repository = %repository.name, %failure, "GitHub left a question open");
            leave_open(&question, cause, facts);
        }
    }
    not_before
}

fn leave_open(question: &Question, cause: Cause, facts: &mut Facts) {
    match question {
        Question::Run => facts.run = Fact::Failed(cause),
        Question::Pulls { .. } => facts.pulls = Fact::Failed(cause),
        Question::ChangedFiles(_) => facts.changes_workflows = Fact::Failed(cause),
        Question::Variable => facts.variable = Fact::Failed(cause),
        Question::Permission(login) => {
            facts.permissions.insert(login.clone(), Fact::Failed(cause));
        }
        Question::LiveJob => facts.live_job = Fact::Failed(cause),
    }
}

async fn ask(
    gate: &Gate,
    repository: &Repository,
    event: &JobEvent,
    question: &Question,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let name = &repository.name;
    let job = &event.job;
    let now = gate.clock.now();
    let key = (name.clone(), job.run_id, job.run_attempt);
    let reaches_us = repository.policy.labels.classify(job) == LabelsClass::Pool;
    let purpose = if reaches_us && may_be_trusted(facts, &repository.policy.trust) {
        Purpose::Admit
    } else {
        Purpose::Judge
    };
    match question {
        Question::Run => facts.run = run(gate, &key, purpose, now).await?,
        Question::Pulls { owner, branch } => {
            let max_age = if reaches_us { PULLS_AT_ADMISSION } else { PULLS };
            let pulls = match gate.recall.pulls.get(&key, now, max_age) {
                Some(pulls) => pulls,
                None => {
                    let pulls = pulls(gate, repository, facts, owner, branch, purpose).await?;
                    gate.recall.pulls.put(key, pulls.clone(), now);
                    pulls
                }
            };
            facts.pulls = Fact::Known(pulls);
        }
        Question::ChangedFiles(numbers) => {
            facts.changes_workflows = changed_workflows(gate, repository, facts, numbers, purpose).await?;
        }
        Question::Variable => {
            let variable = match gate.recall.variables.get(name, now, VARIABLE) {
                Some(variable) => variable,
                None => {
                    let variable = gate.github.variable(name, &repository.variable, purpose).await?;
                    gate.recall.variables.put(name.clone(), variable.clone(), now);
                    variable
                }
            };
            facts.variable = variable.map_or(Fact::Gone, Fact::Known);
        }
        Question::Permission(login) => {
            let key = (name.clone(), login.clone());
            let permission = match gate.recall.permissions.get(&key, now, PERMISSION) {
                Some(permission) => Some(permission),
                None => {
                    let permission = gate.github.permission(name, login, purpose).await?;
                    if let Some(permission) = permission {
                        gate.recall.permissions.put(key, permission, now);
                    }
                    permission
                }
            };
            facts
                .permissions
                .insert(login.clone(), permission.map_or(Fact::Gone, Fact::Known));
        }
        Question::LiveJob => {
            facts.live_job = gate
                .github
                .job(name, job.id, purpose)
                .await?
                .map_or(Fact::Gone, |job| Fact::Known(LiveJob::from(&job)));
        }
    }
    Ok(())
}

/// Whether the run, as far as it is known, can be trusted: outsiders get at the quota kept for admissions with one call a
/// run, and no further.
fn may_be_trusted(facts: &Facts, policy: &TrustPolicy) -> bool {
    facts
        .run
        .known()
        .is_none_or(|run| run.event == "pull_request" && trust::reasons_of_the_run(run, policy).is_empty())
}

async fn run(gate: &Gate, key: &RunKey, purpose: Purpose, now: DateTime<Utc>) -> Result<Fact<Run>, Failure> {
    if let Some(run) = gate.recall.runs.get(key, now, RUN) {
        return Ok(Fact::Known(run));
    }
    let (repository, id, attempt) = key;
    let Some(run) = gate.github.run(repository, *id, purpose).await? else {
        return Ok(Fact::Gone);
    };
    if run.run_attempt < *attempt {
        // Who pressed the button of this attempt is not known there yet.
        return Err(Failure::Transient(format!(
            "GitHub shows attempt {} of run {id}, the event is of attempt {attempt}",
            run.run_attempt
        )));
    }
    gate.recall.runs.put(key.clone(), run.clone(), now);
    Ok(Fact::Known(run))
}

async fn pulls(
    gate: &Gate,
    repository: &Repository,
    facts: &Facts,
    owner: &str,
    branch: &str,
    purpose: Purpose,
) -> Result<Vec<Pull>, Failure> {
    let Some(head) = facts.run.known().and_then(|run| run.head_repository.as_ref()) else {
        return Ok(Vec::new());
    };
    gate.github
        .pulls_of_head(&repository.name, owner, branch, head.id, purpose)
        .await
}

/// Whether the pull requests change workflows. The list of files is that of the head as it is now, so a "no" only counts
/// if the head is still the run's commit afterwards: else pushing twice would turn an attempt into a misroute.
async fn changed_workflows(
    gate: &Gate,
    repository: &Repository,
    facts: &Facts,
    numbers: &[u64],
    purpose: Purpose,
) -> Result<Fact<bool>, Failure> {
    for number in numbers {
        if gate
            .github
            .pull_changes(&repository.name, *number, WORKFLOWS, purpose)
            .await?
        {
            return Ok(Fact::Known(true));
        }
    }
    let Some(run) = facts.run.known() else {
        return Ok(Fact::Gone);
    };
    let (Some(head), Some(branch)) = (&run.head_repository, &run.head_branch) else {
        return Ok(Fact::Gone);
    };
    let pulls = pulls(gate, repository, facts, &head.owner, branch, purpose).await?;
    let still_there = trust::candidates(&pulls, run)
        .iter()
        .all(|pull| pull.head_sha == run.head_sha && numbers.contains(&pull.number));
    Ok(if still_there && !pulls.is_empty() {
        Fact::Known(false)
    } else {
        Fact::Gone
    })
}

/// A bounded memory of answers.
struct Recent<K, V> {
    answers: Mutex<HashMap<K, (DateTime<Utc>, V)>>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            answers: Mutex::new(HashMap::new()),
        }
    }
}

/// Answers remembered per kind.
const REMEMBERED: usize = 4096;

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    fn get(&self, key: &K, now: DateTime<Utc>, max_age: TimeDelta) -> Option<V> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, value) = answers.get(key)?;
        (now - *at < max_age).then(|| value.clone())
    }

    fn asked_at(&self, key: &K) -> Option<DateTime<Utc>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).map(|(at, _)| *at)
    }

    fn forget(&self, key: &K) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn put(&self, key: K, value: V, now: DateTime<Utc>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= REMEMBERED {
            let oldest = answers.values().map(|(at, _)| *at).min().unwrap_or(now);
            let middle = oldest + (now - oldest) / 2;
            answers.retain(|_, (at, _)| *at > middle);
        }
        answers.insert(key, (now, value));
    }
}
