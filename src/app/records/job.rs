//! The record of a workflow job.

use super::access::Record;
use crate::domain::decision::{Action, Decision};
use crate::domain::facts::Facts;
use crate::domain::ids::{DeliveryId, JobId, RepositoryName, RunId};
use crate::domain::job::{Progress, Service, ServiceEvent};
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Decisions kept per job, the newest ones.
const DECISIONS_KEPT: usize = 16;
/// Names of runners kept per job, the newest ones.
const RUNNERS_KEPT: usize = 16;
/// Moments kept per job, the newest ones.
const MOMENTS_KEPT: usize = 64;

/// A workflow job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Its repository.
    pub repository: RepositoryName,
    /// Its run.
    pub run_id: RunId,
    /// How far it has come at GitHub.
    pub progress: Progress,
    /// How far we have come with serving it.
    #[serde(default)]
    pub service: Service,
    /// Name of the runner that is, or was, there for it.
    pub runner: Option<String>,
    /// Names of the runners it had so far, the newest last.
    #[serde(default)]
    pub runners: Vec<String>,
    /// Runners asked for so far; numbers their names.
    pub mints: u32,
    /// How many of them don't count as attempts: they were taken by somebody else.
    pub mints_stolen: u32,
    /// What happened to it with us, oldest first.
    #[serde(default)]
    pub moments: Vec<Moment>,
    /// Decisions with the facts behind them, oldest first.
    pub decisions: Vec<Entry>,
}

/// A decision, what it was made from, and what of it is still to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The decision.
    pub decision: Decision,
    /// The facts it was made from.
    pub facts: Facts,
    /// Its actions that have not been done yet.
    pub pending: Vec<Action>,
}

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    pub at: DateTime<Utc>,
    /// What; a fragment for people, of our own words only.
    pub what: String,
}

impl JobRecord {
    /// A job nothing is known of yet.
    #[must_use]
    pub fn new(id: JobId, repository: RepositoryName, run_id: RunId) -> Self {
        Self {
            id,
            repository,
            run_id,
            progress: Progress::Unseen,
            service: Service::Unwanted,
            runner: None,
            runners: Vec::new(),
            mints: 0,
            mints_stolen: 0,
            moments: Vec::new(),
            decisions: Vec::new(),
        }
    }

    /// Whether a runner is there for the job, or was.
    #[must_use]
    pub fn is_served(&self) -> bool {
        match self.service {
            Service::Serving | Service::Served => true,
            Service::Closed => self.runner.is_some(),
            Service::Unwanted | Service::Wanted | Service::GivenUp => false,
        }
    }

    /// Has a runner from now on.
    pub fn take_runner(&mut self, name: &str) {
        self.runner = Some(name.to_owned());
        self.runners.retain(|known| known != name);
        self.runners.push(name.to_owned());
        let surplus = self.runners.len().saturating_sub(RUNNERS_KEPT);
        self.runners.drain(..surplus);
    }

    /// Advances how far we have come with it. False where the event changes nothing.
    pub fn advance(&mut self, event: ServiceEvent, at: DateTime<Utc>, what: impl Into<String>) -> bool {
        let Some(next) = self.service.after(event) else {
            return false;
        };
        self.service = next;
        self.moments.push(Moment { at, what: what.into() });
        let surplus = self.moments.len().saturating_sub(MOMENTS_KEPT);
        self.moments.drain(..surplus);
        true
    }

    /// How often a runner may still be asked for.
    #[must_use]
    pub fn attempts_left(&self, attempts: u32) -> u32 {
        attempts.saturating_add(self.mints_stolen).saturating_sub(self.mints)
    }

    /// Adds a decision, or replaces an earlier one on the same delivery.
    pub fn note(&mut self, entry: Entry) {
        self.decisions
            .retain(|old| old.decision.delivery != entry.decision.delivery);
        self.decisions.push(entry);
        let surplus = self.decisions.len().saturating_sub(DECISIONS_KEPT);
        self.decisions.drain(..surplus);
    }

    /// The entry of a delivery.
    #[must_use]
    pub fn entry(&self, delivery: &DeliveryId) -> Option<&Entry> {
        self.decisions.iter().find(|entry| entry.decision.delivery == *delivery)
    }

    /// Crosses one action off a delivery's list.
    pub fn cross_off(&mut self, delivery: &DeliveryId, done: Action) {
        for entry in &mut self.decisions {
            if entry.decision.delivery == *delivery {
                entry.pending.retain(|action| *action != done);
            }
        }
    }
}

impl Record for JobRecord {
    const KIND: Kind = Kind::Job;
    fn is_unfinished(&self) -> bool {
        self.progress != Progress::Completed || matches!(self.service, Service::Wanted | Service::Serving)
    }
}
