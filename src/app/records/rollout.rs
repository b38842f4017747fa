//! The record of the rollout of a repository.

use super::access::Record;
use crate::domain::rollout::{
    Canary, CanaryEvent, Cause, Change, Changed, Doubt, Intent, Origin, Period, Plan, Refused, Reports, Rollback,
    Switch,
};
use crate::ports::ledger::Kind;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Number of changes kept for each repository; the newest ones are kept.
const MAX_CHANGES: usize = 200;

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
    /// The queue waits that GitHub does not confirm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::{Phase, Trigger};
    use crate::domain::samples::{self, at};

    fn cause(is_misroute: bool) -> Cause {
        samples::cause(Trigger::QueueWait, is_misroute)
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
}
