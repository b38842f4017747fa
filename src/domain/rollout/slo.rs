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

use super::lifecycle::WaitParts;
use super::measure::{MeasuredJob, MeasuredRun, Tally};
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
    let known = outcomes.filter(|outcome| outcome.is_over());
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
    let failed = run
        .jobs
        .iter()
        .find(|(_, job)| job.lifecycle.is_failure() && run.lifecycle() == Some(job.lifecycle));
    let wrong = run
        .jobs
        .iter()
        .find(|(_, job)| job.verdict == RoutingVerdict::NotRouted);
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
    // A part is longer than the wait if the job started before its delivery arrived.
    let whole = u64::try_from(wait.num_milliseconds()).unwrap_or_default();
    let longest = known
        .into_iter()
        .filter_map(|(time, what)| Some((time?.min(whole), what)));
    let total = wait.num_seconds();
    match longest.max_by_key(|(time, _)| *time) {
        Some((time, what)) if time >= 1000 => format!("queue wait {total} s, of which {} s {what}", time / 1000),
        _ => format!("queue wait {total} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::Lifecycle;
    use crate::domain::samples::at;

    fn policy(window: usize) -> SloPolicy {
        SloPolicy {
            window,
            lifecycle_success: 0.98,
            routing_correctness: 1.0,
            queue_wait_p95: TimeDelta::seconds(120),
            setup_latency_p95: TimeDelta::seconds(180),
        }
    }

    /// A run with one job, created at `number` seconds.
    fn run(number: u64, wait_s: i64, setup_s: u64, lifecycle: Lifecycle) -> MeasuredRun {
        let created_at = at(i64::try_from(number).expect("small"));
        let has_started = lifecycle.is_over() && lifecycle.counts() && !lifecycle.failed_before_start();
        let job = MeasuredJob {
            verdict: RoutingVerdict::Correct,
            created_at: Some(created_at),
            started_at: has_started.then(|| created_at + TimeDelta::seconds(wait_s)),
            ended_at: lifecycle
                .is_over()
                .then(|| created_at + TimeDelta::seconds(wait_s + 60)),
            parts: WaitParts::default(),
            setup_ms: has_started.then_some(setup_s * 1000),
            lifecycle,
            live: None,
        };
        MeasuredRun {
            run: RunId(number),
            attempt: 1,
            pull_request: number,
            created_at,
            jobs: [(JobId(number), job)].into(),
            tally_before: Tally::default(),
        }
    }

    fn judged(runs: &[MeasuredRun], tally: Tally, window: usize, now: i64) -> SloReport {
        let repository = RepositoryName::parse("octo/chem").expect("a name");
        report(&repository, runs, tally, &policy(window), at(now))
    }

    fn target(report: &SloReport, name: SloName) -> &TargetReport {
        let mut targets = report.targets.iter();
        targets
            .find(|target| target.name == name)
            .expect("every target is reported")
    }

    #[test]
    fn the_values_of_fifty_runs_are_computed_by_hand() {
        // Waits of 1 to 50 s: 0.95 * 50 = 47.5, so the 48th counts. Setups of 151 to 200 s: the 48th is 198 s.
        let mut runs: Vec<MeasuredRun> = (1..=50)
            .map(|n| run(n, n as i64, 150 + n, Lifecycle::Success))
            .collect();
        runs[0] = run(1, 1, 151, Lifecycle::Lost);
        let tally = Tally { correct: 9, wrong: 0 };
        let report = judged(&runs, tally, 50, 9000);
        assert!(report.enough);
        let summary = |name| {
            let TargetReport {
                value,
                sample,
                met,
                error_budget_left,
                ..
            } = target(&report, name).clone();
            (value, sample, met, error_budget_left)
        };
        // 49 of 50 succeed: 98 % of 50 is 49, so one miss is permitted, and it is used.
        assert_eq!(summary(SloName::LifecycleSuccess), (Some(0.98), 50, Some(true), 0));
        assert_eq!(summary(SloName::RoutingCorrectness), (Some(1.0), 59, Some(true), 0));
        // 50 - 48 = 2 may be above.
        assert_eq!(summary(SloName::QueueWait), (Some(48.0), 50, Some(true), 2));
        // 181 to 200 s are above 180 s: 20 runs, 18 too many.
        assert_eq!(summary(SloName::SetupLatency), (Some(198.0), 50, Some(false), -18));
        let missed: Vec<SloName> = report.missed().map(|target| target.name).collect();
        assert_eq!(missed, [SloName::SetupLatency]);
    }

    #[test]
    fn a_budget_shows_how_many_more_may_miss() {
        let counts = |correct, wrong| Tally { correct, wrong };
        let left = |counts, target| share(SloName::LifecycleSuccess, counts, target).error_budget_left;
        assert_eq!(left(counts(50, 0), 0.98), 1);
        assert_eq!(left(counts(49, 1), 0.98), 0);
        assert_eq!(left(counts(47, 3), 0.98), -2);
        // 0.9 * 50 is 45.000000000000004 or 44.99999999999999 in binary notation, depending on the order.
        assert_eq!(left(counts(50, 0), 0.9), 5);
        assert_eq!(left(counts(45, 5), 0.9), 0);
        // 100 * 0.55 is 55.00000000000001.
        assert_eq!(left(counts(55, 45), 0.55), 0);
        assert_eq!(left(counts(7, 0), 1.0), 0);
        assert_eq!(left(counts(6, 1), 1.0), -1);
        let none = share(SloName::LifecycleSuccess, counts(0, 0), 0.98);
        assert_eq!((none.value, none.met, none.error_budget_left), (None, None, 0));
        let waits = |above: usize| {
            let values = (0..20).map(|n| TimeDelta::seconds(if n < above { 121 } else { 120 }));
            let target = time(SloName::QueueWait, values.collect(), TimeDelta::seconds(120));
            (target.met, target.error_budget_left, target.value)
        };
        assert_eq!(waits(0), (Some(true), 1, Some(120.0)));
        assert_eq!(waits(1), (Some(true), 0, Some(120.0)));
        assert_eq!(waits(2), (Some(false), -1, Some(121.0)));
    }

    #[test]
    fn too_few_runs_miss_no_target() {
        let runs = [run(1, 500, 10, Lifecycle::Success), run(2, 500, 10, Lifecycle::Success)];
        let missed = |window| judged(&runs, Tally::default(), window, 9000).missed().count();
        assert_eq!((missed(2), missed(3)), (1, 0));
    }

    #[test]
    fn the_delivery_lag_is_a_part_of_the_wait() {
        let mut late = run(1, 130, 10, Lifecycle::Success);
        for job in late.jobs.values_mut() {
            job.parts.delivery_lag_ms = Some(100_000);
        }
        let report = judged(&[late], Tally::default(), 1, 9000);
        assert_eq!(target(&report, SloName::QueueWait).value, Some(130.0));
    }

    #[test]
    fn only_the_newest_runs_that_count_are_in_the_window() {
        let old = run(1, 500, 1, Lifecycle::BootFailed);
        let dropped = run(9, 500, 1, Lifecycle::Cancelled);
        let runs = [
            dropped,
            run(4, 4, 1, Lifecycle::Success),
            old,
            run(3, 3, 1, Lifecycle::Success),
        ];
        let report = judged(&runs, Tally::default(), 2, 100);
        assert_eq!(target(&report, SloName::LifecycleSuccess).value, Some(1.0));
        assert_eq!(target(&report, SloName::QueueWait).value, Some(4.0));
        assert!(report.enough);
        assert!(!judged(&runs, Tally::default(), 4, 100).enough, "three runs count");
    }

    #[test]
    fn a_run_that_is_not_over_is_known_once_it_waits_too_long() {
        let runs = [run(1, 5, 1, Lifecycle::Success), run(10, 0, 0, Lifecycle::Waiting)];
        let early = judged(&runs, Tally::default(), 2, 130);
        assert!(!early.enough, "it has waited for 120 s");
        assert_eq!(early.missed().count(), 0);
        let late = judged(&runs, Tally::default(), 2, 131);
        assert!(late.enough);
        assert_eq!(
            target(&late, SloName::LifecycleSuccess).sample,
            1,
            "its outcome is open"
        );
        assert_eq!(
            late.missed().map(|target| target.value).collect::<Vec<_>>(),
            [Some(121.0)]
        );
    }

    #[test]
    fn other_jobs_count_since_the_oldest_run_of_the_window() {
        let before = |run: MeasuredRun, correct, wrong| MeasuredRun {
            tally_before: Tally { correct, wrong },
            ..run
        };
        let runs = [
            before(run(1, 1, 1, Lifecycle::Success), 0, 0),
            before(run(2, 1, 1, Lifecycle::Success), 100, 3),
            before(run(3, 1, 1, Lifecycle::Success), 150, 3),
        ];
        let tally = Tally { correct: 160, wrong: 4 };
        let report = judged(&runs, tally, 2, 100);
        let routing = target(&report, SloName::RoutingCorrectness);
        // 160 - 100 others and the 2 runs are correct, 4 - 3 is wrong.
        assert_eq!(
            (routing.sample, routing.error_budget_left, routing.met),
            (63, -1, Some(false))
        );
        assert_eq!(routing.value, Some(62.0 / 63.0));
    }

    #[test]
    fn the_worst_runs_miss_a_target_or_are_the_slowest() {
        let mut slow = run(1, 190, 200, Lifecycle::Success);
        if let Some(job) = slow.jobs.get_mut(&JobId(1)) {
            job.parts = WaitParts {
                delivery_lag_ms: Some(4000),
                slot_ms: Some(170_400),
                ..WaitParts::default()
            };
        }
        let mut unrouted = run(2, 3, 4, Lifecycle::Elsewhere);
        if let Some(job) = unrouted.jobs.get_mut(&JobId(2)) {
            job.verdict = RoutingVerdict::NotRouted;
        }
        let lost = run(3, 5, 6, Lifecycle::Lost);
        let quick = (4..9).map(|n| run(n, n as i64, 1, Lifecycle::Success));
        let runs: Vec<MeasuredRun> = [slow, unrouted, lost].into_iter().chain(quick).collect();
        let worst = judged(&runs, Tally::default(), 50, 9000).worst;
        let lines: Vec<_> = worst.iter().map(|worst| (worst.run.0, worst.why.as_str())).collect();
        assert_eq!(
            lines,
            [
                (1, "queue wait 190 s, of which 170 s for a slot; setup latency 200 s"),
                (3, "the runner was lost while the job ran"),
                (2, "the job was not routed to self-hosted runners"),
            ]
        );
        let quick: Vec<MeasuredRun> = (4..9).map(|n| run(n, n as i64, 1, Lifecycle::Success)).collect();
        let worst = judged(&quick, Tally::default(), 50, 9000).worst;
        let lines: Vec<_> = worst.iter().map(|worst| (worst.job.0, worst.why.as_str())).collect();
        assert_eq!(
            lines,
            [(8, "queue wait 8 s"), (7, "queue wait 7 s"), (6, "queue wait 6 s")]
        );
    }

    #[test]
    fn a_part_of_a_wait_is_never_longer_than_the_wait() {
        let parts = WaitParts {
            delivery_lag_ms: Some(9_000_000),
            ..WaitParts::default()
        };
        let phrase = phrase_of_wait(TimeDelta::seconds(200), parts);
        assert_eq!(phrase, "queue wait 200 s, of which 200 s for the delivery");
    }
}
