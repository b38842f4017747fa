//! The judgement of the rollback triggers. Each one rests on runs that were created since routing was last switched on.

use super::lifecycle::Lifecycle;
use super::measure::{MeasuredJob, MeasuredRun, Mismatch, per_pull_request};
use super::percentile::{P95, percentile};
use super::policy::RolloutPolicy;
use super::trigger::{Cause, Evidence, EvidenceItem, Judgement, Outage, Trigger};
use crate::domain::routing_verdict::RoutingVerdict;
use chrono::{DateTime, TimeDelta, Utc};

/// Maximum number of runs or jobs in the evidence of a trigger.
const MAX_ITEMS: usize = 10;

/// The time since routing was last switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// The time when routing was last switched on, by GitHub's clock.
    pub enabled_at: Option<DateTime<Utc>>,
    /// The time when routing was last switched off.
    pub disabled_at: Option<DateTime<Utc>>,
}

impl Period {
    /// Returns true if a run of this creation time, by GitHub's clock, belongs to the period. GitHub's times have whole
    /// seconds, so a run from the second in which routing was switched off belongs to the time before.
    #[must_use]
    pub fn contains(&self, created_at: DateTime<Utc>) -> bool {
        self.enabled_at.is_none_or(|on| created_at >= on) && self.disabled_at.is_none_or(|off| created_at > off)
    }

    /// Returns the runs of the period.
    #[must_use]
    pub fn runs(&self, runs: &[MeasuredRun]) -> Vec<MeasuredRun> {
        let inside = runs.iter().filter(|run| self.contains(run.created_at));
        inside.cloned().collect()
    }
}

/// The queue waits that a judgement rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// All waits, as deliveries have reported them.
    Reported,
    /// A wait above the limit counts only as far as GitHub itself has shown it.
    Confirmed,
}

/// The facts that the triggers are judged on.
#[derive(Debug, Clone, Copy)]
pub struct Grounds<'a> {
    pub period: Period,
    /// The newest measured runs in any order.
    pub runs: &'a [MeasuredRun],
    /// The route mismatches beyond doubt, oldest first.
    pub mismatches: &'a [Mismatch],
    /// The runners that should be online and are not.
    pub outage: Option<&'a Outage>,
    pub waits: Waits,
    pub now: DateTime<Utc>,
}

/// Judges all triggers, in the order of [`Trigger::ALL`].
#[must_use]
pub fn judge(policy: &RolloutPolicy, grounds: &Grounds<'_>) -> Vec<Judgement> {
    let runs = grounds.period.runs(grounds.runs);
    let firsts = per_pull_request(&runs);
    vec![
        boot_failures(policy, &firsts),
        queue_wait(policy, &firsts, grounds),
        offline(policy, grounds),
        route_mismatch(grounds),
    ]
}

/// Returns the pull requests whose first run of the period has an outcome, in the order of these runs.
#[must_use]
pub fn decided(period: Period, runs: &[MeasuredRun]) -> Vec<u64> {
    let runs = period.runs(runs);
    let firsts = per_pull_request(&runs);
    let over = firsts.iter().rev().filter(|run| outcome(run).is_some());
    over.map(|run| run.pull_request).collect()
}

/// Returns the outcome of a run, if it is over.
fn outcome(run: &MeasuredRun) -> Option<Lifecycle> {
    run.lifecycle()
        .filter(|lifecycle| !matches!(lifecycle, Lifecycle::Waiting | Lifecycle::Running))
}

/// Judges whether the newest pull requests failed one after the other before any step. Those without an outcome are passed
/// over.
fn boot_failures(policy: &RolloutPolicy, firsts: &[&MeasuredRun]) -> Judgement {
    let over = firsts.iter().filter(|run| outcome(run).is_some());
    let failed: Vec<&&MeasuredRun> = over
        .take(policy.boot_failures)
        .take_while(|run| failed_before_start(run))
        .collect();
    let (count, limit) = (failed.len(), policy.boot_failures);
    let noun = if count == 1 { "pull request" } else { "pull requests" };
    let summary = format!(
        "{count} consecutive trusted {noun} failed before the first step because no runner booted or registered; the \
         limit is {limit}"
    );
    let items = failed.iter().map(|run| {
        let job = run.jobs.iter().find(|(_, job)| job.lifecycle.failed_before_start());
        EvidenceItem {
            job: job.map(|(id, _)| *id),
            ..item(run, job.map_or("", |(_, job)| job.lifecycle.as_str()))
        }
    });
    judgement(Trigger::BootFailures, true, count >= limit, summary, items.collect())
}

fn failed_before_start(run: &MeasuredRun) -> bool {
    run.jobs.values().any(|job| job.lifecycle.failed_before_start())
        && run.jobs.values().all(|job| job.started_at.is_none())
}

/// A queue wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueWait {
    without_lag: TimeDelta,
    with_lag: TimeDelta,
}

impl QueueWait {
    /// Returns the wait of a job of the pool that waits or waited.
    pub(super) fn of(policy: &RolloutPolicy, job: &MeasuredJob, waits: Waits, now: DateTime<Utc>) -> Option<Self> {
        let reported = Self {
            without_lag: job.queue_wait(now, true)?,
            with_lag: job.queue_wait(now, false)?,
        };
        if waits == Waits::Reported || reported.chosen(policy) <= policy.queue_wait_p95 {
            return Some(reported);
        }
        Some(Self {
            without_lag: job.confirmed_wait(true),
            with_lag: job.confirmed_wait(false),
        })
    }

    /// Returns the wait that counts.
    pub(super) fn chosen(self, policy: &RolloutPolicy) -> TimeDelta {
        match policy.exclude_delivery_lag {
            true => self.without_lag,
            false => self.with_lag,
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            without_lag: self.without_lag.max(other.without_lag),
            with_lag: self.with_lag.max(other.with_lag),
        }
    }
}

/// Returns the runs that are judged, the newest first, with the longest wait of their jobs.
pub(super) fn queue_wait_sample<'a>(
    policy: &RolloutPolicy,
    firsts: &[&'a MeasuredRun],
    grounds: &Grounds<'_>,
) -> Vec<(&'a MeasuredRun, QueueWait)> {
    let waits = firsts.iter().filter_map(|run| {
        let of_jobs = run
            .jobs
            .values()
            .filter_map(|job| QueueWait::of(policy, job, grounds.waits, grounds.now));
        Some((*run, of_jobs.reduce(QueueWait::max)?))
    });
    waits.take(policy.queue_wait_window).collect()
}

/// Judges the 95th percentile of the queue wait of the newest pull requests. A job that waits counts with its wait so far,
/// which is less than its final wait.
pub(super) fn queue_wait(policy: &RolloutPolicy, firsts: &[&MeasuredRun], grounds: &Grounds<'_>) -> Judgement {
    let sample = queue_wait_sample(policy, firsts, grounds);
    let chosen = |(_, wait): &(&MeasuredRun, QueueWait)| wait.chosen(policy);
    let (limit, window) = (policy.queue_wait_p95, policy.queue_wait_window);
    let judged = sample.len() >= window;
    let value = percentile(sample.iter().map(chosen), P95);
    let without_lag = percentile(sample.iter().map(|(_, wait)| wait.without_lag), P95).unwrap_or_default();
    let with_lag = percentile(sample.iter().map(|(_, wait)| wait.with_lag), P95).unwrap_or_default();
    let summary = format!(
        "the 95th percentile of the queue wait is {} without and {} with the delivery lag over {} of {window} trusted \
         pull requests; the limit is {} {} it",
        seconds(without_lag),
        seconds(with_lag),
        sample.len(),
        seconds(limit),
        if policy.exclude_delivery_lag { "without" } else { "with" },
    );
    let items = sample
        .iter()
        .filter(|sampled| chosen(sampled) > limit)
        .map(|(run, wait)| {
            let (without_lag, with_lag) = (seconds(wait.without_lag), seconds(wait.with_lag));
            item(run, &format!("{without_lag}, {with_lag} with the delivery lag"))
        });
    let hit = judged && value.is_some_and(|value| value > limit);
    judgement(Trigger::QueueWait, judged, hit, summary, items.collect())
}

/// Judges how long runners stay offline after the recovery attempt. The time before routing was switched on does not count.
fn offline(policy: &RolloutPolicy, grounds: &Grounds<'_>) -> Judgement {
    let Some(outage) = grounds.outage else {
        let summary = "no runner that should be online is offline".to_owned();
        return judgement(Trigger::Offline, true, false, summary, Vec::new());
    };
    let since = outage
        .recovery_attempted_at
        .max(outage.recovery_attempted_at.and(grounds.period.enabled_at));
    let lasts = since.map(|since| grounds.now - since);
    let attempt = match lasts {
        Some(lasts) => format!("for {} after the recovery attempt", seconds(lasts)),
        None => "without a recovery attempt yet".to_owned(),
    };
    let summary = format!(
        "{}, {attempt}; the limit is {}",
        outage.summary,
        seconds(policy.offline)
    );
    let hit = lasts.is_some_and(|lasts| lasts > policy.offline);
    judgement(Trigger::Offline, true, hit, summary, outage.runners.clone())
}

/// Judges whether a job was routed to the wrong runners.
fn route_mismatch(grounds: &Grounds<'_>) -> Judgement {
    let created_at = |mismatch: &Mismatch| mismatch.run_created_at.unwrap_or(mismatch.at);
    let newest_first = grounds.mismatches.iter().rev();
    let found: Vec<&Mismatch> = newest_first
        .filter(|mismatch| grounds.period.contains(created_at(mismatch)))
        .collect();
    let summary = match found.as_slice() {
        [] => "no job was routed to the wrong runners".to_owned(),
        [only] => format!(
            "job {} was routed to the wrong runners: {}",
            only.job,
            only.verdict.as_str()
        ),
        [newest, ..] => format!(
            "{} jobs were routed to the wrong runners, job {} last: {}",
            found.len(),
            newest.job,
            newest.verdict.as_str()
        ),
    };
    let items = found.iter().map(|mismatch| EvidenceItem {
        pull_request: mismatch.pull_request,
        run: Some(mismatch.run),
        job: Some(mismatch.job),
        detail: mismatch.verdict.as_str().to_owned(),
    });
    let mut judgement = judgement(
        Trigger::RouteMismatch,
        true,
        !found.is_empty(),
        summary,
        items.collect(),
    );
    judgement.cause.job = found.first().map(|newest| newest.job);
    judgement.cause.is_misroute = found
        .iter()
        .any(|mismatch| mismatch.verdict == RoutingVerdict::Misroute);
    judgement
}

fn judgement(trigger: Trigger, judged: bool, hit: bool, summary: String, mut items: Vec<EvidenceItem>) -> Judgement {
    items.truncate(MAX_ITEMS);
    let cause = Cause {
        trigger,
        evidence: Evidence { summary, items },
        job: None,
        is_misroute: false,
    };
    Judgement { cause, judged, hit }
}

fn item(run: &MeasuredRun, detail: &str) -> EvidenceItem {
    EvidenceItem {
        pull_request: Some(run.pull_request),
        run: Some(run.run),
        job: None,
        detail: detail.to_owned(),
    }
}

fn seconds(time: TimeDelta) -> String {
    format!("{} s", time.num_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{JobId, RunId};
    use crate::domain::rollout::Tally;
    use crate::domain::samples::{at, measured_job as job, rollout_policy as policy};

    /// A run of a pull request with the same number.
    fn run(id: u64, created: i64, jobs: &[MeasuredJob]) -> MeasuredRun {
        MeasuredRun {
            run: RunId(id),
            attempt: 1,
            pull_request: id,
            created_at: at(created),
            jobs: (id * 10..).map(JobId).zip(jobs.iter().cloned()).collect(),
            tally_before: Tally::default(),
        }
    }

    fn ran(id: u64, created: i64, wait: i64) -> MeasuredRun {
        run(id, created, &[job(Lifecycle::Success, created, Some(created + wait))])
    }

    fn failed(id: u64, created: i64) -> MeasuredRun {
        run(id, created, &[job(Lifecycle::BootFailed, created, None)])
    }

    fn grounds(runs: &[MeasuredRun], now: i64) -> Grounds<'_> {
        Grounds {
            period: Period::default(),
            runs,
            mismatches: &[],
            outage: None,
            waits: Waits::Reported,
            now: at(now),
        }
    }

    fn one(trigger: Trigger, grounds: &Grounds<'_>) -> Judgement {
        let found = judge(&policy(), grounds)
            .into_iter()
            .find(|judgement| judgement.cause.trigger == trigger);
        found.expect("every trigger is judged")
    }

    #[test]
    fn every_trigger_is_judged_once() {
        let judged = judge(&policy(), &grounds(&[], 0));
        let triggers: Vec<Trigger> = judged.iter().map(|judgement| judgement.cause.trigger).collect();
        assert_eq!(triggers, Trigger::ALL);
        assert!(judged.iter().all(|judgement| !judgement.hit));
    }

    #[test]
    fn two_consecutive_boot_failures_hit_and_one_does_not() {
        let registration = run(3, 30, &[job(Lifecycle::RegistrationFailed, 30, None)]);
        let waits = run(4, 40, &[job(Lifecycle::Waiting, 40, None)]);
        let runs_but_broke = run(4, 40, &[job(Lifecycle::Lost, 40, Some(45))]);
        let one_started = [
            job(Lifecycle::BootFailed, 40, None),
            job(Lifecycle::Running, 40, Some(44)),
        ];
        let cancelled = run(5, 50, &[job(Lifecycle::Cancelled, 50, None)]);
        for (runs, count) in [
            (vec![failed(1, 10)], 1),
            (vec![failed(1, 10), ran(2, 20, 5)], 0),
            (vec![failed(1, 10), ran(2, 20, 5), registration.clone()], 1),
            (vec![failed(2, 20), registration.clone()], 2),
            (vec![failed(1, 10), failed(2, 20), registration.clone()], 2),
            (
                vec![ran(1, 10, 5), failed(2, 20), registration.clone(), waits, cancelled],
                2,
            ),
            (vec![failed(2, 20), registration.clone(), runs_but_broke], 0),
            (vec![failed(2, 20), run(4, 40, &one_started)], 0),
        ] {
            let judgement = one(Trigger::BootFailures, &grounds(&runs, 90));
            assert_eq!(judgement.hit, count == 2, "{runs:?}");
            assert_eq!(judgement.cause.evidence.items.len(), count, "{runs:?}");
        }
        let both = [failed(2, 20), registration];
        let evidence = one(Trigger::BootFailures, &grounds(&both, 90)).cause.evidence;
        assert_eq!(evidence.items[0].run, Some(RunId(3)), "the newest is first");
        assert_eq!(evidence.items[0].detail, "registration_failed");
        assert_eq!(evidence.items[1].job, Some(JobId(20)));
        assert!(
            evidence.summary.contains("2 consecutive trusted pull requests"),
            "{evidence:?}"
        );
    }

    #[test]
    fn further_runs_of_a_pull_request_are_no_further_failure() {
        let again = MeasuredRun {
            pull_request: 1,
            ..failed(2, 20)
        };
        let runs = [failed(1, 10), again];
        assert!(!one(Trigger::BootFailures, &grounds(&runs, 90)).hit);
    }

    #[test]
    fn the_queue_wait_is_judged_over_a_full_window_and_hits_above_its_limit() {
        let runs = |count: u64, longest: i64| -> Vec<MeasuredRun> {
            let wait = |id| if id == 3 { longest } else { 5 };
            (1..=count)
                .map(|id| ran(id, 1000 + i64::try_from(id).unwrap_or(0), wait(id)))
                .collect()
        };
        for (count, longest, judged, hit) in [
            (9, 500, false, false),
            (10, 120, true, false),
            (10, 121, true, true),
            (12, 121, true, true),
            (13, 121, true, false),
        ] {
            let runs = runs(count, longest);
            let judgement = one(Trigger::QueueWait, &grounds(&runs, 9000));
            assert_eq!((judgement.judged, judgement.hit), (judged, hit), "{count} {longest}");
        }
        let evidence = one(Trigger::QueueWait, &grounds(&runs(10, 121), 9000)).cause.evidence;
        assert_eq!(evidence.items.len(), 1);
        assert_eq!(evidence.items[0].pull_request, Some(3));
        assert!(
            evidence.summary.contains("121 s without and 121 s with"),
            "{evidence:?}"
        );
    }

    #[test]
    fn a_job_that_waits_counts_with_its_wait_so_far() {
        let mut runs: Vec<MeasuredRun> = (1..=9).map(|id| ran(id, 100, 5)).collect();
        runs.push(run(10, 200, &[job(Lifecycle::Waiting, 200, None)]));
        assert!(!one(Trigger::QueueWait, &grounds(&runs, 320)).hit);
        assert!(one(Trigger::QueueWait, &grounds(&runs, 321)).hit);
    }

    #[test]
    fn the_delivery_lag_does_not_count_unless_the_operator_wants_so() {
        let mut runs: Vec<MeasuredRun> = (1..=9).map(|id| ran(id, 100, 5)).collect();
        let mut late = job(Lifecycle::Success, 200, Some(350));
        late.parts.delivery_lag_ms = Some(100_000);
        runs.push(run(10, 200, &[late]));
        let judgement = one(Trigger::QueueWait, &grounds(&runs, 900));
        assert!(!judgement.hit);
        let summary = &judgement.cause.evidence.summary;
        assert!(
            summary.contains("50 s without and 150 s with the delivery lag"),
            "{summary}"
        );
        let counted = RolloutPolicy {
            exclude_delivery_lag: false,
            ..policy()
        };
        assert!(judge(&counted, &grounds(&runs, 900))[1].hit);
    }

    #[test]
    fn runners_that_stay_offline_hit_after_the_recovery_attempt() {
        let outage = |attempted: Option<i64>| Outage {
            summary: "0 of 1 slots are alive".to_owned(),
            runners: vec![EvidenceItem::default()],
            since: at(0),
            recovery_attempted_at: attempted.map(at),
        };
        let hits = |attempted, enabled: Option<i64>, now| {
            let outage = outage(attempted);
            let mut grounds = grounds(&[], now);
            grounds.outage = Some(&outage);
            grounds.period.enabled_at = enabled.map(at);
            one(Trigger::Offline, &grounds).hit
        };
        assert!(!hits(None, None, 9000), "no attempt was made");
        assert!(!hits(None, Some(5), 9000), "no attempt was made");
        assert!(!hits(Some(100), None, 700));
        assert!(hits(Some(100), None, 701));
        assert!(
            !hits(Some(100), Some(300), 701),
            "routing was switched on in spite of it"
        );
        assert!(hits(Some(100), Some(300), 901));
        assert!(!one(Trigger::Offline, &grounds(&[], 9000)).hit);
    }

    #[test]
    fn a_mismatch_hits_unless_its_run_is_older_than_the_last_enable() {
        let mismatch = |job, created: Option<i64>, verdict| Mismatch {
            job: JobId(job),
            run: RunId(job),
            pull_request: Some(1),
            verdict,
            run_created_at: created.map(at),
            at: at(50),
        };
        let old = mismatch(1, Some(20), RoutingVerdict::Misroute);
        let new = mismatch(2, Some(30), RoutingVerdict::NotRouted);
        let undated = mismatch(3, None, RoutingVerdict::Misroute);
        let judged = |mismatches: &[Mismatch]| {
            let mut grounds = grounds(&[], 90);
            grounds.mismatches = mismatches;
            grounds.period.enabled_at = Some(at(30));
            one(Trigger::RouteMismatch, &grounds)
        };
        assert!(!judged(&[]).hit);
        assert!(!judged(std::slice::from_ref(&old)).hit, "an old run does not hit again");
        let judgement = judged(&[old.clone(), new.clone()]);
        assert!(judgement.hit && !judgement.cause.is_misroute);
        assert_eq!(judgement.cause.job, Some(JobId(2)));
        let judgement = judged(&[undated, old, new]);
        assert!(judgement.hit && judgement.cause.is_misroute);
        assert_eq!(judgement.cause.evidence.items.len(), 2);
    }

    #[test]
    fn runs_from_before_the_last_enable_are_neither_judged_nor_counted() {
        let runs = [failed(1, 10), failed(2, 20), failed(3, 40)];
        let hits = |enabled: i64, disabled: Option<i64>| {
            let mut grounds = grounds(&runs, 90);
            grounds.period = Period {
                enabled_at: Some(at(enabled)),
                disabled_at: disabled.map(at),
            };
            (one(Trigger::BootFailures, &grounds).hit, decided(grounds.period, &runs))
        };
        assert_eq!(hits(10, None), (true, vec![1, 2, 3]));
        assert_eq!(hits(11, None), (true, vec![2, 3]));
        assert_eq!(
            hits(20, Some(20)),
            (false, vec![3]),
            "the second of the rollback is old"
        );
        assert_eq!(hits(41, Some(20)), (false, vec![]));
    }

    #[test]
    fn pull_requests_count_in_the_order_of_their_first_runs_once_they_have_an_outcome() {
        let waits = run(3, 15, &[job(Lifecycle::Waiting, 15, None)]);
        let hosted = run(4, 16, &[job(Lifecycle::Elsewhere, 16, None)]);
        let runs = [ran(2, 20, 1), waits, hosted, failed(1, 10)];
        assert_eq!(decided(Period::default(), &runs), [1, 2]);
    }
}
