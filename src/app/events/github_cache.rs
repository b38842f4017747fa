//! A cache of GitHub's answers, with a safe lifetime for each kind.
//!
//! | answer | remembered for | because |
//! |---|---|---|
//! | run | [`RUN`], per attempt | what trust reads of it does not change within an attempt |
//! | pull requests | [`PULLS`]; [`PULLS_AT_ADMISSION`] where a runner may be made | they are closed, and their heads move |
//! | changed files | [`CHANGES`], per commit | those of a commit do not change, and take up to 30 calls |
//! | variable | [`VARIABLE`]; not at all if it would accuse or refuse a person | a person flips it rarely; the adapter revalidates it for free |
//! | permission | [`PERMISSION`] | the jobs of one run ask for the same few people |
//! | live job | not at all | it is asked right before a runner is made |
//!
//! Failures and absences are not cached. Concurrent callers with the same question share one request.

use super::recent::Recent;
use crate::app::settings::Repository;
use crate::domain::admission::MIN_GONE_ATTEMPTS;
use crate::domain::event::JobEvent;
use crate::domain::facts::{Facts, Pull, Run, Variable};
use crate::domain::ids::{RepositoryName, RunId};
use crate::domain::labels::LabelsClass;
use crate::domain::policy::Permission;
use crate::domain::question::Question;
use crate::domain::rollout::Switch;
use crate::domain::trust;
use crate::ports::github::Purpose;
use crate::ports::{Failure, GitHub};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
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
/// See the module's table.
pub const CHANGES: TimeDelta = TimeDelta::hours(1);
pub(super) type RunKey = (RepositoryName, RunId, u32);
/// Pull requests with the judged commit.
pub(super) type ChangesKey = (RepositoryName, Vec<u64>, String);

/// The cached answers.
#[derive(Default)]
pub struct GitHubCache {
    pub(super) runs: Recent<RunKey, Run>,
    pub(super) pulls: Recent<RunKey, Vec<Pull>>,
    pub(super) changes: Recent<ChangesKey, bool>,
    pub(super) variables: Recent<RepositoryName, Option<Variable>>,
    pub(super) permissions: Recent<(RepositoryName, String), Permission>,
    /// The states of variables that the ledger has.
    noted: Mutex<HashMap<RepositoryName, Switch>>,
}

impl GitHubCache {
    /// Returns the routing variable. GitHub is asked if the last answer is older than `max_age`.
    pub(in crate::app) async fn variable(
        &self,
        github: &dyn GitHub,
        repository: &Repository,
        now: DateTime<Utc>,
        max_age: TimeDelta,
    ) -> Result<Option<Variable>, Failure> {
        let name = &repository.name;
        let asked = async {
            let shown = github.variable(name, &repository.variable, Purpose::Judge).await;
            shown.map(Some)
        };
        let shown = self.variables.get_or_ask(name, now, max_age, asked).await?;
        Ok(shown.flatten())
    }

    /// The time of the last question about the variable.
    pub(in crate::app) fn variable_asked_at(&self, repository: &RepositoryName) -> Option<DateTime<Utc>> {
        self.variables.asked_at(repository)
    }

    /// Returns true if the answer to a question about an outsider is cached.
    pub(super) fn has(
        &self,
        of: &Repository,
        event: &JobEvent,
        question: &Question,
        facts: &Facts,
        now: DateTime<Utc>,
    ) -> bool {
        let name = &of.name;
        match question {
            Question::Pulls { .. } => {
                let max_age = max_age_of_pulls(of, event, facts);
                self.pulls.get(&run_key(name, event), now, max_age).is_some()
            }
            Question::ChangedFiles(numbers) => {
                let key = changes_key(name, facts, numbers);
                key.is_some_and(|key| self.changes.get(&key, now, CHANGES).is_some())
            }
            Question::Permission(login) => {
                let key = (name.clone(), login.clone());
                self.permissions.get(&key, now, PERMISSION).is_some()
            }
            Question::Run
            | Question::Variable
            | Question::LiveJob
            | Question::Retargeted(_)
            | Question::Commits(_)
            | Question::OwnBot => false,
        }
    }

    /// Returns true if the ledger has this state of the variable.
    pub(in crate::app) fn is_noted(&self, repository: &RepositoryName, seen: Switch) -> bool {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |noted: &Switch| (noted.on, noted.updated_at) == (seen.on, seen.updated_at);
        noted.get(repository).is_some_and(is_same)
    }

    /// Remembers that the ledger has this state of the variable.
    pub(in crate::app) fn note(&self, repository: &RepositoryName, seen: Switch) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert(repository.clone(), seen);
    }

    /// Discards the cached variable after a change.
    pub(in crate::app) fn forget_variable(&self, repository: &RepositoryName) {
        self.variables.forget(repository);
    }
}

pub(super) fn run_key(repository: &RepositoryName, event: &JobEvent) -> RunKey {
    (repository.clone(), event.job.run_id, event.job.run_attempt)
}

pub(super) fn changes_key(repository: &RepositoryName, facts: &Facts, numbers: &[u64]) -> Option<ChangesKey> {
    let head = facts.run.known()?.head_sha.clone();
    Some((repository.clone(), numbers.to_vec(), head))
}

/// Before a runner is created the latest answer counts. A run that is refused by itself gets no runner.
pub(super) fn max_age_of_pulls(repository: &Repository, event: &JobEvent, facts: &Facts) -> TimeDelta {
    if facts.ledger.at_gate || matches!(facts.ledger.attempts, 1..=MIN_GONE_ATTEMPTS) {
        // A fact was missing before, and a cached answer would lack it too.
        return TimeDelta::zero();
    }
    let policy = &repository.policy;
    let is_refused = |run: &Run| !trust::reasons_of_the_run(run, &policy.trust).is_empty();
    let may_run_here =
        policy.labels.classify(&event.job) == LabelsClass::Pool && !facts.run.known().is_some_and(is_refused);
    if may_run_here { PULLS_AT_ADMISSION } else { PULLS }
}
