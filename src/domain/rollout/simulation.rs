//! A simulated rollout over recorded runs: the walk of the canary, and the rollbacks that the triggers would have caused.
//!
//! The runs are replayed moment by moment with the rules of a live rollout in the mode `enforce`. A person is needed
//! after a rollback and, with manual stages, after a stage; the simulation assumes this person just before the next run.
//! The trigger `offline` is not simulated, because runs do not show runners without a job.

use super::canary::{Canary, CanaryEvent, Phase};
use super::change::{Change, Changed, Origin};
use super::lifecycle::Lifecycle;
use super::measure::{MeasuredJob, MeasuredRun, Mismatch};
use super::plan::{Reports, Situation, plan};
use super::policy::RolloutPolicy;
use super::trigger::{Cause, Evidence, Trigger};
use super::triggers::{Grounds, Period, Waits, decided, judge};
use crate::domain::policy::Mode;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Number of runs that a live rollout looks at; the newest ones are used.
const MAX_RUNS: usize = 256;
/// The person that the simulation assumes.
const ASSUMED: &str = "assumed";

/// The recorded runs and mismatches of a repository.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// In any order.
    pub runs: &'a [MeasuredRun],
    pub mismatches: &'a [Mismatch],
    /// The end of the recorded time.
    pub until: DateTime<Utc>,
}

/// The course of a simulated rollout.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulation {
    /// The changes, the oldest first.
    pub timeline: Vec<Step>,
    pub totals: Totals,
    /// The stage at the end, from 0.
    pub stage: usize,
    /// The number of pull requests in that stage, or none for the last one.
    pub stage_size: Option<u32>,
    /// The pull requests that were counted in that stage.
    pub progress: u32,
}

/// A change of a simulated rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub at: DateTime<Utc>,
    pub what: Changed,
    /// The stage before the change, from 0.
    pub from: usize,
    /// The stage after the change.
    pub to: usize,
    /// `jitgate`, or `assumed` for the act of a person.
    pub by: Option<String>,
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// The sums of a simulated rollout.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    pub runs: usize,
    pub pull_requests: usize,
    /// The creation time of the first run.
    pub from: Option<DateTime<Utc>>,
    /// The end of the recorded time.
    pub until: Option<DateTime<Utc>>,
    pub advances: usize,
    /// The number of rollbacks by each trigger that caused one.
    pub rollbacks: BTreeMap<&'static str, usize>,
    /// The highest stage that was reached.
    pub highest_stage: usize,
    /// The number of times that a person switched routing on, without the first one.
    pub assumed_enables: usize,
}

/// Replays recorded runs under this policy.
#[must_use]
pub fn simulate(recorded: &Recorded<'_>, policy: &RolloutPolicy) -> Simulation {
    let mut runs: Vec<&MeasuredRun> = recorded.runs.iter().collect();
    runs.sort_by_key(|run| run.order());
    let mut rollout = Rollout {
        policy,
        mismatches: recorded.mismatches,
        canary: Canary::default(),
        period: Period::default(),
        steps: Vec::new(),
    };
    let mut begun = 0;
    for moment in moments(&runs, recorded, policy) {
        while let Some(run) = runs.get(begun).filter(|run| run.created_at <= moment) {
            rollout.begin(run.created_at);
            begun += 1;
        }
        let seen = runs.get(..begun).unwrap_or_default();
        let newest = seen.get(seen.len().saturating_sub(MAX_RUNS)..).unwrap_or_default();
        rollout.pass(newest, moment);
    }
    rollout.finish(recorded)
}

/// Returns the moments at which a judgement can change, in order.
fn moments(runs: &[&MeasuredRun], recorded: &Recorded<'_>, policy: &RolloutPolicy) -> BTreeSet<DateTime<Utc>> {
    let mut moments = BTreeSet::new();
    for run in runs {
        moments.insert(run.created_at);
        for job in run.jobs.values() {
            moments.extend(job.started_at);
            moments.extend(known_at(job, run.created_at));
            moments.insert(too_late_at(job, run.created_at, policy));
        }
    }
    moments.extend(recorded.mismatches.iter().map(|mismatch| mismatch.at));
    moments.split_off(&(recorded.until + TimeDelta::milliseconds(1)));
    moments
}

/// Returns the time at which the outcome of a job is known, or none if it is not over.
fn known_at(job: &MeasuredJob, run_created_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let last = job.ended_at.or(job.started_at).or(job.created_at);
    job.lifecycle.is_over().then(|| last.unwrap_or(run_created_at))
}

/// Returns the time from which the wait of a job exceeds the limit.
fn too_late_at(job: &MeasuredJob, run_created_at: DateTime<Utc>, policy: &RolloutPolicy) -> DateTime<Utc> {
    let lag = job.parts.delivery_lag_ms.filter(|_| policy.exclude_delivery_lag);
    let lag = i64::try_from(lag.unwrap_or_default()).unwrap_or_default();
    let limit = policy.queue_wait_p95 + TimeDelta::milliseconds(lag.saturating_add(1));
    job.created_at.unwrap_or(run_created_at) + limit
}

/// Returns a run as it was known at a moment.
fn as_of(run: &MeasuredRun, now: DateTime<Utc>) -> MeasuredRun {
    let mut seen = run.clone();
    seen.jobs
        .retain(|_, job| job.created_at.is_none_or(|created_at| created_at <= now));
    for job in seen.jobs.values_mut() {
        // Such a job never waited for a runner of the pool, or never received one.
        let is_apart = matches!(job.lifecycle, Lifecycle::Denied | Lifecycle::Elsewhere);
        if is_apart || known_at(job, run.created_at).is_some_and(|at| at <= now) {
            continue;
        }
        job.started_at = job.started_at.filter(|at| *at <= now);
        job.ended_at = None;
        job.lifecycle = match job.started_at {
            Some(_) => Lifecycle::Running,
            None => Lifecycle::Waiting,
        };
    }
    seen
}

/// The state of a simulated rollout.
struct Rollout<'a> {
    policy: &'a RolloutPolicy,
    mismatches: &'a [Mismatch],
    canary: Canary,
    period: Period,
    steps: Vec<Step>,
}

impl Rollout<'_> {
    /// Switches routing on for a run, if it is off.
    fn begin(&mut self, created_at: DateTime<Utc>) {
        let is_new = self.period.disabled_at.is_none_or(|off| created_at > off);
        if self.canary.phase.is_on() || !is_new {
            return;
        }
        let stages = &self.policy.stages;
        let (event, what, why) = match self.canary.phase {
            Phase::Stopped => (
                CanaryEvent::Advance,
                Changed::Advance,
                "a person starts the next stage before the next run",
            ),
            _ if self.steps.is_empty() => (
                CanaryEvent::SwitchOn,
                Changed::Enable,
                "routing is on from the first run",
            ),
            _ => (
                CanaryEvent::SwitchOn,
                Changed::Enable,
                "a person switches routing on before the next run",
            ),
        };
        if let Some(moved) = self.canary.apply(event, stages) {
            let origin = Origin {
                by: Some(ASSUMED.to_owned()),
                why: Some(why.to_owned()),
                at: created_at,
            };
            self.note(Change::new(what, moved, origin), None);
        }
        self.period.enabled_at = Some(created_at);
    }

    /// Judges the runs of a moment, and acts like a live rollout.
    fn pass(&mut self, runs: &[&MeasuredRun], now: DateTime<Utc>) {
        if !self.canary.phase.is_on() {
            return;
        }
        let runs: Vec<MeasuredRun> = runs
            .iter()
            .filter(|run| self.period.contains(run.created_at))
            .map(|run| as_of(run, now))
            .collect();
        let known = self.mismatches.iter().filter(|mismatch| mismatch.at <= now);
        let mismatches: Vec<Mismatch> = known.cloned().collect();
        let grounds = Grounds {
            period: self.period,
            runs: &runs,
            mismatches: &mismatches,
            outage: None,
            waits: Waits::Reported,
            now,
        };
        let situation = Situation {
            mode: Mode::Enforce,
            policy: self.policy,
            judgements: &judge(self.policy, &grounds),
            decided: &decided(self.period, &runs),
            now,
        };
        let next = plan(&self.canary, &Reports::new(), &situation);
        self.canary = next.canary;
        for change in next.changes {
            self.note(change, None);
        }
        if let Some(cause) = next.roll_back {
            self.roll_back(cause, now);
        }
        if next.stop {
            self.period.disabled_at = Some(now);
        }
    }

    fn roll_back(&mut self, cause: Cause, now: DateTime<Utc>) {
        let stages = &self.policy.stages;
        let stage = self.canary.stage_of(stages);
        let moved = match cause.is_misroute {
            true => self.canary.fall_to_smoke(stages),
            false => self
                .canary
                .apply(CanaryEvent::RollBack, stages)
                .unwrap_or((stage, stage)),
        };
        self.period.disabled_at = Some(now);
        let origin = Origin::ourselves(&cause.in_words(), now);
        self.note(Change::new(Changed::Rollback, moved, origin), Some(cause));
    }

    fn note(&mut self, change: Change, cause: Option<Cause>) {
        let (trigger, evidence) = cause.map(|cause| (cause.trigger, cause.evidence)).unzip();
        self.steps.push(Step {
            at: change.at,
            what: change.what,
            from: change.from,
            to: change.to,
            by: change.by,
            why: change.why,
            trigger,
            evidence,
        });
    }

    fn finish(self, recorded: &Recorded<'_>) -> Simulation {
        let stages = &self.policy.stages;
        let numbers: BTreeSet<u64> = recorded.runs.iter().map(|run| run.pull_request).collect();
        let count = |what: Changed| self.steps.iter().filter(|step| step.what == what).count();
        let mut rollbacks = BTreeMap::new();
        for trigger in self.steps.iter().filter_map(|step| step.trigger) {
            *rollbacks.entry(trigger.as_str()).or_default() += 1;
        }
        let totals = Totals {
            runs: recorded.runs.len(),
            pull_requests: numbers.len(),
            from: recorded.runs.iter().map(|run| run.created_at).min(),
            until: Some(recorded.until),
            advances: count(Changed::Advance),
            rollbacks,
            highest_stage: self.steps.iter().map(|step| step.to).max().unwrap_or_default(),
            assumed_enables: count(Changed::Enable).saturating_sub(1),
        };
        Simulation {
            totals,
            stage: self.canary.stage_of(stages),
            stage_size: self.canary.stage_size(stages),
            progress: self.canary.progress,
            timeline: self.steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{JobId, RunId};
    use crate::domain::rollout::{Tally, WaitParts};
    use crate::domain::routing_verdict::RoutingVerdict;
    use crate::domain::samples::{at, rollout_policy as policy};

    /// A run of pull request `number`, created every 1000 s, whose job waits and then runs for 100 s.
    fn ran(number: u64, wait: i64) -> MeasuredRun {
        let created = i64::try_from(number).expect("a small number") * 1000;
        let job = MeasuredJob {
            verdict: RoutingVerdict::Correct,
            created_at: Some(at(created)),
            started_at: Some(at(created + wait)),
            ended_at: Some(at(created + wait + 100)),
            parts: WaitParts::default(),
            setup_ms: None,
            lifecycle: Lifecycle::Success,
            live: None,
        };
        MeasuredRun {
            run: RunId(number * 100),
            attempt: 1,
            pull_request: number,
            created_at: at(created),
            jobs: [(JobId(number * 100 + 1), job)].into(),
            tally_before: Tally::default(),
        }
    }

    fn failed(number: u64) -> MeasuredRun {
        let mut run = ran(number, 0);
        for job in run.jobs.values_mut() {
            job.started_at = None;
            job.lifecycle = Lifecycle::BootFailed;
        }
        run
    }

    fn course(runs: &[MeasuredRun], mismatches: &[Mismatch], policy: &RolloutPolicy) -> Simulation {
        let recorded = Recorded {
            runs,
            mismatches,
            until: at(1_000_000),
        };
        simulate(&recorded, policy)
    }

    fn in_short(simulation: &Simulation) -> Vec<(i64, Changed, usize, usize)> {
        let steps = simulation.timeline.iter();
        steps
            .map(|step| (step.at.timestamp(), step.what, step.from, step.to))
            .collect()
    }

    #[test]
    fn forty_good_pull_requests_reach_the_last_stage() {
        let runs: Vec<MeasuredRun> = (1..=40).map(|number| ran(number, 20)).rev().collect();
        let simulation = course(&runs, &[], &policy());
        let expected = [
            (1000, Changed::Enable, 0, 0),
            (1120, Changed::Advance, 0, 1),
            (11_120, Changed::Advance, 1, 2),
            (36_120, Changed::Advance, 2, 3),
        ];
        assert_eq!(in_short(&simulation), expected);
        assert_eq!(
            (simulation.stage, simulation.stage_size, simulation.progress),
            (3, None, 4)
        );
        let totals = &simulation.totals;
        assert_eq!((totals.runs, totals.pull_requests, totals.advances), (40, 40, 3));
        assert_eq!((totals.rollbacks.len(), totals.assumed_enables), (0, 0));
    }

    #[test]
    fn two_boot_failures_roll_back_and_a_person_is_assumed_before_the_next_run() {
        let runs = [
            ran(1, 5),
            ran(2, 5),
            failed(3),
            failed(4),
            ran(5, 5),
            failed(6),
            ran(7, 5),
        ];
        let simulation = course(&runs, &[], &policy());
        let expected = [
            (1000, Changed::Enable, 0, 0),
            (1105, Changed::Advance, 0, 1),
            (4100, Changed::Rollback, 1, 0),
            (5000, Changed::Enable, 0, 0),
            (5105, Changed::Advance, 0, 1),
        ];
        assert_eq!(in_short(&simulation), expected);
        let rollback = &simulation.timeline[2];
        assert_eq!(rollback.trigger, Some(Trigger::BootFailures));
        let evidence = rollback.evidence.as_ref().expect("evidence");
        let runs_shown: Vec<_> = evidence.items.iter().filter_map(|item| item.run).collect();
        assert_eq!(runs_shown, [RunId(400), RunId(300)]);
        assert_eq!(simulation.timeline[3].by.as_deref(), Some(ASSUMED));
        assert_eq!(simulation.totals.rollbacks, [("boot-failures", 1)].into());
        assert_eq!(simulation.totals.assumed_enables, 1);
        let strict = RolloutPolicy {
            boot_failures: 3,
            ..policy()
        };
        assert!(course(&runs, &[], &strict).totals.rollbacks.is_empty());
    }

    #[test]
    fn a_long_wait_rolls_back_while_the_job_still_waits() {
        let mut runs: Vec<MeasuredRun> = (1..=9).map(|number| ran(number, 20)).collect();
        runs.push(ran(10, 400));
        let simulation = course(&runs, &[], &policy());
        let rollback = simulation.timeline.last().expect("a step");
        assert_eq!(
            (rollback.what, rollback.trigger),
            (Changed::Rollback, Some(Trigger::QueueWait))
        );
        assert_eq!(rollback.at, at(10_120) + TimeDelta::milliseconds(1));
        let patient = RolloutPolicy {
            queue_wait_p95: TimeDelta::seconds(400),
            ..policy()
        };
        assert!(course(&runs, &[], &patient).totals.rollbacks.is_empty());
    }

    #[test]
    fn the_delivery_lag_counts_only_if_the_policy_says_so() {
        let mut runs: Vec<MeasuredRun> = (1..=9).map(|number| ran(number, 20)).collect();
        let mut late = ran(10, 200);
        for job in late.jobs.values_mut() {
            job.parts.delivery_lag_ms = Some(150_000);
        }
        runs.push(late);
        assert!(course(&runs, &[], &policy()).totals.rollbacks.is_empty());
        let with_lag = RolloutPolicy {
            exclude_delivery_lag: false,
            ..policy()
        };
        assert_eq!(
            course(&runs, &[], &with_lag).totals.rollbacks,
            [("queue-wait", 1)].into()
        );
    }

    #[test]
    fn a_misroute_begins_again_with_the_first_stage() {
        let runs: Vec<MeasuredRun> = (1..=20).map(|number| ran(number, 20)).collect();
        let mismatch = Mismatch {
            job: JobId(77),
            run: RunId(76),
            pull_request: Some(9),
            verdict: RoutingVerdict::Misroute,
            run_created_at: Some(at(15_490)),
            at: at(15_500),
        };
        let simulation = course(&runs, &[mismatch], &policy());
        assert_eq!(
            in_short(&simulation)[3..5],
            [(15_500, Changed::Rollback, 2, 0), (16_000, Changed::Enable, 0, 0)]
        );
        assert_eq!(simulation.totals.highest_stage, 2);
    }

    #[test]
    fn a_manual_stage_waits_for_an_assumed_person() {
        let manual = RolloutPolicy {
            advances_manually: true,
            ..policy()
        };
        let simulation = course(&[ran(1, 5), ran(2, 5)], &[], &manual);
        let expected = [
            (1000, Changed::Enable, 0, 0),
            (1105, Changed::Disable, 0, 0),
            (2000, Changed::Advance, 0, 1),
        ];
        assert_eq!(in_short(&simulation), expected);
        assert_eq!((simulation.stage, simulation.progress), (1, 1));
    }

    #[test]
    fn a_run_after_the_recorded_time_is_not_judged() {
        let runs = [ran(1, 5), failed(2), failed(3)];
        let recorded = Recorded {
            runs: &runs,
            mismatches: &[],
            until: at(2500),
        };
        assert!(simulate(&recorded, &policy()).totals.rollbacks.is_empty());
    }

    #[test]
    fn nothing_happens_without_runs() {
        let simulation = course(&[], &[], &policy());
        assert_eq!((simulation.timeline.len(), simulation.stage), (0, 0));
    }
}
