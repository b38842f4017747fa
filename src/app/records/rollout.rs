//! The records of the rollout of a repository: its state, its measured runs, and its routing verdicts.

use super::access::Record;
use crate::domain::ids::{JobId, RepositoryName, RunId};
use crate::domain::rollout::{
    Canary, CanaryEvent, Cause, Change, Changed, Intent, MeasuredRun, Mismatch, Origin, Period, Plan, Refused, Reports,
    Rollback, Switch, Tally,
};
use crate::domain::routing_verdict::RoutingVerdict;
use crate::ports::ledger::{Keep, Kind};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Number of changes kept for each repository; the newest ones are kept.
const MAX_CHANGES: usize = 200;
/// Number of mismatches kept for each repository; the newest ones are kept.
const MAX_MISMATCHES: usize = 64;
/// Number of jobs that the tally remembers. A delivery that is processed again after a crash is among them.
const MAX_RECENT: usize = 256;
/// Retention of measured runs: a quiet repository needs months for the window of a service level.
const RETENTION_OF_MEASURED_RUNS: Duration = Duration::from_secs(400 * 24 * 3600);

/// The state of the rollout of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutRecord {
    pub canary: Canary,
    /// The time when routing was last switched on, by GitHub's clock. Triggers judge only runs that were created later.
    pub enabled_at: Option<DateTime<Utc>>,
    /// The time when routing was last switched off or found off.
    pub disabled_at: Option<DateTime<Utc>>,
    /// The time of a planned stop that GitHub has not confirmed yet.
    pub stopping: Option<DateTime<Utc>>,
    /// The rollbacks that the mode `observe` has reported.
    pub reports: Reports,
    /// The last rollback.
    pub rollback: Option<Rollback>,
    /// The routing variable as it was last seen.
    pub variable: Option<Switch>,
    /// A change of the variable that is announced and not seen yet.
    pub intent: Option<Intent>,
    /// The history, oldest first.
    pub history: Vec<Change>,
}

impl RolloutRecord {
    /// Adds a change to the history.
    pub fn note(&mut self, change: Change) {
        self.history.push(change);
        let surplus = self.history.len().saturating_sub(MAX_CHANGES);
        self.history.drain(..surplus);
    }

    /// Returns the time that triggers judge and the canary counts.
    #[must_use]
    pub fn period(&self) -> Period {
        Period {
            enabled_at: self.enabled_at,
            disabled_at: self.disabled_at,
        }
    }

    /// Records the steps of a plan.
    pub fn follow(&mut self, plan: &Plan, now: DateTime<Utc>) {
        self.canary.clone_from(&plan.canary);
        self.reports.clone_from(&plan.reports);
        for change in &plan.changes {
            self.note(change.clone());
        }
        if plan.stop {
            self.disabled_at = Some(now);
            self.stopping = Some(now);
            self.end_reports();
        }
    }

    /// Records that routing was switched on at `at`, by GitHub's clock. After a planned stop the next stage starts.
    pub fn switched_on(&mut self, at: DateTime<Utc>, origin: Origin, stages: &[u32]) {
        let stage = self.canary.stage_of(stages);
        let moved = self.canary.apply(CanaryEvent::SwitchOn, stages);
        let moved = moved.unwrap_or((stage, stage));
        self.enabled_at = Some(at);
        self.stopping = None;
        self.end_reports();
        let (from, to) = moved;
        if from != to {
            self.note(Change::new(Changed::Advance, moved, origin.clone()));
        }
        self.note(Change::new(Changed::Enable, (to, to), origin));
    }

    /// Records that routing was switched off without a trigger.
    pub fn switched_off(&mut self, origin: Origin, stages: &[u32]) {
        let Some(moved) = self.canary.apply(CanaryEvent::SwitchOff, stages) else {
            return;
        };
        self.disabled_at = Some(origin.at);
        self.end_reports();
        self.note(Change::new(Changed::Disable, moved, origin));
    }

    /// Records that a trigger switches routing off, and moves the canary back.
    pub fn rolled_back(&mut self, cause: &Cause, at: DateTime<Utc>, stages: &[u32]) {
        let stage = self.canary.stage_of(stages);
        let moved = match cause.is_misroute {
            true => self.canary.fall_to_smoke(stages),
            false => self
                .canary
                .apply(CanaryEvent::RollBack, stages)
                .unwrap_or((stage, stage)),
        };
        self.disabled_at = Some(at);
        self.stopping = None;
        self.end_reports();
        let origin = Origin::ourselves(&cause.in_words(), at);
        self.note(Change::new(Changed::Rollback, moved, origin));
    }

    /// Starts the next stage on the word of a person, while routing is on.
    ///
    /// # Errors
    /// The reason why it cannot start.
    pub fn advance(&mut self, origin: Origin, stages: &[u32]) -> Result<(usize, usize), Refused> {
        self.canary.may_advance(stages)?;
        let moved = self.canary.apply(CanaryEvent::Advance, stages).ok_or(Refused::Off)?;
        self.note(Change::new(Changed::Advance, moved, origin));
        Ok(moved)
    }

    /// Keeps the canary in its stage on the word of a person.
    ///
    /// # Errors
    /// If it is already held.
    pub fn hold(&mut self, origin: Origin, stages: &[u32]) -> Result<(), Refused> {
        self.canary.hold(origin.clone())?;
        self.note_in_stage(Changed::Hold, origin, stages);
        Ok(())
    }

    /// Lets the canary go on, on the word of a person.
    ///
    /// # Errors
    /// If it is not held.
    pub fn resume(&mut self, origin: Origin, stages: &[u32]) -> Result<(), Refused> {
        self.canary.resume()?;
        self.note_in_stage(Changed::Resume, origin, stages);
        Ok(())
    }

    fn note_in_stage(&mut self, what: Changed, origin: Origin, stages: &[u32]) {
        let stage = self.canary.stage_of(stages);
        self.note(Change::new(what, (stage, stage), origin));
    }

    fn end_reports(&mut self) {
        for report in self.reports.values_mut() {
            report.is_over = true;
        }
    }
}

impl Record for RolloutRecord {
    const KIND: Kind = Kind::Rollout;
    fn is_unfinished(&self) -> bool {
        true
    }
}

/// A measured run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MeasuredRecord(pub MeasuredRun);

impl MeasuredRecord {
    /// Returns the beginning of the ids of all measured runs of a repository. It is less than each of them.
    #[must_use]
    pub fn ids_of(repository: &RepositoryName) -> String {
        format!("{}#", repository.as_str().to_ascii_lowercase())
    }

    /// Returns the id of a measured run. A list of these ids in ascending order begins with the newest run.
    #[must_use]
    pub fn id(repository: &RepositoryName, created_at: DateTime<Utc>, run: RunId, attempt: u32) -> String {
        let age = u64::MAX - created_at.timestamp_millis().unsigned_abs();
        let (run, attempt) = (u64::MAX - run.0, u32::MAX - attempt);
        format!("{}{age:020}-{run:020}-{attempt:010}", Self::ids_of(repository))
    }
}

impl Record for MeasuredRecord {
    const KIND: Kind = Kind::MeasuredRun;
    fn is_unfinished(&self) -> bool {
        false
    }

    fn keep(&self, retention: Duration) -> Keep {
        Keep::For(retention.max(RETENTION_OF_MEASURED_RUNS))
    }
}

/// The routing verdicts of a repository outside its measured runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VerdictsRecord {
    pub tally: Tally,
    /// The mismatches, oldest first.
    pub mismatches: Vec<Mismatch>,
    /// The jobs that were counted last, with the verdict that they count with.
    pub recent: Vec<(JobId, Option<RoutingVerdict>)>,
    /// The service level objectives that are missed, by name. Their alert was raised.
    pub missed: BTreeSet<String>,
}

/// A change of the verdict that one job counts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountChange {
    pub job: JobId,
    pub from: Option<RoutingVerdict>,
    pub to: Option<RoutingVerdict>,
    /// True if an earlier attempt may have made this change.
    pub is_redo: bool,
}

impl VerdictsRecord {
    /// Counts a job, once although a crash can repeat the change.
    pub fn count(&mut self, change: CountChange) {
        let CountChange { job, from, to, is_redo } = change;
        let known = self.recent.iter().rev().find(|(known, _)| *known == job);
        if is_redo && known.is_some_and(|(_, counted)| *counted == to) {
            return;
        }
        if let Some(from) = from {
            self.tally.take_back(from);
        }
        if let Some(to) = to {
            self.tally.add(to);
        }
        self.recent.retain(|(known, _)| *known != job);
        self.recent.push((job, to));
        let surplus = self.recent.len().saturating_sub(MAX_RECENT);
        self.recent.drain(..surplus);
    }

    /// Adds a mismatch, once for each job.
    pub fn note(&mut self, mismatch: Mismatch) {
        if self.mismatches.iter().any(|known| known.job == mismatch.job) {
            return;
        }
        self.mismatches.push(mismatch);
        let surplus = self.mismatches.len().saturating_sub(MAX_MISMATCHES);
        self.mismatches.drain(..surplus);
    }
}

impl Record for VerdictsRecord {
    const KIND: Kind = Kind::Verdicts;
    fn is_unfinished(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::{Evidence, Phase, Trigger};
    use chrono::TimeDelta;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn cause(is_misroute: bool) -> Cause {
        let evidence = Evidence {
            summary: "too slow".to_owned(),
            items: Vec::new(),
        };
        Cause {
            trigger: Trigger::QueueWait,
            evidence,
            job: None,
            is_misroute,
        }
    }

    #[test]
    fn a_rollback_is_noted_with_its_evidence_and_ends_the_time_that_is_judged() {
        let stages = [1, 10, 25];
        let mut record = RolloutRecord::default();
        assert!(record.period().contains(at(0)), "no change of routing was seen");
        record.switched_on(at(10), Origin::unknown(at(11)), &stages);
        assert!(!record.period().contains(at(9)) && record.period().contains(at(10)));
        record.canary.stage = 2;
        record.rolled_back(&cause(false), at(20), &stages);
        assert_eq!((record.canary.stage, record.canary.phase), (1, Phase::Off));
        let change = record.history.last().expect("a change");
        assert_eq!((change.what, change.from, change.to), (Changed::Rollback, 2, 1));
        assert_eq!(change.why.as_deref(), Some("queue-wait: too slow"));
        record.switched_on(at(20), Origin::unknown(at(20)), &stages);
        assert!(
            !record.period().contains(at(20)) && record.period().contains(at(21)),
            "a run of the rollback's second is old"
        );
        record.canary.stage = 2;
        record.rolled_back(&cause(true), at(30), &stages);
        assert_eq!(record.canary.stage, 0, "a misroute begins again");
    }

    #[test]
    fn a_repeated_change_of_routing_is_noted_once() {
        let stages = [1];
        let mut record = RolloutRecord::default();
        record.switched_off(Origin::unknown(at(1)), &stages);
        assert_eq!(record.history, [], "it was never seen on");
        record.switched_on(at(2), Origin::unknown(at(2)), &stages);
        record.switched_off(Origin::unknown(at(3)), &stages);
        record.switched_off(Origin::unknown(at(4)), &stages);
        let noted: Vec<Changed> = record.history.iter().map(|change| change.what).collect();
        assert_eq!(noted, [Changed::Enable, Changed::Disable]);
        assert_eq!(record.disabled_at, Some(at(3)));
    }

    #[test]
    fn a_person_starts_the_next_stage_with_a_reason() {
        let stages = [1, 10, 25];
        let origin = Origin {
            by: Some("alice".to_owned()),
            why: Some("all green".to_owned()),
            at: at(9),
        };
        let mut record = RolloutRecord::default();
        assert_eq!(record.advance(origin.clone(), &stages), Err(Refused::Off));
        record.canary.phase = Phase::Counting;
        assert_eq!(record.advance(origin.clone(), &stages), Ok((0, 1)));
        record.canary.phase = Phase::Stopped;
        record.stopping = Some(at(1));
        record.switched_on(at(8), origin, &stages);
        assert_eq!((record.enabled_at, record.stopping), (Some(at(8)), None));
        let noted: Vec<_> = record
            .history
            .iter()
            .map(|it| (it.what, it.from, it.to, it.by.as_deref()))
            .collect();
        let by = Some("alice");
        let expected = [
            (Changed::Advance, 0, 1, by),
            (Changed::Advance, 1, 2, by),
            (Changed::Enable, 2, 2, by),
        ];
        assert_eq!(noted, expected);
    }

    #[test]
    fn a_record_of_an_earlier_version_is_readable() {
        let old: RolloutRecord = serde_json::from_str(r#"{"enabled_at":null,"history":[]}"#).expect("readable");
        assert_eq!(old, RolloutRecord::default());
    }

    #[test]
    fn a_job_counts_once_and_a_changed_verdict_moves_it() {
        let correct = CountChange {
            job: JobId(1),
            from: None,
            to: Some(RoutingVerdict::Correct),
            is_redo: false,
        };
        let mut verdicts = VerdictsRecord::default();
        verdicts.count(correct);
        verdicts.count(CountChange {
            is_redo: true,
            ..correct
        });
        let counts = |verdicts: &VerdictsRecord| (verdicts.tally.correct, verdicts.tally.wrong);
        assert_eq!(counts(&verdicts), (1, 0), "a repetition changes nothing");
        let never_made = CountChange {
            job: JobId(2),
            is_redo: true,
            ..correct
        };
        verdicts.count(never_made);
        assert_eq!(counts(&verdicts), (2, 0), "the first attempt did not change the tally");
        let wrong = CountChange {
            from: correct.to,
            to: Some(RoutingVerdict::Misroute),
            ..correct
        };
        verdicts.count(wrong);
        verdicts.count(CountChange { is_redo: true, ..wrong });
        assert_eq!(counts(&verdicts), (1, 1));
        for job in 10..2000 {
            verdicts.count(CountChange {
                job: JobId(job),
                ..correct
            });
        }
        assert_eq!(verdicts.recent.len(), MAX_RECENT);
    }

    #[test]
    fn the_newest_run_is_listed_first() {
        let repository = RepositoryName::parse("octo/Chem").expect("a name");
        let ids = [(9, 1, 2), (9, 1, 1), (8, 7, 1), (7, 9, 1), (0, 1, 1)]
            .map(|(second, run, attempt)| MeasuredRecord::id(&repository, at(second), RunId(run), attempt));
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(
            ids.iter()
                .all(|id| id.starts_with("octo/chem#") && *id > MeasuredRecord::ids_of(&repository))
        );
    }
}
