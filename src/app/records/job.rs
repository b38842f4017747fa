//! The record of a workflow job.

use super::access::Record;
use super::timing::{Counted, JobTiming};
use crate::domain::decision::{Action, Decision};
use crate::domain::event::JobEvent;
use crate::domain::facts::{Admitted, Facts, Run};
use crate::domain::ids::{DeliveryId, JobId, RepositoryName, RunId};
use crate::domain::job::{Progress, Service, ServiceEvent};
use crate::domain::retry::{backoff, spacing};
use crate::domain::runner::Outcome;
use crate::domain::trust::Trust;
use crate::ports::ledger::{Keep, Kind};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Number of decisions kept for each job; the newest ones are kept.
const MAX_DECISIONS: usize = 16;
/// Number of runner names kept for each job; the newest ones are kept.
const MAX_RUNNERS: usize = 16;
/// Time without a runner from GitHub before an alert. Temporary faults last for seconds.
const REFUSAL_TIMEOUT: TimeDelta = TimeDelta::seconds(60);
/// Number of history entries kept for each job; the newest ones are kept.
const MAX_MOMENTS: usize = 64;
/// Retention of a finished job that never was trusted.
pub const RETENTION_OF_OUTSIDERS: Duration = Duration::from_secs(6 * 3600);
/// Retention, after its latest event, of an unfinished job that never was trusted. GitHub fails a job that waits for a
/// day.
const UNFINISHED_RETENTION_OF_OUTSIDERS: Duration = Duration::from_secs(48 * 3600);
/// Retention, after its latest event, of any other unfinished job. A run at GitHub lasts 35 days at most.
const UNFINISHED_RETENTION: Duration = Duration::from_secs(36 * 24 * 3600);
/// Number of history entries kept for a finished job of an outsider.
const MAX_MOMENTS_OF_OUTSIDERS: usize = 4;
/// Number of decisions kept for such a job.
const MAX_DECISIONS_OF_OUTSIDERS: usize = 4;
/// Number of labels kept for such a job.
const MAX_LABELS_OF_OUTSIDERS: usize = 6;
/// Number of characters kept of its name and of each label.
const MAX_TEXT_OF_OUTSIDERS: usize = 40;

/// The record of a workflow job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    pub id: JobId,
    pub repository: RepositoryName,
    pub run_id: RunId,
    /// Its progress at GitHub.
    pub progress: Progress,
    /// The state of jitgate's service for it.
    #[serde(default)]
    pub service: Service,
    /// The name of its current or last runner.
    pub runner: Option<String>,
    /// The names of its runners in order of their assignment.
    #[serde(default)]
    pub runners: Vec<String>,
    /// Number of requested runners. It is a part of their names.
    pub mints: u32,
    /// Number of these that do not count as attempts, because another job took the runner.
    pub mints_stolen: u32,
    /// Number of consecutive runners that failed by a fault. Each extends the delay before the next one.
    #[serde(default)]
    pub faults: u32,
    /// Time of the first of these faults.
    #[serde(default)]
    pub faults_since: Option<DateTime<Utc>>,
    /// True if `job-stuck` was raised because the job got no runner.
    #[serde(default)]
    pub was_given_up: bool,
    /// The verdict with which it passed its job gate.
    #[serde(default)]
    pub admitted: Option<Admitted>,
    /// The history of its service, oldest first.
    #[serde(default)]
    pub moments: Vec<Moment>,
    /// The times of the job; empty if they were discarded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub timing: JobTiming,
    /// The mark of the routing tally; none if the job was never counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// True if decisions or facts were discarded, because the job is over and never was trusted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub is_shrunk: bool,
    /// The decisions with their facts, oldest first.
    pub decisions: Vec<Entry>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A decision with its facts and pending actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub decision: Decision,
    /// The facts; empty if they were discarded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub facts: Facts,
    /// The actions that are not executed yet.
    pub pending: Vec<Action>,
}

/// An entry of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub at: DateTime<Utc>,
    /// A sentence fragment for people, without text by outsiders.
    pub what: String,
}

impl JobRecord {
    /// Returns the record of a job without any event.
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
            faults: 0,
            faults_since: None,
            was_given_up: false,
            admitted: None,
            moments: Vec::new(),
            timing: JobTiming::default(),
            counted: None,
            is_shrunk: false,
            decisions: Vec::new(),
        }
    }

    /// Returns true if the job has or had a runner.
    #[must_use]
    pub fn is_served(&self) -> bool {
        match self.service {
            Service::Serving | Service::Served => true,
            Service::Closed => self.runner.is_some(),
            Service::Unwanted | Service::Wanted | Service::GivenUp => false,
        }
    }

    /// Assigns a runner to the job.
    pub fn take_runner(&mut self, name: &str) {
        self.runner = Some(name.to_owned());
        self.runners.retain(|known| known != name);
        self.runners.push(name.to_owned());
        let surplus = self.runners.len().saturating_sub(MAX_RUNNERS);
        self.runners.drain(..surplus);
    }

    /// Applies a service event. Returns false if it changes nothing.
    pub fn advance(&mut self, event: ServiceEvent, at: DateTime<Utc>, what: impl Into<String>) -> bool {
        let Some(next) = self.service.after(event) else {
            return false;
        };
        self.service = next;
        self.moments.push(Moment { at, what: what.into() });
        let surplus = self.moments.len().saturating_sub(MAX_MOMENTS);
        self.moments.drain(..surplus);
        true
    }

    /// Records that the runner, named at `named_at`, failed. Returns the delay before the next one: it grows with each
    /// consecutive fault and is longer if the runner used an attempt at once. After a theft, and after the first
    /// conflict of a name, there is no delay.
    pub fn lose_runner(&mut self, outcome: Outcome, named_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.runner = None;
        self.mints_stolen += u32::from(!outcome.uses_an_attempt());
        match outcome {
            // Runners start successfully, and other jobs or the operator take them away.
            Outcome::Stolen | Outcome::GateRefused | Outcome::Removed => {
                self.faults = 0;
                self.faults_since = None;
                None
            }
            _ => {
                self.faults += 1;
                self.faults_since.get_or_insert(now);
                let wait = backoff(self.faults - 1, 0.0);
                if outcome.uses_an_attempt() {
                    let used = self.mints.saturating_sub(self.mints_stolen);
                    return Some(wait.max(named_at + spacing(used) - now));
                }
                (outcome != Outcome::NameTaken || self.faults > 1).then_some(wait)
            }
        }
    }

    /// Returns true if GitHub has created no runner for so long that an operator must know.
    #[must_use]
    pub fn is_refused_for_long(&self, now: DateTime<Utc>) -> bool {
        self.faults_since.is_some_and(|since| now - since >= REFUSAL_TIMEOUT)
    }

    /// Returns the number of runners that may still be requested.
    #[must_use]
    pub fn attempts_left(&self, attempts: u32) -> u32 {
        attempts.saturating_add(self.mints_stolen).saturating_sub(self.mints)
    }

    /// Returns true if the job never was trusted and never had a runner, so that any outsider could have created it.
    #[must_use]
    pub fn is_of_outsiders(&self) -> bool {
        let verdicts = self.decisions.iter().map(|entry| entry.decision.trust.verdict);
        !self.decisions.is_empty()
            && verdicts.into_iter().all(|verdict| verdict != Trust::Trusted)
            && self.mints == 0
            && self.runners.is_empty()
            && !self.is_served()
    }

    /// Returns what GitHub said about its run.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.decisions.iter().rev().find_map(|entry| entry.facts.run.known())
    }

    fn has_pending(&self) -> bool {
        self.decisions.iter().any(|entry| !entry.pending.is_empty())
    }

    /// Adds a decision on an event, or replaces an earlier one on the same delivery.
    pub fn note(&mut self, event: &JobEvent, entry: Entry) {
        let is_on_ours = entry.facts.ledger.taken_by.is_some();
        self.timing.note(event, &entry.decision, is_on_ours);
        self.decisions
            .retain(|old| old.decision.delivery != entry.decision.delivery);
        self.decisions.push(entry);
        let surplus = self.decisions.len().saturating_sub(MAX_DECISIONS);
        self.decisions.drain(..surplus);
    }

    /// Returns the entry of a delivery.
    #[must_use]
    pub fn entry(&self, delivery: &DeliveryId) -> Option<&Entry> {
        self.decisions.iter().find(|entry| entry.decision.delivery == *delivery)
    }

    /// Removes an executed action from the entry of a delivery.
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
        matches!(self.service, Service::Wanted | Service::Serving)
    }

    fn keep(&self, retention: Duration) -> Keep {
        let is_over = self.progress == Progress::Completed;
        match (self.is_unfinished(), self.is_of_outsiders()) {
            (true, _) => Keep::Forever,
            (false, true) if is_over && !self.has_pending() => Keep::Spare(RETENTION_OF_OUTSIDERS.min(retention)),
            (false, true) if is_over => Keep::For(retention),
            // The `completed` event may be lost.
            (false, true) => Keep::For(UNFINISHED_RETENTION_OF_OUTSIDERS),
            (false, false) if is_over => Keep::For(retention),
            (false, false) => Keep::For(UNFINISHED_RETENTION.max(retention)),
        }
    }

    /// Reduces the record of an outsider's finished job to its newest decisions without facts. Outsiders can create any
    /// number of jobs with names and labels of any length.
    fn shrunk(mut self) -> Self {
        if self.progress != Progress::Completed || !self.is_of_outsiders() || self.has_pending() {
            return self;
        }
        let surplus = self.decisions.len().saturating_sub(MAX_DECISIONS_OF_OUTSIDERS);
        self.is_shrunk |= surplus > 0 || self.decisions.iter().any(Entry::has_facts);
        self.decisions.drain(..surplus);
        self.timing = JobTiming::default();
        self.decisions.iter_mut().for_each(Entry::shrink);
        if let Some((_, earlier)) = self.decisions.split_last_mut() {
            // The labels are those of the newest decision.
            earlier.iter_mut().for_each(|entry| entry.decision.job.labels.clear());
        }
        let surplus = self.moments.len().saturating_sub(MAX_MOMENTS_OF_OUTSIDERS);
        self.moments.drain(..surplus);
        self
    }
}

impl Entry {
    fn has_facts(&self) -> bool {
        !is_default(&self.facts)
    }

    fn shrink(&mut self) {
        let short = |text: &mut String| {
            if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_OF_OUTSIDERS) {
                text.truncate(end);
            }
        };
        let job = &mut self.decision.job;
        short(&mut job.name);
        job.labels.truncate(MAX_LABELS_OF_OUTSIDERS);
        job.labels.iter_mut().for_each(short);
        self.facts = Facts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_after_any_number_of_thefts_costs_what_a_first_one_does() {
        let repository = RepositoryName::parse("octo/chem").expect("a name");
        let mut job = JobRecord::new(JobId(1), repository, RunId(2));
        let begun = DateTime::UNIX_EPOCH;
        let lose = |job: &mut JobRecord, outcome: Outcome, after: i64| {
            job.mints += 1;
            let wait = job.lose_runner(outcome, begun, begun + TimeDelta::seconds(after));
            wait.map(|wait| wait.num_seconds())
        };
        for _ in 0..9 {
            assert_eq!(lose(&mut job, Outcome::Stolen, 0), None);
        }
        let github = [Outcome::NameTaken, Outcome::Lost, Outcome::Refused, Outcome::NameTaken];
        let waits = github.map(|outcome| lose(&mut job, outcome, 0));
        assert_eq!(waits, [None, Some(2), Some(4), Some(8)]);
        assert_eq!(job.attempts_left(3), 3, "none of that uses an attempt");
        assert_eq!(lose(&mut job, Outcome::GateRefused, 0), None);
        assert_eq!(
            lose(&mut job, Outcome::Died, 1),
            Some(15),
            "the first try lasted a second"
        );
        assert_eq!(
            lose(&mut job, Outcome::NobodyCame, 121),
            Some(7),
            "the second had its time"
        );
        assert_eq!(lose(&mut job, Outcome::Died, 301), Some(4), "a third fault in a row");
    }
}
