//! One rollback, from its record to the last run that starts over on hosted runners.
//!
//! | step | event | next step |
//! |---|---|---|
//! | begun | GitHub shows the variable as off | verified |
//! | begun | the write begins | writing |
//! | begun | a person announced a change, and switched routing on | done |
//! | writing | GitHub shows the variable as off | verified |
//! | writing | a person switched routing on after the write | done |
//! | verified | the alert is raised | reported |
//! | reported | the stuck runs are listed | draining |
//! | verified, reported | a person switched routing on | done |
//! | draining | the listed stuck runs are finished, and others are found: they are listed | draining |
//! | draining | no stuck run is left | done |
//!
//! A run that jitgate has cancelled is re-run in any case, also after a person has switched routing on.

use super::stuck::{StuckEvent, StuckRun, StuckState};
use super::trigger::{Cause, Trigger};
use crate::domain::ids::RunId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Maximum number of stuck runs of one rollback. Runs beyond it are handled when their jobs are decided on again.
const MAX_LISTED_RUNS: usize = 2000;
/// Time after which a write that fails is reported.
const FAILURE_REPORT_DELAY: TimeDelta = TimeDelta::seconds(10);

/// A rollback of self-hosted routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    pub cause: Cause,
    pub at: DateTime<Utc>,
    /// The run that was routed wrongly, if that is the cause.
    pub run: Option<RunId>,
    pub step: RollbackStep,
    /// The `updated_at` of the variable before jitgate's write.
    pub before: Option<DateTime<Utc>>,
    /// Number of failed attempts at the current step.
    #[serde(default)]
    pub attempts: u32,
    /// The earliest time of the next attempt.
    pub not_before: Option<DateTime<Utc>>,
    /// True if a person has switched routing on since.
    #[serde(default)]
    pub is_overruled: bool,
    /// The stuck runs of the current list.
    #[serde(default)]
    pub stuck: Vec<StuckRun>,
    /// The runs and attempts of earlier lists.
    #[serde(default)]
    pub finished: Vec<(RunId, u32)>,
    /// The failure to switch routing off, while it lasts.
    #[serde(default)]
    pub failing: Option<Failing>,
}

/// A write of the variable that fails again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    pub since: DateTime<Utc>,
    /// The latest failure.
    pub what: String,
    /// True if the alert is raised.
    #[serde(default)]
    pub is_reported: bool,
}

/// A step of a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackStep {
    /// The rollback is recorded, and nothing is sent to GitHub yet.
    Begun,
    /// The variable may have been written.
    Writing,
    /// GitHub shows the variable as off.
    Verified,
    /// The alert is raised.
    Reported,
    /// The stuck runs are listed and start over one after the other.
    Draining,
    Done,
}

/// An event of a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RollbackEvent {
    WriteBegins,
    ShownOff,
    SwitchedOn,
    Reported,
    Listed,
    Drained,
}

impl RollbackStep {
    /// All steps.
    pub const ALL: [Self; 6] = [
        Self::Begun,
        Self::Writing,
        Self::Verified,
        Self::Reported,
        Self::Draining,
        Self::Done,
    ];

    /// Returns the step after an event, or none if the event changes nothing.
    #[must_use]
    pub fn after(self, event: RollbackEvent) -> Option<Self> {
        use RollbackEvent::{Drained, Listed, ShownOff, SwitchedOn, WriteBegins};
        Some(match (self, event) {
            (Self::Begun, WriteBegins) => Self::Writing,
            (Self::Begun | Self::Writing, ShownOff) => Self::Verified,
            (Self::Begun | Self::Writing | Self::Verified | Self::Reported, SwitchedOn) => Self::Done,
            (Self::Verified, RollbackEvent::Reported) => Self::Reported,
            (Self::Reported, Listed) => Self::Draining,
            (Self::Draining, Drained) => Self::Done,
            _ => return None,
        })
    }
}

impl RollbackEvent {
    /// All events.
    pub const ALL: [Self; 6] = [
        Self::WriteBegins,
        Self::ShownOff,
        Self::SwitchedOn,
        Self::Reported,
        Self::Listed,
        Self::Drained,
    ];
}

impl Rollback {
    /// Returns a rollback without any effect yet.
    #[must_use]
    pub fn begun(cause: Cause, at: DateTime<Utc>) -> Self {
        let first = cause.evidence.items.first();
        let run = first
            .filter(|_| cause.trigger == Trigger::RouteMismatch)
            .and_then(|item| item.run);
        Self {
            cause,
            at,
            run,
            step: RollbackStep::Begun,
            before: None,
            attempts: 0,
            not_before: None,
            is_overruled: false,
            stuck: Vec::new(),
            finished: Vec::new(),
            failing: None,
        }
    }

    /// Applies an event. Returns false if it changes nothing.
    pub fn advance(&mut self, event: RollbackEvent) -> bool {
        let Some(step) = self.step.after(event) else {
            return false;
        };
        self.step = step;
        self.attempts = 0;
        if !self.must_still_write() {
            self.failing = None;
        }
        self.not_before = None;
        true
    }

    /// Notes that a step failed. While routing must still be switched off, the failure is kept.
    pub fn fail(&mut self, what: &str, retry_after: TimeDelta, now: DateTime<Utc>) {
        let mut retry_after = retry_after;
        if self.must_still_write() {
            let failing = self.failing.get_or_insert_with(|| Failing {
                since: now,
                what: String::new(),
                is_reported: false,
            });
            what.clone_into(&mut failing.what);
            let report_in = failing.since + FAILURE_REPORT_DELAY - now;
            if report_in > TimeDelta::zero() {
                retry_after = retry_after.min(report_in);
            }
        }
        self.attempts += 1;
        self.not_before = Some(now + retry_after);
    }

    /// Returns the failure that is due for a report.
    #[must_use]
    pub fn unreported_failure(&self, now: DateTime<Utc>) -> Option<&Failing> {
        let is_due = |failing: &&Failing| !failing.is_reported && now - failing.since >= FAILURE_REPORT_DELAY;
        self.failing
            .as_ref()
            .filter(|failing| self.must_still_write() && is_due(failing))
    }

    fn must_still_write(&self) -> bool {
        matches!(self.step, RollbackStep::Begun | RollbackStep::Writing)
    }

    /// Reports whether the run is or was in a list of this rollback.
    #[must_use]
    pub fn has_listed(&self, run: RunId, attempt: u32) -> bool {
        let is_it = |stuck: &StuckRun| (stuck.run, stuck.attempt) == (run, attempt);
        self.stuck.iter().any(is_it) || self.finished.contains(&(run, attempt))
    }

    /// Reports whether the current list is finished, and another one may be made.
    #[must_use]
    pub fn may_list_again(&self) -> bool {
        let is_finished = self.stuck.iter().all(|stuck| stuck.state.is_final());
        let listed = self.finished.len() + self.stuck.len();
        is_finished && !self.is_overruled && self.step == RollbackStep::Draining && listed < MAX_LISTED_RUNS
    }

    /// Replaces a finished list by the next one.
    pub fn list_next(&mut self, found: Vec<StuckRun>) {
        let finished = std::mem::replace(&mut self.stuck, found);
        self.finished
            .extend(finished.iter().map(|stuck| (stuck.run, stuck.attempt)));
    }

    /// Notes that a person switched routing on. Runs that are not cancelled yet are left alone.
    pub fn overrule(&mut self, now: DateTime<Utc>) {
        self.is_overruled = true;
        self.advance(RollbackEvent::SwitchedOn);
        for stuck in &mut self.stuck {
            if stuck.state == StuckState::Found {
                stuck.advance(StuckEvent::Left, now);
            }
        }
    }

    /// Reports whether routing is off because of this rollback, as far as is known.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        !self.is_overruled
    }

    /// Reports whether the latch of this time ends with this rollback: a person has overruled it, and no later one has
    /// renewed the latch.
    #[must_use]
    pub fn ends_latch(&self, latched_at: DateTime<Utc>) -> bool {
        !self.is_in_force() && latched_at <= self.at
    }

    /// Reports whether this rollback may take the place of an earlier one that keeps routing off: only another run that
    /// was routed wrongly is news then.
    #[must_use]
    pub fn may_replace(&self, earlier: &Self) -> bool {
        !earlier.is_unfinished() && self.run.is_some() && self.run != earlier.run
    }

    /// Returns the stuck runs that are cancelled and not yet re-run.
    #[must_use]
    pub fn into_cancelled(self) -> Vec<StuckRun> {
        let is_cancelled = |stuck: &StuckRun| matches!(stuck.state, StuckState::Cancelling | StuckState::Over);
        self.stuck.into_iter().filter(is_cancelled).collect()
    }

    /// Reports whether work is left.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.step != RollbackStep::Done
    }

    /// Reports whether the next attempt may be made.
    #[must_use]
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.is_unfinished() && self.not_before.is_none_or(|at| at <= now)
    }

    /// Reports whether a variable that GitHub shows as on was switched on after jitgate's write. GitHub's own clock
    /// decides.
    #[must_use]
    pub fn is_overruled_by(&self, on_since: Option<DateTime<Utc>>) -> bool {
        match (self.step, self.before, on_since) {
            (RollbackStep::Begun, ..) | (.., None) => false,
            (_, None, Some(_)) => true,
            (_, Some(before), Some(on_since)) => on_since > before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::JobId;
    use crate::domain::rollout::{Evidence, EvidenceItem};
    use crate::domain::samples::{at, stuck_run};
    use crate::domain::transition_table::assert_complete;

    #[test]
    fn the_table_of_steps_is_complete() {
        use RollbackEvent as E;
        use RollbackStep as S;
        let table = [
            (S::Begun, E::ShownOff, S::Verified),
            (S::Begun, E::WriteBegins, S::Writing),
            (S::Begun, E::SwitchedOn, S::Done),
            (S::Writing, E::ShownOff, S::Verified),
            (S::Writing, E::SwitchedOn, S::Done),
            (S::Verified, E::Reported, S::Reported),
            (S::Verified, E::SwitchedOn, S::Done),
            (S::Reported, E::Listed, S::Draining),
            (S::Reported, E::SwitchedOn, S::Done),
            (S::Draining, E::Drained, S::Done),
        ];
        assert_complete(&S::ALL, &E::ALL, S::after, &table);
        assert!(
            table.iter().all(|(step, _, next)| next > step),
            "a rollback only advances"
        );
        for step in S::ALL {
            let has_next = E::ALL.iter().any(|event| step.after(*event).is_some());
            assert_eq!(has_next, step != S::Done, "{step:?}");
        }
    }

    fn rollback(step: RollbackStep) -> Rollback {
        let item = EvidenceItem {
            run: Some(RunId(20)),
            ..EvidenceItem::default()
        };
        let cause = Cause {
            trigger: Trigger::RouteMismatch,
            evidence: Evidence {
                summary: "a reason".to_owned(),
                items: vec![item],
            },
            job: Some(JobId(101)),
            is_misroute: false,
        };
        Rollback {
            step,
            before: Some(at(50)),
            stuck: vec![stuck_run(StuckState::Found), stuck_run(StuckState::Cancelling)],
            ..Rollback::begun(cause, at(100))
        }
    }

    #[test]
    fn only_another_misrouted_run_is_news_while_routing_is_off() {
        let done = rollback(RollbackStep::Done);
        let mut other = rollback(RollbackStep::Begun);
        assert!(!other.may_replace(&done), "it is the same run");
        other.run = Some(RunId(30));
        assert!(other.may_replace(&done));
        assert!(!other.may_replace(&rollback(RollbackStep::Draining)));
        other.run = None;
        assert!(!other.may_replace(&done));
        assert_eq!(done.into_cancelled(), [stuck_run(StuckState::Cancelling)]);
    }

    #[test]
    fn only_a_change_after_the_write_overrules_a_rollback() {
        for (step, on_since, is_overruled) in [
            (RollbackStep::Begun, Some(60), false),
            (RollbackStep::Writing, Some(50), false),
            (RollbackStep::Writing, Some(51), true),
            (RollbackStep::Writing, None, false),
            (RollbackStep::Done, Some(51), true),
        ] {
            let overruled = rollback(step).is_overruled_by(on_since.map(at));
            assert_eq!(overruled, is_overruled, "{step:?} {on_since:?}");
        }
        let mut found_off = rollback(RollbackStep::Verified);
        found_off.before = None;
        assert!(found_off.is_overruled_by(Some(at(1))) && !found_off.is_overruled_by(None));
    }

    #[test]
    fn only_an_overruled_rollback_ends_its_own_latch() {
        let mut done = rollback(RollbackStep::Done);
        assert!(!done.ends_latch(at(100)), "it keeps routing off");
        done.overrule(at(200));
        assert!(done.ends_latch(at(100)) && done.ends_latch(at(99)));
        assert!(!done.ends_latch(at(101)), "that is the latch of a later rollback");
    }

    #[test]
    fn an_overruled_rollback_still_re_runs_what_it_has_cancelled() {
        let mut draining = rollback(RollbackStep::Draining);
        draining.overrule(at(200));
        assert!(draining.is_unfinished() && !draining.is_in_force());
        let states: Vec<StuckState> = draining.stuck.iter().map(|stuck| stuck.state).collect();
        assert_eq!(states, [StuckState::Left, StuckState::Cancelling]);
        let mut verified = rollback(RollbackStep::Verified);
        verified.overrule(at(200));
        assert_eq!(verified.step, RollbackStep::Done);
    }

    #[test]
    fn a_failed_attempt_waits_for_its_time() {
        let mut writing = rollback(RollbackStep::Writing);
        assert!(writing.is_due(at(100)));
        writing.not_before = Some(at(101));
        assert!(!writing.is_due(at(100)) && writing.is_due(at(101)));
        assert!(writing.advance(RollbackEvent::ShownOff) && writing.is_due(at(100)));
        assert!(!rollback(RollbackStep::Done).is_due(at(1000)));
    }

    #[test]
    fn stuck_runs_are_listed_again_until_none_is_left_within_a_bound() {
        let mut draining = rollback(RollbackStep::Draining);
        assert!(!draining.may_list_again(), "the first list is not finished");
        draining.stuck = vec![stuck_run(StuckState::Rerun), stuck_run(StuckState::Left)];
        assert!(draining.may_list_again());
        let next = StuckRun {
            run: RunId(21),
            ..stuck_run(StuckState::Found)
        };
        draining.list_next(vec![next.clone()]);
        assert_eq!(draining.stuck, [next]);
        assert!(draining.has_listed(RunId(20), 1) && draining.has_listed(RunId(21), 1));
        assert!(!draining.has_listed(RunId(20), 2) && !draining.has_listed(RunId(22), 1));
        draining.stuck.clear();
        let mut overruled = draining.clone();
        overruled.overrule(at(200));
        assert!(!overruled.may_list_again());
        draining.finished = vec![(RunId(20), 1); MAX_LISTED_RUNS];
        assert!(!draining.may_list_again());
    }

    #[test]
    fn a_failing_write_is_due_for_a_report_after_ten_seconds_once() {
        let mut writing = rollback(RollbackStep::Begun);
        for second in [0, 1, 3, 7] {
            writing.fail("403", TimeDelta::seconds(8), at(second));
            assert_eq!(writing.unreported_failure(at(second)), None, "{second}");
        }
        assert_eq!(writing.not_before, Some(at(10)), "the attempt at the limit is not late");
        writing.fail("404", TimeDelta::seconds(15), at(10));
        let due = writing.unreported_failure(at(10)).cloned().expect("a failure");
        assert_eq!((due.since, due.what.as_str()), (at(0), "404"));
        assert_eq!((writing.not_before, writing.attempts), (Some(at(25)), 5));
        writing.failing = Some(Failing {
            is_reported: true,
            ..due
        });
        assert_eq!(writing.unreported_failure(at(25)), None);
        assert!(writing.advance(RollbackEvent::WriteBegins) && writing.failing.is_some());
        assert!(writing.advance(RollbackEvent::ShownOff) && writing.failing.is_none());
        writing.fail("500", TimeDelta::seconds(1), at(30));
        assert_eq!(writing.failing, None, "routing is off");
    }
}
