//! The records of runners: those of which anything is left, and those that are past.

use super::access::Record;
use crate::domain::ids::{JobId, RepositoryName, RunnerId};
use crate::domain::runner::{Outcome, RunnerEvent, RunnerState};
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A runner of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerRecord {
    /// Its name, recorded before GitHub is asked for it.
    pub name: String,
    /// The instance that made it.
    pub instance: String,
    /// The repository it was made for.
    pub repository: RepositoryName,
    /// The job it was made for. Only that one was admitted for it.
    pub made_for: JobId,
    /// The job it is there for, which can be another one since.
    pub job: JobId,
    /// Its environment on the host.
    pub slot: String,
    /// GitHub's id, once known.
    pub id: Option<RunnerId>,
    /// Where it stands.
    pub state: RunnerState,
    /// Why it ended.
    pub outcome: Option<Outcome>,
    /// More about that, for people.
    pub detail: Option<String>,
    /// The job that GitHub gave it to, where we heard of it.
    pub taken_by: Option<JobId>,
    /// When.
    pub taken_at: Option<DateTime<Utc>>,
    /// Whether the host let its job begin.
    pub passed_gate: bool,
    /// When it came to each of its states.
    pub history: Vec<Entered>,
}

/// A state of a runner, and when it came to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The state.
    pub state: RunnerState,
    /// When.
    pub at: DateTime<Utc>,
}

impl RunnerRecord {
    /// A runner that has nothing but a name yet.
    #[must_use]
    pub fn named(
        name: String,
        instance: &str,
        repository: RepositoryName,
        job: JobId,
        slot: &str,
        at: DateTime<Utc>,
    ) -> Self {
        let state = RunnerState::Minting;
        Self {
            name,
            instance: instance.to_owned(),
            repository,
            made_for: job,
            job,
            slot: slot.to_owned(),
            id: None,
            state,
            outcome: None,
            detail: None,
            taken_by: None,
            taken_at: None,
            passed_gate: false,
            history: vec![Entered { state, at }],
        }
    }

    /// Advances it. False where the event changes nothing.
    pub fn advance(&mut self, event: RunnerEvent, at: DateTime<Utc>) -> bool {
        let Some(state) = self.state.after(event) else {
            return false;
        };
        self.state = state;
        self.passed_gate |= state == RunnerState::Running;
        self.history.push(Entered { state, at });
        true
    }

    /// Whether the job it is there for was let through its gate, and not another one that swapped runners.
    #[must_use]
    pub fn has_served_its_job(&self) -> bool {
        self.passed_gate && self.taken_by.is_none_or(|by| by == self.job)
    }

    /// Whether a job took it that had no right to it, whatever it ended of then.
    #[must_use]
    pub fn was_stolen(&self) -> bool {
        let by_another = self.taken_by.is_some_and(|by| by != self.job) && !self.passed_gate;
        match self.outcome {
            Some(Outcome::Stolen) => true,
            // Its own job needs none any more, whoever has it.
            Some(Outcome::Cancelled) | None => false,
            Some(_) => by_another,
        }
    }

    /// When its name was recorded.
    #[must_use]
    pub fn named_at(&self) -> Option<DateTime<Utc>> {
        self.history.first().map(|entered| entered.at)
    }

    /// Since when it is where it is.
    #[must_use]
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.history.last().map(|entered| entered.at)
    }
}

impl Record for RunnerRecord {
    const KIND: Kind = Kind::Runner;
    fn is_unfinished(&self) -> bool {
        true
    }
}

/// A runner of which nothing is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PastRunner(pub RunnerRecord);

impl Record for PastRunner {
    const KIND: Kind = Kind::PastRunner;
    fn is_unfinished(&self) -> bool {
        false
    }
}
