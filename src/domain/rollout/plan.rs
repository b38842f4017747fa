//! The next steps of a rollout: a rollback in `enforce`, a report of it in `observe`, or the walk of the canary.

use super::canary::{Canary, CanaryEvent, Phase, Walked};
use super::change::{Change, Changed, Origin};
use super::policy::RolloutPolicy;
use super::trigger::{Cause, Judgement, Trigger};
use crate::domain::policy::Mode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rollbacks that the mode `observe` reports, since routing was last switched on.
pub type Reports = BTreeMap<Trigger, Report>;

/// The report of a rollback that the mode `observe` does not execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub at: DateTime<Utc>,
    /// The evidence when the trigger was first hit.
    pub summary: String,
    /// True if the trigger is hit now.
    pub stands: bool,
    /// True if the alert is open.
    pub told: bool,
    /// True if routing was switched since. A trigger that is hit again is then reported again.
    pub is_over: bool,
}

impl Report {
    /// Returns true if the alert should be open. The decision has already raised an alert about a route mismatch.
    #[must_use]
    pub fn needs_alert(&self, trigger: Trigger) -> bool {
        self.stands && !self.is_over && trigger != Trigger::RouteMismatch
    }
}

/// Everything that the plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub mode: Mode,
    pub policy: &'a RolloutPolicy,
    pub judgements: &'a [Judgement],
    /// The pull requests with an outcome since routing was last switched on, in the order of their first runs.
    pub decided: &'a [u64],
    pub now: DateTime<Utc>,
}

/// The next steps, and the state after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub canary: Canary,
    pub reports: Reports,
    /// The changes for the history.
    pub changes: Vec<Change>,
    /// The trigger that switches routing off.
    pub roll_back: Option<Cause>,
    /// True if routing is switched off until a person starts the next stage.
    pub stop: bool,
}

/// Plans the next steps of a rollout.
#[must_use]
pub fn plan(canary: &Canary, reports: &Reports, situation: &Situation<'_>) -> Plan {
    let mut plan = Plan {
        canary: canary.clone(),
        reports: reports.clone(),
        changes: Vec::new(),
        roll_back: None,
        stop: false,
    };
    let is_hit = |judgement: &&Judgement| judgement.hit && canary.phase.is_on();
    let hits = situation.judgements.iter().filter(is_hit);
    // A misroute comes first, because the canary then begins again.
    let worst = hits.clone().find(|hit| hit.cause.is_misroute).or(hits.clone().next());
    if situation.mode == Mode::Enforce
        && let Some(worst) = worst
    {
        plan.roll_back = Some(worst.cause.clone());
        return plan;
    }
    plan.report(hits.clone(), situation);
    plan.walk(hits.count() > 0, situation);
    plan
}

impl Plan {
    /// Reports each trigger once between two changes of routing.
    fn report<'a>(&mut self, hits: impl Iterator<Item = &'a Judgement> + Clone, situation: &Situation<'_>) {
        let stages = &situation.policy.stages;
        for (trigger, report) in &mut self.reports {
            report.stands = hits.clone().any(|hit| hit.cause.trigger == *trigger);
        }
        // The open alert of an earlier report ends first.
        self.reports.retain(|_, report| !report.is_over || report.told);
        for hit in hits {
            let Cause { trigger, evidence, .. } = &hit.cause;
            if self.reports.contains_key(trigger) {
                continue;
            }
            let mut after = self.canary.clone();
            let stage = after.stage_of(stages);
            let moved = match hit.cause.is_misroute {
                true => after.fall_to_smoke(stages),
                false => after.apply(CanaryEvent::RollBack, stages).unwrap_or((stage, stage)),
            };
            self.changes.push(Change {
                would: true,
                ..Change::new(
                    Changed::Rollback,
                    moved,
                    Origin::ourselves(&hit.cause.in_words(), situation.now),
                )
            });
            let report = Report {
                at: situation.now,
                summary: evidence.summary.clone(),
                stands: true,
                told: false,
                is_over: false,
            };
            self.reports.insert(*trigger, report);
        }
    }

    fn walk(&mut self, is_hit: bool, situation: &Situation<'_>) {
        let Situation { policy, now, .. } = *situation;
        for walked in self.canary.walk(policy, situation.decided, is_hit) {
            match walked {
                Walked::Advanced(from, to) => {
                    let why = format!("stage {from} is complete and no trigger is hit");
                    let origin = Origin::ourselves(&why, now);
                    self.changes.push(Change::new(Changed::Advance, (from, to), origin));
                }
                Walked::Completed(stage) if situation.mode == Mode::Observe => self.changes.push(Change {
                    would: true,
                    ..planned_stop(stage, now)
                }),
                Walked::Completed(_) => {}
            }
        }
        let must_stop = situation.mode == Mode::Enforce && self.canary.phase == Phase::Complete;
        if must_stop && let Some((stage, _)) = self.canary.apply(CanaryEvent::SwitchOff, &policy.stages) {
            self.changes.push(planned_stop(stage, now));
            self.stop = true;
        }
    }
}

fn planned_stop(stage: usize, now: DateTime<Utc>) -> Change {
    let why = format!("stage {stage} is complete; `jitgate rollout advance` starts the next one");
    Change::new(Changed::Disable, (stage, stage), Origin::ourselves(&why, now))
}

impl Cause {
    /// Returns the trigger with its evidence, for the history.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("{}: {}", self.trigger.as_str(), self.evidence.summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::domain::samples;

    fn policy(advances_manually: bool) -> RolloutPolicy {
        RolloutPolicy {
            advances_manually,
            ..samples::rollout_policy()
        }
    }

    fn judgement(trigger: Trigger, hit: bool, is_misroute: bool) -> Judgement {
        Judgement {
            cause: samples::cause(trigger, is_misroute),
            judged: true,
            hit,
        }
    }

    fn canary(stage: usize, phase: Phase) -> Canary {
        Canary {
            stage,
            phase,
            ..Canary::default()
        }
    }

    struct Case {
        mode: Mode,
        policy: RolloutPolicy,
        judgements: Vec<Judgement>,
        decided: Vec<u64>,
    }

    fn case(mode: Mode, judgements: Vec<Judgement>, decided: Vec<u64>) -> Case {
        Case {
            mode,
            policy: policy(false),
            judgements,
            decided,
        }
    }

    fn manual(mode: Mode) -> Case {
        Case {
            policy: policy(true),
            ..case(mode, vec![], vec![1])
        }
    }

    impl Case {
        fn plan(&self, canary: &Canary, reports: &Reports) -> Plan {
            let situation = Situation {
                mode: self.mode,
                policy: &self.policy,
                judgements: &self.judgements,
                decided: &self.decided,
                now: DateTime::UNIX_EPOCH,
            };
            plan(canary, reports, &situation)
        }
    }

    fn in_short(plan: &Plan) -> Vec<(Changed, usize, usize, bool)> {
        let short = |change: &Change| (change.what, change.from, change.to, change.would);
        plan.changes.iter().map(short).collect()
    }

    #[test]
    fn enforce_rolls_back_and_does_not_count_meanwhile() {
        let hit = judgement(Trigger::QueueWait, true, false);
        let on = canary(1, Phase::Counting);
        let plan = case(Mode::Enforce, vec![hit.clone()], vec![1]).plan(&on, &Reports::new());
        assert_eq!((plan.roll_back, plan.canary), (Some(hit.cause.clone()), on));
        assert_eq!(plan.changes, []);
        let misroute = judgement(Trigger::RouteMismatch, true, true);
        let both = case(Mode::Enforce, vec![hit.clone(), misroute.clone()], vec![]);
        let plan = both.plan(&canary(1, Phase::Counting), &Reports::new());
        assert_eq!(plan.roll_back, Some(misroute.cause), "the worst one comes first");
        for phase in [Phase::Off, Phase::Stopped] {
            let off = case(Mode::Enforce, vec![hit.clone()], vec![]).plan(&canary(1, phase), &Reports::new());
            assert_eq!((off.roll_back, off.changes), (None, vec![]), "routing is off");
        }
    }

    #[test]
    fn observe_reports_a_trigger_once_and_keeps_its_stage() {
        let on = canary(2, Phase::Counting);
        for (trigger, is_misroute, to, alerts) in [
            (Trigger::BootFailures, false, 1, true),
            (Trigger::RouteMismatch, false, 1, false),
            (Trigger::RouteMismatch, true, 0, false),
        ] {
            let case = case(Mode::Observe, vec![judgement(trigger, true, is_misroute)], vec![]);
            let first = case.plan(&on, &Reports::new());
            assert_eq!(in_short(&first), [(Changed::Rollback, 2, to, true)]);
            assert_eq!((&first.roll_back, &first.canary), (&None, &on));
            let report = &first.reports[&trigger];
            assert_eq!(report.needs_alert(trigger), alerts, "the decision raises its own");
            assert_eq!(case.plan(&on, &first.reports).changes, [], "once");
        }
    }

    #[test]
    fn a_report_lasts_as_long_as_its_trigger_and_returns_after_the_next_enable() {
        let on = canary(1, Phase::Counting);
        let hit = case(Mode::Observe, vec![judgement(Trigger::QueueWait, true, false)], vec![]);
        let mut reports = hit.plan(&on, &Reports::new()).reports;
        for report in reports.values_mut() {
            report.told = true;
        }
        let better = case(Mode::Observe, vec![judgement(Trigger::QueueWait, false, false)], vec![]).plan(&on, &reports);
        assert!(!better.reports[&Trigger::QueueWait].needs_alert(Trigger::QueueWait));
        assert!(better.reports[&Trigger::QueueWait].told, "its alert ends first");
        for report in reports.values_mut() {
            report.is_over = true;
        }
        let waits = hit.plan(&on, &reports);
        assert_eq!(waits.changes, [], "the alert of the last report is still open");
        for report in reports.values_mut() {
            report.told = false;
        }
        let again = hit.plan(&on, &reports);
        assert_eq!(in_short(&again), [(Changed::Rollback, 1, 0, true)]);
        assert!(again.reports[&Trigger::QueueWait].needs_alert(Trigger::QueueWait));
    }

    #[test]
    fn a_complete_stage_is_followed_by_the_next() {
        let first = case(
            Mode::Enforce,
            vec![judgement(Trigger::QueueWait, false, false)],
            vec![7],
        );
        let plan = first.plan(&canary(0, Phase::Counting), &Reports::new());
        assert_eq!(in_short(&plan), [(Changed::Advance, 0, 1, false)]);
        assert_eq!((plan.canary.stage, plan.stop), (1, false));
        let hit = case(Mode::Observe, vec![judgement(Trigger::QueueWait, true, false)], vec![7]);
        let plan = hit.plan(&canary(0, Phase::Counting), &Reports::new());
        assert_eq!((plan.canary.stage, plan.canary.progress), (0, 1), "a trigger is hit");
    }

    #[test]
    fn a_person_starts_the_next_stage_and_routing_is_off_meanwhile() {
        let on = canary(0, Phase::Counting);
        let enforced = manual(Mode::Enforce).plan(&on, &Reports::new());
        assert_eq!((enforced.canary.phase, enforced.stop), (Phase::Stopped, true));
        assert_eq!(in_short(&enforced), [(Changed::Disable, 0, 0, false)]);
        let again = manual(Mode::Enforce).plan(&enforced.canary, &Reports::new());
        assert_eq!((again.stop, again.changes), (false, vec![]));
        let observed = manual(Mode::Observe).plan(&on, &Reports::new());
        assert_eq!((observed.canary.phase, observed.stop), (Phase::Complete, false));
        assert_eq!(in_short(&observed), [(Changed::Disable, 0, 0, true)]);
        assert_eq!(
            manual(Mode::Observe).plan(&observed.canary, &Reports::new()).changes,
            []
        );
        let enforced = manual(Mode::Enforce).plan(&observed.canary, &Reports::new());
        assert!(enforced.stop, "the mode has changed");
    }
}
