//! The records of runners: current ones, and past ones without any remains.

use super::access::Record;
use crate::domain::ids::{JobId, RepositoryName, RunnerId};
use crate::domain::proof::{self, Evidence, Life, ProvenStep};
use crate::domain::runner::{Outcome, RunnerEvent, RunnerState};
use crate::domain::slot::SlotSize;
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A runner of jitgate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerRecord {
    /// Its name, recorded before the request to GitHub.
    pub name: String,
    /// The instance that created it.
    pub instance: String,
    pub repository: RepositoryName,
    /// The job that it was created for. Only this job was admitted for it.
    pub made_for: JobId,
    /// The job that it is assigned to now.
    pub job: JobId,
    /// The time at which it was handed over from one job to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_over_at: Option<DateTime<Utc>>,
    /// Its slot on the host.
    pub slot: String,
    /// The size of its slot.
    #[serde(default)]
    pub size: SlotSize,
    /// GitHub's id, if known.
    pub id: Option<RunnerId>,
    pub state: RunnerState,
    pub outcome: Option<Outcome>,
    /// Details of the outcome for people.
    pub detail: Option<String>,
    /// The job that GitHub gave it to, if known.
    pub taken_by: Option<JobId>,
    /// Time of this event.
    pub taken_at: Option<DateTime<Utc>>,
    /// True if the host let its job start.
    pub passed_gate: bool,
    /// The time of each state.
    pub history: Vec<Entered>,
    /// The times that no state contains.
    #[serde(default)]
    pub evidence: Evidence,
}

/// A state of a runner with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    pub state: RunnerState,
    pub at: DateTime<Utc>,
}

impl RunnerRecord {
    /// Returns the record of a runner that only has a name.
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
            handed_over_at: None,
            slot: slot.to_owned(),
            size: None,
            id: None,
            state,
            outcome: None,
            detail: None,
            taken_by: None,
            taken_at: None,
            passed_gate: false,
            history: vec![Entered { state, at }],
            evidence: Evidence::default(),
        }
    }

    /// Applies an event. Returns false if it changes nothing.
    pub fn advance(&mut self, event: RunnerEvent, at: DateTime<Utc>) -> bool {
        let Some(state) = self.state.after(event) else {
            return false;
        };
        self.state = state;
        self.passed_gate |= state == RunnerState::Running;
        self.history.push(Entered { state, at });
        true
    }

    /// Returns true if its assigned job, and not another job that swapped runners, passed the job gate.
    #[must_use]
    pub fn has_served_its_job(&self) -> bool {
        self.passed_gate && self.taken_by.is_none_or(|by| by == self.job)
    }

    /// Returns true if a job without a right to the runner took it, independent of the outcome.
    #[must_use]
    pub fn was_stolen(&self) -> bool {
        let by_another = self.taken_by.is_some_and(|by| by != self.job) && !self.passed_gate;
        match self.outcome {
            Some(Outcome::Stolen) => true,
            // Its own job no longer needs a runner.
            Some(Outcome::Cancelled) | None => false,
            Some(_) => by_another,
        }
    }

    /// Returns the detail of its end as the rest of a sentence.
    #[must_use]
    pub fn more(&self) -> String {
        self.detail.as_ref().map_or_else(String::new, |why| format!(" ({why})"))
    }

    /// Returns the time when its name was recorded.
    #[must_use]
    pub fn named_at(&self) -> Option<DateTime<Utc>> {
        self.history.first().map(|entered| entered.at)
    }

    /// Returns the time at which it came to a state.
    #[must_use]
    pub fn came_to(&self, state: RunnerState) -> Option<DateTime<Utc>> {
        let mut entered = self.history.iter().filter(|entered| entered.state == state);
        entered.next().map(|entered| entered.at)
    }

    /// Returns the facts that its proof is made from.
    #[must_use]
    pub fn life(&self) -> Life<'_> {
        let shown = [self.came_to(RunnerState::Online), self.taken_at];
        Life {
            state: self.state,
            outcome: self.outcome,
            detail: self.detail.as_deref(),
            booting: self.came_to(RunnerState::Booting),
            online: shown.into_iter().flatten().min(),
            gated: self.came_to(RunnerState::Gated),
            permitted: self.came_to(RunnerState::Running),
            ended: self.came_to(RunnerState::Ended),
            evidence: &self.evidence,
        }
    }

    /// Returns the steps of its life, with their times or the reasons why they are missing.
    #[must_use]
    pub fn proof(&self) -> Vec<ProvenStep> {
        proof::steps(&self.life())
    }

    /// Returns the time of its current state.
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

/// A runner without any remains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PastRunner(pub RunnerRecord);

impl Record for PastRunner {
    const KIND: Kind = Kind::PastRunner;
    fn is_unfinished(&self) -> bool {
        false
    }
}
