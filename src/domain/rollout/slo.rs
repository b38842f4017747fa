//! The service levels of the newest trusted runs.
//!
//! The window contains the newest runs that count: a run whose jobs were all cancelled or denied does not. A run that is
//! not over counts with its wait so far. A repository has enough data once the outcome of as many runs is known as the
//! window has places; the outcome of a run that already waits longer than its target is known.
//!
//! | target | value | sample |
//! |---|---|---|
//! | `lifecycle_success` | share of successes | runs whose life cycle is a success or a failure |
//! | `routing_correctness` | share of correct jobs | judged jobs of the runs, and all others since the oldest run was first seen |
//! | `queue_wait_p95_s` | 95th percentile, delivery lag included | runs with a pool job that waits or waited |
//! | `setup_latency_p95_s` | 95th percentile | runs with a job whose first own step is known |
//!
//! The error budget is the number of further misses that the target permits in this sample. It is negative by the number
//! of misses that are too many, so a target is missed exactly if its budget is negative.

use super::measure::{MeasuredJob, MeasuredRun, Tally, WaitParts};
use super::percentile::{P95, percentile, rank};
use super::policy::SloPolicy;
use crate::domain::ids::{JobId, RepositoryName, RunId};
use crate::domain::routing_verdict::RoutingVerdict;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::cmp::Reverse;

/// Maximum number of runs in the list of the worst.
const MAX_WORST: usize = 10;
/// Number of runs in this list if fewer miss a target: the slowest ones fill it up.
const MIN_WORST: usize = 3;
/// Tolerance of a product of a share and a count, which is exact in decimal but not in binary notation.
const ROUNDING: f64 = 1e-9;

/// The service levels of a repository, in the form of the contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SloReport {
    pub repository: RepositoryName,
    /// The configured number of runs.
    pub window: usize,
    /// False if fewer runs than the window has places have a known outcome.
    pub enough: bool,
    pub targets: Vec<TargetReport>,
    /// The runs that miss a target, then the slowest ones.
    pub worst: Vec<WorstRun>,
}

/// One service level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TargetReport {
    pub name: SloName,
    /// A share from 0 to 1, or seconds.
    pub target: f64,
    /// None without a sample.
    pub value: Option<f64>,
    /// The number of runs, or of jobs for the routing.
    pub sample: u64,
    /// None without a sample.
    pub met: Option<bool>,
    /// The number of further misses that the target permits.
    pub error_budget_left: i64,
}

/// A run that misses a target or is slow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorstRun {
    /// The job behind it, for `jitgate why`.
    pub job: JobId,
    pub run: RunId,
    pub why: String,
}

/// The name of a service level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum SloName {
    #[serde(rename = "lifecycle_success")]
    LifecycleSuccess,
    #[serde(rename = "routing_correctness")]
    RoutingCorrectness,
    #[serde(rename = "queue_wait_p95_s")]
    QueueWait,
    #[serde(rename = "setup_latency_p95_s")]
    SetupLatency,
}

impl SloName {
    /// Returns the name used in records, alerts and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LifecycleSuccess => "lifecycle_success",
            Self::RoutingCorrectness => "routing_correctness",
            Self::QueueWait => "queue_wait_p95_s",
            Self::SetupLatency => "setup_latency_p95_s",
        }
    }

    /// Returns true if the value is a share, and false if it is a time in seconds.
    #[must_use]
    pub fn is_share(self) -> bool {
        matches!(self, Self::LifecycleSuccess | Self::RoutingCorrectness)
    }
}

impl SloReport {
    /// Returns the missed targets; none if there is too little data for a judgement.
    pub fn missed(&self) -> impl Iterator<Item = &TargetReport> {
        let missed = |target: &&TargetReport| target.met == Some(false);
        self.targets.iter().filter(move |target| self.enough && missed(target))
    }
}

/// Computes the service levels. `runs` are the measured runs in any order, and `tally` counts the routing verdicts of
/// all other jobs until now.
#[must_use]
pub fn report(
    repository: &RepositoryName,
    runs: &[MeasuredRun],
    tally: Tally,
    policy: &SloPolicy,
    now: DateTime<Utc>,
) -> SloReport {
    let mut counted: Vec<&MeasuredRun> = runs.iter().filter(|run| run.counts()).collect();
    counted.sort_by_key(|run| Reverse(run.order()));
    let wait = |run: &MeasuredRun| run.queue_wait(now, false);
    let is_known = |run: &&&MeasuredRun| run.is_final() || wait(run).is_some_and(|wait| wait > policy.queue_wait_p95);
    let enough = counted.iter().filter(is_known).count() >= policy.window;
    counted.truncate(policy.window);
    let outcomes = counted.iter().filter_map(|run| run.lifecycle());
    let known = outcomes.filter(|outcome| outcome.is_failure() || outcome.is_over());
    let mut lifecycles = Tally::default();
    for outcome in known {
        lifecycles.correct += u64::from(!outcome.is_failure());
        lifecycles.wrong += u64::from(outcome.is_failure());
    }
    let before = counted.last().map_or(tally, |oldest| oldest.tally_before);
    let mut verdicts = tally.since(before);
    for run in &counted {
        let of_run = run.verdicts();
        verdicts.correct += of_run.correct;
        verdicts.wrong += of_run.wrong;
    }
    let waits: Vec<TimeDelta> = counted.iter().filter_map(|run| wait(run)).collect();
    let setups: Vec<TimeDelta> = counted.iter().filter_map(|run| run.setup_latency()).collect();
    SloReport {
        repository: repository.clone(),
        window: policy.window,
        enough,
        targets: vec![
            share(SloName::LifecycleSuccess, lifecycles, policy.lifecycle_success),
            share(SloName::RoutingCorrectness, verdicts, policy.routing_correctness),
            time(SloName::QueueWait, waits, policy.queue_wait_p95),
            time(SloName::SetupLatency, setups, policy.setup_latency_p95),
        ],
        worst: worst(&counted, policy, now),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of jobs are far below 2^53")]
fn share(name: SloName, counts: Tally, target: f64) -> TargetReport {
    let sample = counts.judged();
    let value = (sample > 0).then(|| counts.correct as f64 / sample as f64);
    let left = signed(counts.correct) - required(sample, target);
    TargetReport {
        name,
        target,
        value,
        sample,
        met: value.map(|_| left >= 0),
        error_budget_left: left,
    }
}

/// Returns the smallest number of good ones that meets the target.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts of jobs are far below 2^53"
)]
fn required(sample: u64, target: f64) -> i64 {
    (sample as f64 * target - ROUNDING).ceil().max(0.0) as i64
}

fn time(name: SloName, values: Vec<TimeDelta>, target: TimeDelta) -> TargetReport {
    let sample = values.len();
    let above = values.iter().filter(|value| **value > target).count();
    let permitted = sample - rank(sample, P95);
    let left = signed(permitted as u64) - signed(above as u64);
    let value = percentile(values, P95);
    TargetReport {
        name,
        target: target.as_seconds_f64(),
        value: value.map(|value| value.as_seconds_f64()),
        sample: sample as u64,
        met: value.map(|_| left >= 0),
        error_budget_left: left,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A run with its misses and its wait.
struct Candidate {
    misses: usize,
    wait: TimeDelta,
    run: WorstRun,
}

fn worst(counted: &[&MeasuredRun], policy: &SloPolicy, now: DateTime<Utc>) -> Vec<WorstRun> {
    let mut candidates: Vec<Candidate> = counted.iter().filter_map(|run| candidate(run, policy, now)).collect();
    candidates.sort_by_key(|candidate| Reverse((candidate.misses, candidate.wait, candidate.run.run)));
    let missing = candidates.iter().filter(|candidate| candidate.misses > 0).count();
    candidates.truncate(missing.clamp(MIN_WORST, MAX_WORST));
    candidates.into_iter().map(|candidate| candidate.run).collect()
}

fn candidate(run: &MeasuredRun, policy: &SloPolicy, now: DateTime<Utc>) -> Option<Candidate> {
    let slowest = |of: &dyn Fn(&MeasuredJob) -> Option<TimeDelta>| {
        let timed = run.jobs.iter().filter_map(|(id, job)| Some((of(job)?, *id)));
        timed.max_by_key(|(time, _)| *time)
    };
    let failed = run.jobs.iter().find(|(_, job)| {
        job.lifecycle.is_failure() && run.lifecycle() == Some(job.lifecycle)
    });
    let wrong = run.jobs.iter().find(|(_, job)| job.verdict == RoutingVerdict::NotRouted);
    let wait = slowest(&|job| job.queue_wait(now, false));
    let setup = slowest(&MeasuredJob::setup_latency);
    let mut why: Vec<(JobId, String)> = Vec::new();
    why.extend(failed.map(|(id, job)| (*id, job.lifecycle.phrase().to_owned())));
    why.extend(wrong.map(|(id, _)| (*id, "the job was not routed to self-hosted runners".to_owned())));
    let is_late = wait.is_some_and(|(wait, _)| wait > policy.queue_wait_p95);
    let is_slow = setup.is_some_and(|(setup, _)| setup > policy.setup_latency_p95);
    let misses = why.len() + usize::from(is_late) + usize::from(is_slow);
    let describe = |wait: TimeDelta, id: JobId| {
        let parts = run.jobs.get(&id).map(|job| job.parts).unwrap_or_default();
        (id, phrase_of_wait(wait, parts))
    };
    if let Some((wait, id)) = wait.filter(|_| is_late || misses == 0) {
        why.push(describe(wait, id));
    }
    if let Some((setup, id)) = setup.filter(|_| is_slow) {
        why.push((id, format!("setup latency {} s", setup.num_seconds())));
    }
    let job = why.first()?.0;
    let texts: Vec<String> = why.into_iter().map(|(_, text)| text).collect();
    Some(Candidate {
        misses,
        wait: wait.map_or(TimeDelta::zero(), |(wait, _)| wait),
        run: WorstRun {
            job,
            run: run.run,
            why: texts.join("; "),
        },
    })
}

/// Describes a wait, with the part of it that took longest.
fn phrase_of_wait(wait: TimeDelta, parts: WaitParts) -> String {
    let known = [
        (parts.delivery_lag_ms, "for the delivery"),
        (parts.decision_ms, "for the decision"),
        (parts.slot_ms, "for a slot"),
        (parts.mint_ms, "for GitHub's record of the runner"),
        (parts.boot_ms, "for the connection of the runner"),
        (parts.pickup_ms, "for the start on the runner"),
    ];
    let longest = known.into_iter().filter_map(|(time, what)| Some((time?, what)));
    let total = wait.num_seconds();
    match longest.max_by_key(|(time, _)| *time) {
        Some((time, what)) if time >= 1000 => format!("queue wait {total} s, of which {} s {what}", time / 1000),
        _ => format!("queue wait {total} s"),
    }
}
